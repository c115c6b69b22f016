//! The three patches.

use super::*;
use crate::fixture::{asset, object};
use serde_json::{Value, json};

fn patched(doc: Value, patch: Value) -> Result<String, PatchError> {
    let mut out = doc.clone();
    match json_patch(&mut out, &patch) {
        Ok(()) => Ok(out.to_string()),
        Err(error) => {
            assert_eq!(out, doc, "a failed patch leaves the object as it is");
            Err(error)
        }
    }
}

#[test]
fn json_patch_does_what_rfc_6902_shows() {
    let check = |doc, patch, expected: Value| assert_eq!(patched(doc, patch), Ok(expected.to_string()));
    check(
        json!({"foo": "bar"}),
        json!([{"op": "add", "path": "/baz", "value": "qux"}]),
        json!({"foo": "bar", "baz": "qux"}),
    );
    check(
        json!({"foo": ["a", "b"]}),
        json!([{"op": "add", "path": "/foo/1", "value": "x"}]),
        json!({"foo": ["a", "x", "b"]}),
    );
    check(json!({"foo": ["a", "b"]}), json!([{"op": "remove", "path": "/foo/0"}]), json!({"foo": ["b"]}));
    check(json!({"a": 1}), json!([{"op": "replace", "path": "/a", "value": 2}]), json!({"a": 2}));
    check(
        json!({"foo": {"bar": 1, "waldo": 2}, "qux": {}}),
        json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
        json!({"foo": {"bar": 1}, "qux": {"thud": 2}}),
    );
    check(
        json!({"l": [1, 2, 3]}),
        json!([{"op": "move", "from": "/l/0", "path": "/l/2"}]),
        json!({"l": [2, 3, 1]}),
    );
    check(
        json!({"a": {"b": 1}}),
        json!([{"op": "copy", "from": "/a", "path": "/c"}]),
        json!({"a": {"b": 1}, "c": {"b": 1}}),
    );
    check(
        json!({"/": 9, "~1": 10}),
        json!([{"op": "test", "path": "/~01", "value": 10}, {"op": "remove", "path": "/~1"}]),
        json!({"~1": 10}),
    );
    check(json!({"l": [1]}), json!([{"op": "add", "path": "/l/-", "value": [2]}]), json!({"l": [1, [2]]}));
    check(json!({"a": 1}), json!([{"op": "add", "path": "", "value": {"b": 1}}]), json!({"b": 1}));
    check(
        json!({"a": 1}),
        json!([{"op": "test", "path": "/a", "value": 1.0}, {"op": "test", "path": "/x"}]),
        json!({"a": 1}),
    );
    check(
        json!({"l": [1, 2]}),
        json!([{"op": "remove", "path": "/l/-1"}, {"op": "add", "path": "/l/-1", "value": 9}]),
        json!({"l": [1, 9]}),
    );
}

#[test]
fn json_patch_refusals_say_whose_fault_it_is() {
    let doc = || json!({"a": {"b": 1}, "l": [1]});
    let code = |patch: Value| patched(doc(), patch).unwrap_err().code();
    for inapplicable in [
        json!([{"op": "remove", "path": "/x"}]),
        json!([{"op": "remove", "path": ""}]),
        json!([{"op": "replace", "path": "/x", "value": 1}]),
        json!([{"op": "add", "path": "/x/y", "value": 1}]),
        json!([{"op": "add", "path": "/a/b/c", "value": 1}]),
        json!([{"op": "add", "path": "/l/2", "value": 1}]),
        json!([{"op": "add", "path": "/l/01", "value": 1}]),
        json!([{"op": "add", "path": "/l/x", "value": 1}]),
        json!([{"op": "copy", "from": "/x", "path": "/y"}]),
        json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
        json!([{"op": "add", "path": "/ok", "value": 1}, {"op": "test", "path": "/a", "value": 1}]),
    ] {
        assert_eq!(code(inapplicable.clone()), 422, "{inapplicable}");
    }
    for malformed in [
        json!({}),
        json!([1]),
        json!([{"op": "frob", "path": "/a"}]),
        json!([{"path": "/a"}]),
        json!([{"op": "add", "path": "/a"}]),
        json!([{"op": "add", "path": "a", "value": 1}]),
        json!([{"op": "add", "path": "/~2", "value": 1}]),
        json!([{"op": "remove", "path": "/x"}, {"op": "move", "path": "/a"}]),
    ] {
        assert_eq!(code(malformed.clone()), 400, "{malformed}");
    }
}

#[test]
fn json_patch_refusals_say_which_operation_and_what_is_there() {
    let doc = json!({"a": {"b": 1, "s~/": "x"}, "l": [1, 2]});
    let tell = |operation: Value| {
        let fine = json!({"op": "add", "path": "/n", "value": 1});
        patched(doc.clone(), json!([fine, operation])).unwrap_err().to_string()
    };
    let texts = [
        json!({"op": "test", "path": "/a/b", "value": 2}),
        json!({"op": "test", "path": "/a", "value": "x"}),
        json!({"op": "test", "path": "/x/y", "value": 1}),
        json!({"op": "replace", "path": "/a/c", "value": 1}),
        json!({"op": "remove", "path": "/x"}),
        json!({"op": "remove", "path": ""}),
        json!({"op": "add", "path": "/x/y", "value": 1}),
        json!({"op": "add", "path": "/a/b/c", "value": 1}),
        json!({"op": "add", "path": "/a/s~0~1/c", "value": 1}),
        json!({"op": "add", "path": "/l/3", "value": 1}),
        json!({"op": "remove", "path": "/l/2"}),
        json!({"op": "copy", "from": "/l/x", "path": "/y"}),
        json!({"op": "move", "from": "/a", "path": "/a/b"}),
    ]
    .map(tell);
    insta::assert_snapshot!(texts.join("\n"), @r#"
operation 1: test "/a/b" failed: it is another number
operation 1: test "/a" failed: it is an object, and not a string
operation 1: test "/x/y" failed: the object has no field "x"
operation 1: replace "/a/c": "/a" has no field "c"
operation 1: remove "/x": the object has no field "x"
operation 1: remove "": the whole object cannot be removed
operation 1: add "/x/y": the object has no field "x"
operation 1: add "/a/b/c": "/a/b" is a number, which holds nothing
operation 1: add "/a/s~0~1/c": "/a/s~0~1" is a string, which holds nothing
operation 1: add "/l/3": "/l" has 2 items, and none at "3"
operation 1: remove "/l/2": "/l" has 2 items, and none at "2"
operation 1: copy "/l/x": "/l" has 2 items, and none at "x"
operation 1: move "/a/b": a value cannot be moved into itself
"#);
    let long = tell(json!({"op": "remove", "path": format!("/{}", "é".repeat(5000))}));
    assert!(long.len() < 1000, "{long}");
}

#[test]
fn json_patch_is_bounded() {
    let many = vec![json!({"op": "test", "path": ""}); MAX_OPERATIONS + 1];
    assert_eq!(patched(json!({}), Value::Array(many)).unwrap_err().code(), 413);
    // Doubling by copy: a thousand bytes would become 2^40.
    let doubling: Vec<Value> = (0..30)
        .map(|_| json!({"op": "copy", "from": "", "path": "/x"}))
        .chain((0..30).map(|i| json!({"op": "copy", "from": "/l", "path": format!("/l/{i}")})))
        .collect();
    assert!(matches!(
        patched(json!({"l": ["y".repeat(1000)]}), Value::Array(doubling)),
        Err(PatchError::TooCostly { .. })
    ));
    // Nesting by moving.
    let nesting: Vec<Value> = (0..200)
        .flat_map(|_| {
            [
                json!({"op": "add", "path": "/b", "value": {}}),
                json!({"op": "move", "from": "/a", "path": "/b/a"}),
                json!({"op": "move", "from": "/b", "path": "/a"}),
            ]
        })
        .collect();
    assert!(matches!(patched(json!({"a": {}}), Value::Array(nesting)), Err(PatchError::TooCostly { .. })));
    // Shifting a long list.
    let shifts = vec![json!({"op": "add", "path": "/l/0", "value": 1}); MAX_OPERATIONS];
    assert!(matches!(
        patched(json!({"l": vec![0; 100_000]}), Value::Array(shifts)),
        Err(PatchError::TooCostly { .. })
    ));
}

#[test]
fn merge_patch_does_what_rfc_7386_shows() {
    let check = |doc: Value, patch: Value, expected: Value| {
        let mut out = doc;
        merge_patch(&mut out, &patch).unwrap();
        assert_eq!(out, expected);
    };
    check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
    check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
    check(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}));
    check(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}));
    check(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
    check(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    check(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}));
    assert_eq!(merge_patch(&mut json!({}), &json!([])).unwrap_err().code(), 400);
    let deep = (0..200).fold(json!(1), |inner, _| json!({"a": inner}));
    assert_eq!(merge_patch(&mut json!({}), &deep).unwrap_err().code(), 400);
}

fn merged(spec: Value, patch: Value) -> Result<String, PatchError> {
    let doc = object(spec);
    let mut out = doc.clone();
    match strategic(&mut out, &json!({"spec": patch}), &asset()) {
        Ok(()) => Ok(out["spec"].to_string()),
        Err(error) => {
            assert_eq!(out, doc);
            Err(error)
        }
    }
}

#[test]
fn strategic_merges_lists_by_key() {
    let spec =
        || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}], "steps": ["x"]});
    let check = |patch, expected: Value| assert_eq!(merged(spec(), patch), Ok(expected.to_string()));
    check(
        json!({"containers": [{"name": "b", "image": "3"}, {"name": "c", "image": null, "args": ["z"]}], "steps": ["y"]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}, {"name": "c", "args": ["z"]}], "steps": ["y"]}),
    );
    check(
        json!({"containers": [{"$patch": "delete", "name": "a"}]}),
        json!({"containers": [{"name": "b", "image": "2"}], "steps": ["x"]}),
    );
    check(
        json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
        json!({"containers": [{"name": "z"}], "steps": ["x"]}),
    );
    check(
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]}),
        json!({"containers": [{"name": "b", "image": "2"}, {"name": "c"}, {"name": "a", "image": "1"}], "steps": ["x"]}),
    );
    check(json!({"containers": null, "steps": []}), json!({"steps": []}));
    check(json!({"$patch": "delete"}), json!({}));
    check(json!({"$patch": "replace", "color": "red"}), json!({"color": "red"}));
}

#[test]
fn strategic_merges_scalars_and_retains_keys() {
    let spec = || json!({"tags": ["a", "b", "c"], "strategy": {"type": "Rolling", "rolling": {"x": 1}}});
    let check = |patch, expected: &str| assert_eq!(merged(spec(), patch).unwrap(), expected);
    check(
        json!({"tags": ["c", "d"]}),
        r#"{"strategy":{"rolling":{"x":1},"type":"Rolling"},"tags":["a","b","c","d"]}"#,
    );
    check(
        json!({"$deleteFromPrimitiveList/tags": ["a", "c"], "strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        r#"{"strategy":{"type":"Recreate"},"tags":["b"]}"#,
    );
    check(
        json!({"$setElementOrder/tags": ["c", "x", "a"], "tags": ["x"], "strategy": null}),
        r#"{"tags":["b","c","x","a"]}"#,
    );
}

#[test]
fn strategic_merges_metadata_and_unknown_fields() {
    let mut doc = json!({"metadata": {"finalizers": ["a"], "ownerReferences": [{"uid": "1"}]}, "x": {"l": [1], "m": {"a": 1}}});
    let patch = json!({
        "metadata": {"finalizers": ["b"], "ownerReferences": [{"uid": "2"}], "labels": {"k": "v", "n": null}},
        "x": {"l": [2], "m": {"b": {"$patch": "replace"}, "c": [{"$patch": "delete"}, 3]}},
    });
    strategic(&mut doc, &patch, &asset()).unwrap();
    insta::assert_snapshot!(doc, @r#"{"metadata":{"finalizers":["b","a"],"labels":{"k":"v"},"ownerReferences":[{"uid":"2"},{"uid":"1"}]},"x":{"l":[2],"m":{"a":1,"c":[3]}}}"#);
}

#[test]
fn strategic_refuses_what_it_cannot_understand() {
    let spec = || json!({"containers": [{"name": "a"}], "tags": ["a"]});
    for bad in [
        json!({"$patch": "frob"}),
        json!({"$patch": 1}),
        json!({"containers": [{"image": "x"}]}),
        json!({"containers": [{"name": "a"}, "x"]}),
        json!({"containers": [{"$patch": "delete"}]}),
        json!({"containers": [["x"]]}),
        json!({"tags": [["x"]]}),
        json!({"tags": ["x", {}]}),
        json!({"$deleteFromPrimitiveList/tags": null}),
        json!({"$setElementOrder/tags": "a"}),
        json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}),
        json!({"$setElementOrder/containers": [{}], "containers": [{"name": "b"}]}),
        json!({"$retainKeys": "x"}),
        json!({"$retainKeys": ["a"], "color": "red"}),
    ] {
        assert_eq!(merged(spec(), bad.clone()).map_err(|e| e.code()), Err(400), "{bad}");
    }
    assert!(strategic(&mut json!([]), &json!({}), &asset()).is_err());
}
