//! Namespaces: the label that names them, the finalizer that empties them, their phase.

use crate::metadata;
use hypermesh_api::{FieldError, name};
use serde_json::{Value, json};

/// The finalizer (in `spec.finalizers`) of a namespace that is still to be emptied.
pub(crate) const FINALIZER: &str = "kubernetes";
/// The label that carries a namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The endpoint that replaces the finalizers, but for [`FINALIZER`].
const FINALIZE: &str = "finalize";

/// The label is a default, so whoever creates a namespace owns it. One whose name is generated gets it with the name.
pub(super) fn label(object: &mut Value) {
    let name = metadata::text(object, "name").to_owned();
    let Some(meta) = metadata::of(object).filter(|_| !name.is_empty()) else { return };
    let labels = meta.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(NAME_LABEL.into(), name.into());
    }
}

pub(super) fn prepare(object: &mut Value, old: Option<&Value>, subresource: &str) {
    label(object);
    let Some(map) = object.as_object_mut() else { return };
    match old {
        None => {
            map.insert("spec".into(), json!({"finalizers": [FINALIZER]}));
            map.insert("status".into(), json!({"phase": "Active"}));
        }
        Some(old) => {
            // People change them by an endpoint that nothing but an intention leads to.
            if let Some(spec) = old.get("spec").filter(|_| subresource != FINALIZE) {
                map.insert("spec".into(), spec.clone());
            }
            if let Some(phase) = old.pointer("/status/phase")
                && let Some(status) = map.entry("status").or_insert_with(|| json!({})).as_object_mut()
            {
                status.insert("phase".into(), phase.clone());
            }
        }
    }
}

/// The namespaces that every cluster has cannot be deleted, and so nothing may own them.
pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = finalizers(object);
    errors.extend(super::pod_security::validate_namespace(object, old));
    errors.extend(old.and_then(|old| emptier(object, old)));
    let kept = crate::genesis::NAMESPACES.contains(&metadata::text(object, "name"));
    if kept && object.pointer("/metadata/ownerReferences").is_some() {
        errors.push(FieldError::forbidden("metadata.ownerReferences", "nothing may own this namespace"));
    }
    errors
}

/// The state machine empties a namespace and only then takes [`FINALIZER`] away, once. Unlike in the reference nobody else
/// does: what is left behind, Secrets too, would belong to whoever makes a namespace of that name.
fn emptier(object: &Value, old: &Value) -> Option<FieldError> {
    let held = |object: &Value| {
        let list = object.pointer("/spec/finalizers").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|finalizer| finalizer.as_str() == Some(FINALIZER)))
    };
    let deleting = old.pointer("/metadata/deletionTimestamp").is_some();
    let words = match (held(old), held(object)) {
        (true, false) if deleting => {
            "\"kubernetes\" goes when the namespace is empty: status.conditions tell what is left in it"
        }
        (true, false) => "\"kubernetes\" goes when the namespace is deleted and empty: delete it",
        (false, true) if deleting => "\"kubernetes\" cannot be added: the namespace has been emptied",
        _ => return None,
    };
    Some(FieldError::forbidden("spec.finalizers", words))
}

/// Source: `k8s.io/kubernetes/pkg/apis/core/validation`, validateFinalizerName.
fn finalizers(object: &Value) -> Vec<FieldError> {
    const STANDARD: [&str; 3] = [FINALIZER, crate::verb::FOREGROUND, crate::verb::ORPHAN];
    let list = object.pointer("/spec/finalizers").and_then(Value::as_array).map(Vec::as_slice);
    let mut errors = Vec::new();
    for (i, finalizer) in list.unwrap_or_default().iter().enumerate() {
        let text = finalizer.as_str().unwrap_or_default();
        let path = format!("spec.finalizers[{i}]");
        let problems = name::qualified_name(text);
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(&path, text.into(), why)));
        if !text.contains('/') && !STANDARD.contains(&text) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path, text.into(), why));
        }
    }
    errors
}
