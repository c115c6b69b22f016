//! Strategic merge patches of the kinds that are served. The first byte chooses the kind; an object and a patch follow.

use crate::input::{json, parts};
use crate::kinds;
use hypermesh_merge::patch::strategic;
use serde_json::json;

/// Patches an object.
pub fn target(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let schema = &kinds::by(*kind).schema;
    let [object, patch] = parts(rest);
    let (Some(object), Some(patch)) = (json(object), json(patch)) else { return };
    let (mut patched, mut again) = (object.clone(), object.clone());
    let result = strategic(&mut patched, &patch, schema);
    assert_eq!(strategic(&mut again, &patch, schema), result);
    assert_eq!(again, patched, "a patch is a function of the object");
    if let Err(error) = &result {
        assert_eq!(patched, object, "what is refused leaves the object as it is");
        assert!([400, 422].contains(&error.code()));
    } else {
        assert!(patched.is_object());
    }
    if object.is_object() {
        let mut same = object.clone();
        assert_eq!(strategic(&mut same, &json!({}), schema), Ok(()));
        assert_eq!(same, object, "an empty patch changes nothing");
    }
}
