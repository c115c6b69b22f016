//! Sets, their laws by example, and `FieldsV1`.

use super::*;
use serde_json::{Value, json};

fn set(value: Value) -> FieldSet {
    FieldSet::from_fields_v1(&value).unwrap()
}

#[test]
fn fields_v1_reads_and_writes_what_upstream_writes() {
    let text = r#"{"f:a":{".":{},"f:b":{}},"f:list":{"k:{\"name\":\"x\",\"port\":80}":{".":{},"f:name":{}},"k:{\"name\":\"x\",\"port\":443}":{}},"f:set":{"v:1":{},"v:\"x\"":{},"v:true":{}},"f:at":{"i:0":{}}}"#;
    let read = set(serde_json::from_str(text).unwrap());
    assert_eq!(read.len(), 9);
    insta::assert_snapshot!(read.to_fields_v1_json(), @r#"{"f:a":{".":{},"f:b":{}},"f:at":{"i:0":{}},"f:list":{"k:{\"name\":\"x\",\"port\":80}":{".":{},"f:name":{}},"k:{\"name\":\"x\",\"port\":443}":{}},"f:set":{"v:1":{},"v:\"x\"":{},"v:true":{}}}"#);
    assert_eq!(set(read.to_fields_v1()), read);
    let paths: Vec<String> = read.paths().iter().map(Path::to_string).collect();
    insta::assert_snapshot!(paths.join(" "), @r#".a .a.b .at[0] .list[name="x",port=80] .list[name="x",port=443] .list[name="x",port=80].name .set[=1] .set[="x"] .set[=true]"#);
}

#[test]
fn a_path_with_nothing_below_is_a_member() {
    assert_eq!(set(json!({"f:a": {}})), set(json!({"f:a": {".": {}}})));
    assert_eq!(set(json!({"f:a": null})), set(json!({"f:a": {}})));
    assert!(set(json!({})).is_empty());
    assert!(set(json!({".": {}})).is_empty(), "nobody owns the whole object");
}

#[test]
fn elements_of_unknown_kinds_are_ignored_and_malformed_ones_are_not() {
    assert_eq!(set(json!({"x:future": {"f:a": {}}, "f:b": {}})), set(json!({"f:b": {}})));
    for bad in ["f", "fa", "", "é:", "k:[1]", "k:{", "v:", "v:{} {}", "i:x"] {
        assert!(FieldSet::from_fields_v1(&json!({ bad: {} })).is_err(), "{bad:?}");
    }
    assert_eq!(FieldSet::from_fields_v1(&json!([])), Err(FieldsError::NotAnObject));
    assert_eq!(FieldSet::from_fields_v1(&json!({"f:a": 1})), Err(FieldsError::NotAnObject));
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"f:a": inner}));
    assert!(FieldSet::from_fields_v1(&nested(crate::MAX_DEPTH)).is_ok());
    assert_eq!(FieldSet::from_fields_v1(&nested(300)), Err(FieldsError::TooDeep));
}

#[test]
fn keys_and_values_escape_as_go_escapes_them() {
    let mut text = String::new();
    Element::key(vec![("b".into(), json!("<&>")), ("a".into(), json!(1.0))]).write(&mut text);
    assert_eq!(text, "k:{\"a\":1,\"b\":\"\\u003c\\u0026\\u003e\"}");
    let back = Element::parse(&text).unwrap().unwrap();
    assert_eq!(back.to_string(), r#"[a=1,b="<&>"]"#);
}

#[test]
fn difference_takes_members_and_leaves_what_lies_below() {
    let all = set(json!({"f:a": {".": {}, "f:b": {".": {}, "f:c": {}}}, "f:d": {}}));
    let a = set(json!({"f:a": {}}));
    assert_eq!(all.clone().difference(&a), set(json!({"f:a": {"f:b": {".": {}, "f:c": {}}}, "f:d": {}})));
    assert_eq!(all.clone().recursive_difference(&a), set(json!({"f:d": {}})));
    let b = set(json!({"f:a": {"f:b": {}}}));
    assert_eq!(a.clone().difference(&b), a, "a parent is not taken with its child");
    assert_eq!(all.clone().recursive_difference(&b), set(json!({"f:a": {}, "f:d": {}})));
    assert!(b.clone().difference(&all).is_empty());
}

#[test]
fn union_intersection_and_leaves() {
    let l = set(json!({"f:a": {"f:b": {}}, "f:c": {}}));
    let r = set(json!({"f:a": {".": {}, "f:x": {}}, "f:d": {}}));
    let both = l.clone().union(r.clone());
    assert_eq!(both, set(json!({"f:a": {".": {}, "f:b": {}, "f:x": {}}, "f:c": {}, "f:d": {}})));
    assert_eq!(both.intersection(&l), l);
    assert!(l.intersection(&r).is_empty());
    assert_eq!(both.leaves(), set(json!({"f:a": {"f:b": {}, "f:x": {}}, "f:c": {}, "f:d": {}})));
}

#[test]
fn insertion_and_membership() {
    let mut fields = FieldSet::new();
    let path = [Element::field("a"), Element::Value(json!(1)), Element::field("b")];
    fields.insert(&path);
    fields.insert(&[]);
    assert!(fields.contains(&path));
    assert!(!fields.contains(&path[..2]) && !fields.contains(&[]));
    assert!(fields.contains(&[Element::field("a"), Element::Value(json!(1.0)), Element::field("b")]));
    assert_eq!(fields.len(), 1);
}
