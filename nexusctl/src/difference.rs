//! What differs between an object before and after. Pure: values in, text and patches out.
//!
//! What Secrets hold is never shown: that a value differs is, and no more.

mod changes;
mod unified;

pub use changes::{Change, changes, merge_patch, overlap};
pub use unified::{Look, unified};

use crate::{manifest::path::Step, output};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Metadata that only says that something was written.
const UNSAID_OF_NEW: [&str; 4] = ["uid", "creationTimestamp", "resourceVersion", "generation"];
/// What every write changes, whatever it says: no difference by itself.
const UNSAID: [&str; 2] = ["resourceVersion", "generation"];
/// The longest value that is shown on one line.
const LONGEST: usize = 120;

/// An object before and after, made fit to be shown: Secrets are masked, and what the server keeps for itself is left
/// out, so that nothing differs where nobody would see a difference.
pub fn presentable(before: Option<Value>, after: Option<Value>, managed_fields: bool) -> [Option<Value>; 2] {
    let (mut before, mut after) = (before, after);
    for object in [&mut before, &mut after].into_iter().flatten() {
        if !managed_fields {
            output::hide_managed_fields(object);
        }
    }
    if before.is_some() && after.is_some() {
        for metadata in [&mut before, &mut after].into_iter().flatten().filter_map(|o| o.get_mut("metadata"))
        {
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.retain(|key, _| !UNSAID.contains(&key.as_str()));
            }
        }
    }
    if before.is_none()
        && let Some(metadata) =
            after.as_mut().and_then(|a| a.get_mut("metadata")).and_then(Value::as_object_mut)
    {
        metadata.retain(|key, _| !UNSAID_OF_NEW.contains(&key.as_str()));
    }
    for field in ["data", "stringData"] {
        mask(&mut before, &mut after, field);
    }
    [before, after]
}

fn is_secret(object: &Value) -> bool {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    text("kind") == Some("Secret") && text("apiVersion") == Some("v1")
}

/// Hides what Secrets hold; that a value differs still shows.
fn mask(before: &mut Option<Value>, after: &mut Option<Value>, field: &str) {
    if ![&*before, &*after].into_iter().flatten().any(is_secret) {
        return;
    }
    let held = |object: &Option<Value>| -> Map<String, Value> {
        object.as_ref().and_then(|o| o.get(field)).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let (old, new) = (held(before), held(after));
    let hide = |values: &Map<String, Value>, other: &Map<String, Value>, which: &str| -> Map<String, Value> {
        let hidden = |key: &str, value: &Value| match other.get(key) {
            Some(theirs) if theirs != value => format!("*** ({which})"),
            _ => "***".to_owned(),
        };
        values.iter().map(|(key, value)| (key.clone(), hidden(key, value).into())).collect()
    };
    for (object, hidden) in
        [(&mut *before, hide(&old, &new, "before")), (&mut *after, hide(&new, &old, "after"))]
    {
        if let Some(values) = object.as_mut().and_then(|o| o.get_mut(field)).and_then(Value::as_object_mut) {
            *values = hidden;
        }
    }
    for object in [before, after].into_iter().flatten() {
        mask_last_applied(object);
    }
}

/// What other programs keep in annotations repeats what the object holds.
fn mask_last_applied(object: &mut Value) {
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(text) =
        annotations.and_then(|a| a.get_mut("kubectl.kubernetes.io/last-applied-configuration"))
    {
        *text = "***".into();
    }
}

/// One line a changed field, under the object's name; empty if nothing changed.
pub fn by_field(name: &str, before: Option<&Value>, after: Option<&Value>, color: bool) -> String {
    let null = Value::Null;
    let changes = match (before, after) {
        (None, Some(_)) => return paint(color, Paint::Added, &format!("+ {name}")) + "\n",
        (Some(_), None) => return paint(color, Paint::Removed, &format!("- {name}")) + "\n",
        (before, after) => changes(before.unwrap_or(&null), after.unwrap_or(&null)),
    };
    if changes.is_empty() {
        return String::new();
    }
    let mut text = paint(color, Paint::Title, &format!("~ {name}")) + "\n";
    for Change { path, before, after } in changes {
        let line = match (before, after) {
            (None, Some(after)) => paint(color, Paint::Added, &format!("  + {path}: {}", short(&after))),
            (Some(before), None) => paint(color, Paint::Removed, &format!("  - {path}: {}", short(&before))),
            (before, after) => {
                let [before, after] = [before, after].map(|value| short(&value.unwrap_or_default()));
                let (before, after) =
                    (paint(color, Paint::Removed, &before), paint(color, Paint::Added, &after));
                format!("  ~ {path}: {before} → {after}")
            }
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => output::escape(text).replace('\n', "\\n"),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// A step by a key, written so that it can be read back.
fn key_step(key: &str) -> Step {
    if key.contains(['.', '/', '[']) { Step::Value(key.into()) } else { Step::Field(key.to_owned()) }
}

/// What a piece of a difference is.
#[derive(Clone, Copy, Debug)]
enum Paint {
    Title,
    Place,
    Added,
    Removed,
}

fn paint(color: bool, paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Title => "1",
        Paint::Place => "36",
        Paint::Added => "32",
        Paint::Removed => "31",
    };
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
