//! Merge patch (RFC 7386).

use super::{MAX_NESTING, PatchError};
use crate::value::depth;
use serde_json::{Map, Value};

/// Merges `patch`, which must be an object: null removes, objects merge, anything else replaces.
pub fn merge_patch(doc: &mut Value, patch: &Value) -> Result<(), PatchError> {
    check_patch(patch)?;
    merge(doc, patch);
    Ok(())
}

/// Bounds the recursion of what follows.
pub(super) fn check_patch(patch: &Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("a patch must be an object".into()));
    }
    if depth(patch, MAX_NESTING) > MAX_NESTING {
        return Err(PatchError::Malformed(format!("a patch may be nested {MAX_NESTING} levels deep")));
    }
    Ok(())
}

fn merge(doc: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *doc = patch.clone();
        return;
    };
    if !doc.is_object() {
        *doc = Value::Object(Map::new());
    }
    let Value::Object(map) = doc else { return };
    for (name, patch) in patch {
        if patch.is_null() {
            map.remove(name);
        } else if let Some(value) = map.get_mut(name) {
            merge(value, patch);
        } else {
            let mut value = Value::Null;
            merge(&mut value, patch);
            map.insert(name.clone(), value);
        }
    }
}
