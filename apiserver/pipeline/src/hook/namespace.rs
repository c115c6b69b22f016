//! Namespaces: the label that names them, the finalizer that empties them, their phase.

use crate::metadata;
use hypermesh_api::FieldError;
use serde_json::{Value, json};

/// The finalizer (in `spec.finalizers`) of a namespace that is still to be emptied.
pub(crate) const FINALIZER: &str = "kubernetes";
/// The label that carries a namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn prepare(object: &mut Value, old: Option<&Value>) {
    let name = metadata::text(object, "name").to_owned();
    if let Some(meta) = metadata::of(object) {
        let labels = meta.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut()
            && !name.is_empty()
        {
            labels.insert(NAME_LABEL.into(), name.into());
        }
    }
    let Some(map) = object.as_object_mut() else { return };
    match old {
        None => {
            map.insert("spec".into(), json!({"finalizers": [FINALIZER]}));
            map.insert("status".into(), json!({"phase": "Active"}));
        }
        Some(old) => {
            // Only the state machine empties a namespace, and so only it takes the finalizer away.
            if let Some(spec) = old.get("spec") {
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
pub(super) fn validate(object: &Value) -> Vec<FieldError> {
    let kept = crate::genesis::NAMESPACES.contains(&metadata::text(object, "name"));
    if kept && object.pointer("/metadata/ownerReferences").is_some() {
        return vec![FieldError::forbidden("metadata.ownerReferences", "nothing may own this namespace")];
    }
    Vec::new()
}
