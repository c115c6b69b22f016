//! Client-side apply's annotation: `kubectl apply --server-side` inherits the fields it stands for, and keeps it
//! current for a way back (`lastAppliedManager`, `lastAppliedUpdater`).

use crate::context::Context;
use crate::fieldset::FieldSet;
use crate::shape::Type;
use crate::walk::{compare_typed, owned_fields};
use hypermesh_api::printed::push_json;
use serde_json::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together, in bytes (`validation.TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Whether this manager is the one that client-side apply hands over to.
pub(crate) fn is_heir(manager: &str) -> bool {
    manager == "kubectl"
}

/// Fields that client-side apply set and that still are as it set them. `None` without a usable annotation.
pub(crate) fn inherited(cx: &Context<'_>, live: &Value) -> Option<FieldSet> {
    let text = live.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last.get("apiVersion")?.as_str()? != cx.api_version {
        return None;
    }
    let ty = Type::root(cx.schema);
    let changes = compare_typed(ty, &last, live);
    let set = owned_fields(ty, &last);
    Some(set.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
}

/// What is applied with its own annotation settled, where it brings one: what is about to be stored, so that applying
/// it again changes nothing.
pub(crate) fn settled(applied: &Value) -> Option<Value> {
    applied.get("metadata")?.get("annotations")?.get(ANNOTATION)?;
    let mut settled = applied.clone();
    refresh(&mut settled, applied);
    Some(settled)
}

/// Rewrites the annotation to what was applied now, if the object has one; an annotation that would be too large is
/// dropped.
pub(crate) fn refresh(object: &mut Value, applied: &Value) {
    let annotations = object.get_mut("metadata").and_then(|m| m.get_mut("annotations"));
    let Some(Value::Object(annotations)) = annotations else { return };
    if !matches!(annotations.get(ANNOTATION), Some(Value::String(text)) if !text.is_empty()) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Value::Object(annotations)) =
        applied.get_mut("metadata").and_then(|m| m.get_mut("annotations"))
    {
        annotations.remove(ANNOTATION);
    }
    let mut text = String::new();
    push_json(&mut text, &applied);
    text.push('\n');
    annotations.insert(ANNOTATION.to_owned(), Value::String(text));
    let size: usize =
        annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}
