//! JSON patches (RFC 6902): an object and a patch of it.

use crate::input::{self, parts};
use crate::json::same;
use hypermesh_api::json::MAX_DEPTH;
use hypermesh_merge::patch::{MAX_NESTING, PatchError, json_patch};
use serde_json::json;

/// Patches an object.
pub fn target(data: &[u8]) {
    let [object, patch] = parts(data);
    let (Some(object), Some(patch)) = (input::json(object), input::json(patch)) else { return };
    let mut patched = object.clone();
    let result = json_patch(&mut patched, &patch);
    let mut again = object.clone();
    assert_eq!(json_patch(&mut again, &patch), result);
    assert_eq!(again, patched, "a patch is a function of the object");
    const { assert!(MAX_NESTING <= MAX_DEPTH) };
    match result {
        Err(error) => {
            assert_eq!(patched, object, "what is refused leaves the object as it is");
            assert!([400, 413, 422].contains(&error.code()));
            assert_eq!(error.code() == 400, matches!(error, PatchError::Malformed(_)));
        }
        Ok(()) => {
            // What a patch makes can be read back, so that no patch can make an object that no later one can change.
            let written = serde_json::to_vec(&patched).expect("a value is written");
            assert!(input::json(&written).is_some_and(|read| same(&read, &patched)));
            assert!(written.len() <= 3 * (4 << 20), "{} bytes", written.len());
        }
    }
    let mut same = object.clone();
    assert_eq!(json_patch(&mut same, &json!([])), Ok(()));
    assert_eq!(json_patch(&mut same, &json!([{"op": "test", "path": "", "value": object}])), Ok(()));
    assert_eq!(same, object, "what changes nothing changes nothing");
}
