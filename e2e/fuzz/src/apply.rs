//! Server-side apply and tracked updates, over objects whose `managedFields` are whatever the input says.
//!
//! The first byte chooses the kind, the second whether conflicts are forced; the live object and the applied
//! configuration follow.

use crate::input::{json, parts};
use crate::kinds;
use hypermesh_merge::{Context, FieldSet, apply, track_update};
use serde_json::{Value, json};

/// Applies, and applies again; updates, and updates again.
pub fn target(data: &[u8]) {
    let [kind, how, rest @ ..] = data else { return };
    let kind = kinds::by(*kind);
    let [live, applied] = parts(rest);
    let (live, Some(mut applied)) = (json(live), json(applied)) else { return };
    // What an apply must say anyway is not for the fuzzer to guess.
    if let Value::Object(map) = &mut applied {
        map.insert("apiVersion".to_owned(), json!(kind.api_version));
        map.insert("kind".to_owned(), json!(kind.definition.names.kind));
    }
    let live = live.filter(Value::is_object).map(|mut live| {
        live["apiVersion"] = json!(kind.api_version);
        live["kind"] = json!(kind.definition.names.kind);
        live
    });
    let reset: &[&[&str]] = if how & 2 == 0 { &[] } else { &[&["status"]] };
    let context = Context {
        schema: &kind.schema,
        manager: if how & 4 == 0 { "kubectl" } else { "before-first-apply" },
        api_version: &kind.api_version,
        subresource: "",
        time: "2026-11-21T09:18:03Z",
        force: how & 1 == 1,
        reset,
    };
    if let Ok(once) = apply(&context, live.as_ref(), &applied) {
        readable(&once, live.is_none());
        let later = Context { time: "2026-11-21T10:00:00Z", ..context };
        let twice = apply(&later, Some(&once), &applied);
        assert_eq!(twice.as_ref(), Ok(&once), "applying twice is applying once, times included");
    }
    let mut updated = applied.clone();
    if track_update(&context, live.as_ref(), &mut updated).is_ok() {
        readable(&updated, live.is_none());
        let mut again = updated.clone();
        let later = Context { time: "2026-11-21T10:00:00Z", ..context };
        assert_eq!(track_update(&later, Some(&updated), &mut again), Ok(()));
        assert_eq!(again, updated, "an update that changes nothing leaves entries and times");
    }
}

/// The entries of an object that was just written can be read; those of a `new` one are in their one form. What others
/// wrote stays as they wrote it while nothing changes.
fn readable(object: &Value, new: bool) {
    let Some(entries) = object.pointer("/metadata/managedFields") else { return };
    let entries = entries.as_array().expect("a list");
    for entry in entries {
        let Some(written) = entry.get("fieldsV1").filter(|_| new) else { continue };
        let fields = FieldSet::from_fields_v1(written).expect("fields that are read");
        assert_eq!(fields.to_fields_v1(), *written, "the canonical form");
        assert!(entry["manager"].is_string() && entry["operation"].is_string());
    }
}
