//! Differences: what they show, what they hide, and that patches do what they say.

use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

fn fields(before: Value, after: Value) -> String {
    by_field("x", Some(&before), Some(&after), false)
}

#[test]
fn fields_are_told_by_their_paths() {
    let before = json!({"metadata": {"labels": {"a.b/c": "1", "d": "2"}}, "spec": {"replicas": 2, "containers": [
        {"name": "web", "image": "a:1"}, {"name": "old", "image": "b"}], "args": [1, 2], "ports": [{"port": 80}]}});
    let after = json!({"metadata": {"labels": {"a.b/c": "3"}}, "spec": {"replicas": 3, "containers": [
        {"name": "new", "image": "c"}, {"name": "web", "image": "a:2"}], "args": [1], "ports": [{"port": 81}], "more": {"x": 1}}});
    assert_snapshot!(fields(before, after), @r#"
    ~ x
      ~ metadata.labels[a.b/c]: 1 → 3
      - metadata.labels.d: 2
      ~ spec.args: [1,2] → [1]
      ~ spec.containers[name="web"].image: a:1 → a:2
      - spec.containers[name="old"]: {"image":"b","name":"old"}
      + spec.containers[name="new"]: {"image":"c","name":"new"}
      + spec.more: {"x":1}
      ~ spec.ports[0].port: 80 → 81
      ~ spec.replicas: 2 → 3
    "#);
    assert_eq!(fields(json!({"a": 1}), json!({"a": 1})), "");
}

#[test]
fn secrets_are_masked_wherever_they_stand() {
    let secret = |data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"c2VjcmV0\"}}"}}, "data": data})
    };
    let (before, after) =
        (secret(json!({"a": "c2VjcmV0", "b": "Yg=="})), secret(json!({"a": "bmV3", "b": "Yg=="})));
    let shown = unified("s", Some(before), Some(after), Look::default());
    assert_snapshot!(shown, @"
    --- a/s
    +++ b/s
    @@ -1,6 +1,6 @@
     apiVersion: v1
     data:
    -  a: '*** (before)'
    +  a: '*** (after)'
       b: '***'
     kind: Secret
     metadata:
    ");
    let new = unified("s", None, Some(secret(json!({"a": "c2VjcmV0"}))), Look::default());
    assert!(new.contains("a: '***'") && !new.contains("c2VjcmV0"), "{new}");
    let gone = unified("s", Some(secret(json!({"a": "c2VjcmV0"}))), None, Look::default());
    assert!(gone.contains("+++ /dev/null") && !gone.contains("c2VjcmV0"), "{gone}");
}

#[test]
fn colours_follow_the_lines() {
    let look = Look { color: true, managed_fields: false };
    let shown = unified("x", Some(json!({"a": 1, "b": 2})), Some(json!({"a": 1, "b": 3})), look);
    assert_snapshot!(shown.replace('\x1b', "ESC"), @"
    ESC[1m--- a/xESC[0m
    ESC[1m+++ b/xESC[0m
    ESC[36m@@ -1,2 +1,2 @@ESC[0m
     a: 1
    ESC[31m-b: 2ESC[0m
    ESC[32m+b: 3ESC[0m
    ");
}

#[test]
fn changes_of_two_meet_where_one_lies_within_the_other() {
    let base = json!({"spec": {"replicas": 1, "template": {"a": 1, "b": 2}}});
    let of = |after: Value| changes(&base, &after);
    let ours = of(json!({"spec": {"replicas": 1, "template": {"a": 2, "b": 2}}}));
    assert!(overlap(&ours, &of(json!({"spec": {"replicas": 5, "template": {"a": 1, "b": 3}}}))).is_empty());
    assert_eq!(overlap(&ours, &of(json!({"spec": {"replicas": 1}}))).len(), 1);
    assert_eq!(overlap(&ours, &of(json!({"spec": {"replicas": 1, "template": {"a": 9, "b": 2}}}))).len(), 1);
    // Who wants the same is in nobody's way.
    assert!(overlap(&ours, &of(json!({"spec": {"replicas": 5, "template": {"a": 2, "b": 2}}}))).is_empty());
}

/// Objects without nulls, as servers keep them.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..5).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-c]", inner, 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            apply(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

proptest! {
    #[test]
    fn a_patch_makes_the_one_of_the_other(before in object(), after in object()) {
        let mut patched = before.clone();
        apply(&mut patched, &merge_patch(&before, &after));
        prop_assert_eq!(patched, after);
    }

    #[test]
    fn there_are_changes_exactly_where_objects_differ(before in object(), after in object()) {
        prop_assert_eq!(changes(&before, &after).is_empty(), before == after);
    }
}
