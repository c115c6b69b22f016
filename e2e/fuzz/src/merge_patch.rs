//! Merge patches (RFC 7386): an object and a patch of it, against the RFC's own definition.

use crate::input::{json, parts};
use hypermesh_merge::patch::{MAX_NESTING, merge_patch};
use serde_json::{Map, Value, json};

/// Patches an object.
pub fn target(data: &[u8]) {
    let [object, patch] = parts(data);
    let (Some(object), Some(patch)) = (json(object), json(patch)) else { return };
    let mut once = object.clone();
    if let Err(error) = merge_patch(&mut once, &patch) {
        assert_eq!(once, object, "what is refused leaves the object as it is");
        assert!(!patch.is_object() || depth(&patch) > MAX_NESTING, "refused without need: {error}");
        return;
    }
    assert_eq!(once, as_defined(&object, &patch), "the RFC's definition");
    let mut twice = once.clone();
    assert_eq!(merge_patch(&mut twice, &patch), Ok(()));
    assert_eq!(twice, once, "a merge patch applied twice is applied once");
    if object.is_object() {
        let mut same = object.clone();
        assert_eq!(merge_patch(&mut same, &json!({})), Ok(()));
        assert_eq!(same, object);
    }
}

/// RFC 7386, section 2, as it stands there.
fn as_defined(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_else(Map::new);
    for (name, value) in patch {
        if value.is_null() {
            result.remove(name);
        } else {
            let before = result.get(name).cloned().unwrap_or(Value::Null);
            result.insert(name.clone(), as_defined(&before, value));
        }
    }
    Value::Object(result)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
