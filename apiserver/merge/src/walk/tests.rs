//! Sets and comparisons of values.

use super::*;
use crate::fixture::{asset, object};
use serde_json::json;

fn owned(spec: Value) -> String {
    to_field_set(&asset(), &json!({"spec": spec})).to_fields_v1().to_string()
}

fn changes(old: Value, new: Value) -> String {
    let c = compare(&asset(), &json!({"spec": old}), &json!({"spec": new}));
    format!("+{} ~{} -{}", c.added.to_fields_v1(), c.modified.to_fields_v1(), c.removed.to_fields_v1())
}

#[test]
fn an_applier_owns_leaves_items_and_unnamed_fields() {
    insta::assert_snapshot!(owned(json!({"color": "red", "position": {"x": 1}, "steps": ["a"]})),
        @r#"{"f:spec":{"f:color":{},"f:position":{},"f:steps":{}}}"#);
    insta::assert_snapshot!(owned(json!({"tags": ["b", "a"], "limits": {"cpu": "1"}})),
        @r#"{"f:spec":{"f:limits":{"f:cpu":{}},"f:tags":{"v:\"a\"":{},"v:\"b\"":{}}}}"#);
    insta::assert_snapshot!(owned(json!({"free": {"a": {"b": [1, {"c": 2}]}}})),
        @r#"{"f:spec":{"f:free":{"f:a":{".":{},"f:b":{}}}}}"#);
    insta::assert_snapshot!(owned(json!({"limits": {}, "position": null, "tags": [], "free": null})),
        @r#"{"f:spec":{"f:free":{},"f:limits":{},"f:position":{}}}"#);
}

#[test]
fn list_maps_are_keyed_with_their_defaults() {
    insta::assert_snapshot!(
        owned(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}]})),
        @r#"{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}},"k:{\"containerPort\":80,\"protocol\":\"UDP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}}}}}}"#);
}

#[test]
fn metadata_is_typed_whatever_the_schema_says_of_it() {
    let value = json!({
        "metadata": {
            "labels": {"a": "1"}, "finalizers": ["x"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}],
        },
        "spec": {"template": {"metadata": {"labels": {"a": "1"}}, "x": {"y": [1]}}},
    });
    insta::assert_snapshot!(to_field_set(&asset(), &value).to_fields_v1(), @r#"{"f:metadata":{"f:finalizers":{"v:\"x\"":{}},"f:labels":{"f:a":{}},"f:ownerReferences":{"k:{\"uid\":\"u\"}":{}}},"f:spec":{"f:template":{"f:metadata":{"f:labels":{"f:a":{}}},"f:x":{".":{},"f:y":{}}}}}"#);
}

#[test]
fn a_kind_without_schema_has_granular_maps_and_atomic_lists() {
    let value = json!({"a": {"b": {"c": 1}}, "l": [{"x": 1}]});
    let set = to_field_set(&Schema::default(), &value);
    insta::assert_snapshot!(set.to_fields_v1(), @r#"{"f:a":{".":{},"f:b":{".":{},"f:c":{}}},"f:l":{}}"#);
}

#[test]
fn comparison_tells_added_modified_and_removed_apart() {
    insta::assert_snapshot!(changes(json!({"color": "red", "replicas": 1}), json!({"color": "blue", "steps": []})),
        @r#"+{"f:spec":{"f:steps":{}}} ~{"f:spec":{"f:color":{}}} -{"f:spec":{"f:replicas":{}}}"#);
    insta::assert_snapshot!(changes(json!({"position": {"x": 1, "y": 2}}), json!({"position": {"x": 1}})),
        @r#"+{} ~{"f:spec":{"f:position":{}}} -{}"#);
    insta::assert_snapshot!(changes(json!({"limits": {"a": "1"}}), json!({"limits": {"b": "1"}})),
        @r#"+{"f:spec":{"f:limits":{"f:b":{}}}} ~{} -{"f:spec":{"f:limits":{"f:a":{}}}}"#);
    insta::assert_snapshot!(changes(json!({"replicas": 1}), json!({"replicas": 1.0})), @"+{} ~{} -{}");
}

#[test]
fn order_and_emptiness() {
    insta::assert_snapshot!(changes(json!({"tags": ["a", "b"]}), json!({"tags": ["b", "a"]})), @"+{} ~{} -{}");
    insta::assert_snapshot!(changes(json!({"steps": ["a", "b"]}), json!({"steps": ["b", "a"]})),
        @r#"+{} ~{"f:spec":{"f:steps":{}}} -{}"#);
    insta::assert_snapshot!(changes(json!({"limits": {}}), json!({"limits": null})),
        @r#"+{} ~{"f:spec":{"f:limits":{}}} -{}"#);
    insta::assert_snapshot!(changes(json!({"limits": {"a": "1"}}), json!({"limits": null})),
        @r#"+{} ~{} -{"f:spec":{"f:limits":{"f:a":{}}}}"#);
}

#[test]
fn a_change_of_type_is_a_modification() {
    insta::assert_snapshot!(changes(json!({"free": {"a": 1}}), json!({"free": {"a": {"b": 1}}})),
        @r#"+{"f:spec":{"f:free":{"f:a":{"f:b":{}}}}} ~{"f:spec":{"f:free":{"f:a":{}}}} -{}"#);
    insta::assert_snapshot!(changes(json!({"free": {"a": {"b": 1}}}), json!({"free": {"a": [1]}})),
        @r#"+{} ~{"f:spec":{"f:free":{"f:a":{}}}} -{"f:spec":{"f:free":{"f:a":{"f:b":{}}}}}"#);
    insta::assert_snapshot!(changes(json!({"containers": [{"name": "a"}]}), json!({"containers": "x"})),
        @r#"+{} ~{"f:spec":{"f:containers":{}}} -{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}}"#);
}

#[test]
fn items_that_cannot_be_told_apart_are_compared_as_one() {
    let one = json!({"containers": [{"name": "a", "image": "1"}]});
    let two = json!({"containers": [{"name": "a", "image": "1"}, {"name": "a", "image": "2"}]});
    insta::assert_snapshot!(changes(two.clone(), two.clone()), @"+{} ~{} -{}");
    insta::assert_snapshot!(changes(one.clone(), two.clone()),
        @r#"+{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{}}}} ~{} -{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}}"#);
    insta::assert_snapshot!(changes(two, one),
        @r#"+{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}} ~{} -{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{}}}}"#);
    insta::assert_snapshot!(changes(json!({"tags": [{}]}), json!({"tags": ["a"]})),
        @r#"+{} ~{"f:spec":{"f:tags":{}}} -{}"#);
}

#[test]
fn merged_lists_keep_the_live_order_and_take_the_applied_one() {
    let schema = asset();
    let merged = |live: &[&str], applied: &[&str]| {
        let mut value = object(json!({"tags": live}));
        merge(Type::root(&schema), &mut value, &object(json!({"tags": applied})));
        value["spec"]["tags"].to_string()
    };
    assert_eq!(merged(&["a", "b", "c"], &["b"]), r#"["a","b","c"]"#);
    assert_eq!(merged(&["a", "b", "c"], &["c", "a"]), r#"["b","c","a"]"#);
    assert_eq!(merged(&["a", "b"], &["x", "a", "y"]), r#"["x","a","b","y"]"#);
    assert_eq!(merged(&["a"], &[]), r#"["a"]"#);
    assert_eq!(merged(&[], &["a"]), r#"["a"]"#);
    assert_eq!(
        merged(&["a", "a", "b"], &["b", "a"]),
        r#"["b","a"]"#,
        "duplicates give way to the applied item"
    );
}

#[test]
fn hostile_depth_is_one_leaf() {
    let deep = (0..120).fold(json!(1), |inner, _| json!({"a": inner}));
    let value = json!({"spec": {"free": deep}});
    let set = to_field_set(&asset(), &value);
    assert!(crate::value::depth(&set.to_fields_v1(), 200) <= crate::MAX_DEPTH + 1);
    let c = compare(&asset(), &json!({"spec": {"free": {}}}), &value);
    assert!(!c.added.is_empty());
    assert!(!check(Type::root(&asset()), &value).is_empty());
}
