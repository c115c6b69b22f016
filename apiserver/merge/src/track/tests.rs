//! Ownership after creates and updates.

use super::*;
use crate::fixture::{asset, at, by, entries, object};
use serde_json::json;

fn created(manager: &str, spec: Value) -> Value {
    let schema = asset();
    let mut new = object(spec);
    track_update(&by(&schema, manager, &at(1)), None, &mut new).unwrap();
    new
}

fn updated(live: &Value, manager: &str, second: u8, change: impl FnOnce(&mut Value)) -> Value {
    let schema = asset();
    let mut new = live.clone();
    change(&mut new);
    track_update(&by(&schema, manager, &at(second)), Some(live), &mut new).unwrap();
    new
}

#[test]
fn a_created_object_belongs_to_its_creator() {
    let schema = asset();
    let mut new = json!({
        "apiVersion": "hm.example.com/v1", "kind": "Asset",
        "metadata": {
            "generateName": "g-", "name": "g-x", "namespace": "default", "uid": "u", "resourceVersion": "1",
            "generation": 1, "creationTimestamp": null, "annotations": {"a": "b"},
        },
        "spec": {"color": "blue", "replicas": 2},
        "status": {"phase": "Up"},
    });
    track_update(&by(&schema, "curl", &at(3)), None, &mut new).unwrap();
    insta::assert_snapshot!(new["metadata"]["managedFields"], @r#"[{"apiVersion":"hm.example.com/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:a":{}},"f:generateName":{}},"f:spec":{".":{},"f:color":{},"f:replicas":{}}},"manager":"curl","operation":"Update","time":"2026-11-21T09:18:03Z"}]"#);
}

#[test]
fn an_object_with_nothing_to_own_has_no_entry() {
    let mut new = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}});
    track_update(&by(&asset(), "m1", &at(1)), None, &mut new).unwrap();
    assert_eq!(new["metadata"], json!({"name": "a"}));
    assert!(track_update(&by(&asset(), "m1", &at(1)), None, &mut json!([])).is_err());
    assert!(track_update(&by(&asset(), "m1", &at(1)), None, &mut json!({"metadata": 1})).is_err());
    let mut bare = json!({"spec": {"color": "red"}});
    track_update(&by(&asset(), "", &at(1)), None, &mut bare).unwrap();
    assert_eq!(entries(&bare), r#"unknown/Update @01 {"f:spec":{".":{},"f:color":{}}}"#);
}

#[test]
fn what_changes_passes_to_the_writer() {
    let live = created("m1", json!({"color": "red", "replicas": 1}));
    let new = updated(&live, "m2", 2, |o| o["spec"] = json!({"color": "blue", "steps": ["a"]}));
    insta::assert_snapshot!(entries(&new), @r#"
    m1/Update @01 {"f:spec":{}}
    m2/Update @02 {"f:spec":{"f:color":{},"f:steps":{}}}
    "#);
    let back = updated(&new, "m1", 3, |o| o["spec"]["color"] = json!("red"));
    insta::assert_snapshot!(entries(&back), @r#"
    m2/Update @02 {"f:spec":{"f:steps":{}}}
    m1/Update @03 {"f:spec":{".":{},"f:color":{}}}
    "#);
}

#[test]
fn a_write_without_change_leaves_entries_and_times() {
    let live = created("m1", json!({"color": "red", "tags": ["a"]}));
    assert_eq!(updated(&live, "m2", 2, |_| ()), live);
    // A client that strips entries, or sends back stale times, changes nothing either.
    let strip = |o: &mut Value| drop(o["metadata"].as_object_mut().unwrap().remove("managedFields"));
    assert_eq!(updated(&live, "m2", 2, strip), live);
    assert_eq!(updated(&live, "m2", 2, |o| o["metadata"]["managedFields"] = Value::Null), live);
    let retimed = |o: &mut Value| o["metadata"]["managedFields"][0]["time"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(updated(&live, "m2", 2, retimed), live);
    // Removal by another takes fields without touching the time.
    let new = updated(&live, "m2", 2, |o| drop(o["spec"].as_object_mut().unwrap().remove("color")));
    assert_eq!(entries(&new), r#"m1/Update @01 {"f:spec":{".":{},"f:tags":{".":{},"v:\"a\"":{}}}}"#);
}

#[test]
fn status_is_owned_through_its_subresource_only() {
    let schema = asset();
    let live = created("m1", json!({"color": "red"}));
    let same = updated(&live, "m2", 2, |o| o["status"] = json!({"phase": "Up"}));
    assert_eq!(entries(&same), entries(&live));
    let mut new = live.clone();
    new["status"] = json!({"phase": "Up"});
    new["metadata"]["managedFields"] = json!([]);
    let time = at(2);
    let cx = Context { subresource: "status", reset: &[&["spec"]], ..by(&schema, "ctl", &time) };
    track_update(&cx, Some(&live), &mut new).unwrap();
    insta::assert_snapshot!(entries(&new), @r#"
    m1/Update @01 {"f:spec":{".":{},"f:color":{}}}
    ctl/Update/status @02 {"f:status":{".":{},"f:phase":{}}}
    "#);
}

#[test]
fn reset_paths_may_lie_deeper() {
    let schema = asset();
    let time = at(1);
    let reset: &[&[&str]] = &[&["spec", "limits", "cpu"], &["spec", "color"]];
    let cx = Context { reset, ..by(&schema, "m1", &time) };
    let mut new = object(json!({"color": "red", "replicas": 1, "limits": {"cpu": "1", "mem": "2"}}));
    track_update(&cx, None, &mut new).unwrap();
    assert_eq!(
        entries(&new),
        r#"m1/Update @01 {"f:spec":{".":{},"f:limits":{".":{},"f:mem":{}},"f:replicas":{}}}"#
    );
}

#[test]
fn entries_that_the_client_sends_are_honoured() {
    let live = created("m1", json!({"color": "red"}));
    let renamed = |o: &mut Value| o["metadata"]["managedFields"][0]["manager"] = json!("m9");
    assert_eq!(entries(&updated(&live, "m2", 2, renamed)), entries(&live).replace("m1", "m9"));
    // Forgetting: an empty list or one empty entry. After that nothing is recorded until somebody applies.
    for reset in [json!([]), json!([{}])] {
        let new = updated(&live, "m2", 2, |o| o["metadata"]["managedFields"] = reset);
        assert_eq!(entries(&new), "");
        let next = updated(&new, "m2", 3, |o| o["spec"]["color"] = json!("blue"));
        assert_eq!(next["metadata"], json!({"name": "a1"}));
    }
    // Malformed lists are ignored as a whole.
    let entry = live["metadata"]["managedFields"][0].clone();
    let broken = |field: &str, value: Value| {
        let mut entry = entry.clone();
        entry[field] = value;
        json!([entry.clone(), entry])
    };
    for bad in [
        broken("operation", json!("Patch")),
        broken("apiVersion", json!("")),
        broken("fieldsType", json!("FieldsV2")),
        broken("fieldsType", Value::Null),
        broken("fieldsV1", json!({"f": {}})),
        broken("time", json!("noon")),
        broken("manager", json!(1)),
        json!("x"),
        json!([1]),
    ] {
        assert_eq!(updated(&live, "m2", 2, |o| o["metadata"]["managedFields"] = bad.clone()), live, "{bad}");
    }
}

#[test]
fn entries_sent_with_a_new_object_yield_to_its_creator() {
    let schema = asset();
    let mut new = object(json!({"color": "red"}));
    new["metadata"]["managedFields"] = json!([
        {"manager": "old", "operation": "Apply", "apiVersion": "hm.example.com/v1", "fieldsType": "FieldsV1",
         "fieldsV1": {"f:spec": {"f:color": {}, "f:gone": {}}}},
        {"manager": "older", "operation": "Update", "apiVersion": "hm.example.com/v1", "fieldsType": "FieldsV1",
         "fieldsV1": {"f:spec": {"f:color": {}}}, "time": "2020-01-01T02:00:00.5+02:00"},
    ]);
    track_update(&by(&schema, "m1", &at(1)), None, &mut new).unwrap();
    insta::assert_snapshot!(entries(&new), @r#"
    old/Apply @- {"f:spec":{"f:gone":{}}}
    m1/Update @01 {"f:spec":{".":{},"f:color":{}}}
    "#);
}

#[test]
fn versions_of_one_updater_are_apart_and_those_of_an_applier_are_not() {
    let schema = asset();
    let live = created("m1", json!({"color": "red"}));
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(2);
    let time = at(2);
    let cx = Context { api_version: "hm.example.com/v2", ..by(&schema, "m1", &time) };
    track_update(&cx, Some(&live), &mut new).unwrap();
    assert_eq!(new["metadata"]["managedFields"].as_array().unwrap().len(), 2);
}

#[test]
fn the_oldest_updaters_become_ancient() {
    let mut live = created("m00", json!({"limits": {"k00": "v"}}));
    for i in 1..=12_u8 {
        live = updated(&live, &format!("m{i:02}"), i + 1, |o| {
            o["spec"]["limits"][format!("k{i:02}")] = json!("v")
        });
    }
    let text = entries(&live);
    assert_eq!(text.lines().count(), MAX_UPDATERS);
    insta::assert_snapshot!(text.lines().next().unwrap(), @r#"ancient-changes/Update @04 {"f:spec":{".":{},"f:limits":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{}}}}"#);
    assert!(text.lines().last().unwrap().starts_with("m12/Update @13"));
}
