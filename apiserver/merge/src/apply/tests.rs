//! Server-side apply, by the matrix of upstream's tests.

use super::*;
use crate::fixture::{asset, at, by, entries, object};
use crate::track_update;
use hypermesh_structural::Schema;
use serde_json::json;

/// An object under apply, one block a second.
struct World {
    schema: Schema,
    live: Option<Value>,
    second: u8,
}

impl World {
    fn new() -> Self {
        Self { schema: asset(), live: None, second: 0 }
    }

    fn tick(&mut self) -> String {
        self.second += 1;
        at(self.second)
    }

    fn try_apply(&mut self, manager: &str, spec: Value, force: bool) -> Result<(), ApplyError> {
        let time = self.tick();
        let schema = self.schema.clone();
        let cx = Context { force, ..by(&schema, manager, &time) };
        self.live = Some(apply(&cx, self.live.as_ref(), &object(spec))?);
        Ok(())
    }

    fn apply(&mut self, manager: &str, spec: Value) -> &mut Self {
        self.try_apply(manager, spec, false).unwrap();
        self
    }

    fn force(&mut self, manager: &str, spec: Value) -> &mut Self {
        self.try_apply(manager, spec, true).unwrap();
        self
    }

    fn conflicts(&mut self, manager: &str, spec: Value) -> String {
        self.try_apply(manager, spec, false).unwrap_err().to_string()
    }

    /// Writes a whole spec, as PUT or POST would.
    fn put(&mut self, manager: &str, spec: Value) -> &mut Self {
        let time = self.tick();
        let schema = self.schema.clone();
        let mut new = self.live.clone().unwrap_or_else(|| object(json!({})));
        new["spec"] = spec;
        track_update(&by(&schema, manager, &time), self.live.as_ref(), &mut new).unwrap();
        self.live = Some(new);
        self
    }

    fn spec(&self) -> String {
        self.live.as_ref().unwrap()["spec"].to_string()
    }

    fn entries(&self) -> String {
        entries(self.live.as_ref().unwrap())
    }
}

#[test]
fn the_first_apply_creates() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red", "limits": {}}));
    insta::assert_snapshot!(w.live.as_ref().unwrap(), @r#"{"apiVersion":"hm.example.com/v1","kind":"Asset","metadata":{"managedFields":[{"apiVersion":"hm.example.com/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:color":{},"f:limits":{}}},"manager":"m1","operation":"Apply","time":"2026-11-21T09:18:01Z"}],"name":"a1"},"spec":{"color":"red","limits":{}}}"#);
}

#[test]
fn changing_what_another_owns_conflicts_unless_forced() {
    let mut w = World::new();
    w.put("m1", json!({"color": "red", "replicas": 1}));
    insta::assert_snapshot!(w.conflicts("m2", json!({"color": "green"})),
        @r#"Apply failed with 1 conflict: conflict with "m1" using hm.example.com/v1: .spec.color"#);
    insta::assert_snapshot!(w.conflicts("m2", json!({"color": "green", "replicas": 2})), @r#"
    Apply failed with 2 conflicts: conflicts with "m1" using hm.example.com/v1:
    - .spec.color
    - .spec.replicas
    "#);
    w.force("m2", json!({"color": "green"}));
    insta::assert_snapshot!(w.entries(), @r#"
    m2/Apply @04 {"f:spec":{"f:color":{}}}
    m1/Update @01 {"f:spec":{".":{},"f:replicas":{}}}
    "#);
}

#[test]
fn the_same_value_is_shared() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red"})).apply("m2", json!({"color": "red"}));
    insta::assert_snapshot!(w.entries(), @r#"
    m1/Apply @01 {"f:spec":{"f:color":{}}}
    m2/Apply @02 {"f:spec":{"f:color":{}}}
    "#);
    insta::assert_snapshot!(w.conflicts("m1", json!({"color": "blue"})),
        @r#"Apply failed with 1 conflict: conflict with "m2": .spec.color"#);
    // What one of two owners gives up stays; what the last gives up goes.
    w.apply("m1", json!({}));
    assert_eq!(w.spec(), r#"{"color":"red"}"#);
    w.apply("m2", json!({}));
    assert_eq!(w.spec(), "{}");
}

#[test]
fn conflicts_name_items_and_are_grouped_by_manager() {
    let mut w = World::new();
    let containers = |image: &str| json!({"containers": [{"name": "a", "image": image}]});
    w.apply("m1", containers("1")).apply("m0", json!({"color": "red", "tags": ["x"]}));
    let mut both = containers("2");
    both["color"] = json!("blue");
    both["tags"] = json!(["x"]);
    insta::assert_snapshot!(w.conflicts("m2", both), @r#"
    Apply failed with 2 conflicts: conflicts with "m0":
    - .spec.color
    conflicts with "m1":
    - .spec.containers[name="a"].image
    "#);
}

#[test]
fn what_is_no_longer_applied_is_removed() {
    let mut w = World::new();
    w.apply(
        "m1",
        json!({
            "color": "red", "position": {"x": 1}, "tags": ["a", "b"], "limits": {"cpu": "1", "mem": "2"},
            "containers": [{"name": "a", "image": "1"}, {"name": "b", "ports": [{"containerPort": 80}]}],
        }),
    );
    w.apply("m1", json!({"tags": ["b"], "limits": {"mem": "2"}, "containers": [{"name": "b"}]}));
    assert_eq!(w.spec(), r#"{"containers":[{"name":"b"}],"limits":{"mem":"2"},"tags":["b"]}"#);
    w.apply("m1", json!({"limits": {}}));
    assert_eq!(w.spec(), r#"{"limits":{}}"#);
}

#[test]
fn an_item_stays_while_another_applies_something_in_it() {
    let mut w = World::new();
    w.apply("m1", json!({"containers": [{"name": "a", "image": "1"}]}));
    w.apply("m2", json!({"containers": [{"name": "a", "args": ["x"]}]}));
    w.apply("m1", json!({}));
    assert_eq!(w.spec(), r#"{"containers":[{"args":["x"],"name":"a"}]}"#);
    insta::assert_snapshot!(w.entries(),
        @r#"
    m2/Apply @02 {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:args":{},"f:name":{}}}}}
    m1/Apply @03 {"f:spec":{}}
    "#);
}

#[test]
fn what_updaters_own_survives_the_applier() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red"}));
    w.put("ctl", json!({"color": "red", "replicas": 3, "limits": {"cpu": "1"}}));
    w.apply("m1", json!({}));
    assert_eq!(w.spec(), r#"{"limits":{"cpu":"1"},"replicas":3}"#);
    // A defaulted field of an applied item, which nobody owns, goes with the item.
    w.apply("m2", json!({"containers": [{"name": "a"}]}));
    w.live.as_mut().unwrap()["spec"]["containers"][0]["image"] = json!("default");
    w.apply("m2", json!({}));
    assert_eq!(w.spec(), r#"{"limits":{"cpu":"1"},"replicas":3}"#);
}

#[test]
fn unowned_fields_stay_in_an_item_that_another_keeps() {
    let mut w = World::new();
    let item = json!({"containers": [{"name": "a"}]});
    w.apply("m1", item.clone()).apply("m2", item);
    w.live.as_mut().unwrap()["spec"]["containers"][0]["image"] = json!("default");
    w.apply("m1", json!({}));
    assert_eq!(w.spec(), r#"{"containers":[{"image":"default","name":"a"}]}"#);
}

#[test]
fn an_explicit_empty_map_survives_the_loss_of_its_fields() {
    let mut w = World::new();
    w.apply("m1", json!({"limits": {"cpu": "1"}})).apply("m1", json!({"limits": {}}));
    assert_eq!(w.spec(), r#"{"limits":{}}"#);
}

#[test]
fn an_explicit_empty_list_stays_empty() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red", "tags": ["a"]})).apply("m1", json!({"color": "red", "tags": []}));
    assert_eq!(w.spec(), r#"{"color":"red","tags":[]}"#);
    let before = w.live.clone();
    w.apply("m1", json!({"color": "red", "tags": []}));
    assert_eq!(w.live, before);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let mut w = World::new();
    let spec = json!({"color": "red", "tags": ["b", "a"], "containers": [{"name": "a", "image": "1"}]});
    w.put("ctl", json!({"replicas": 1})).apply("m1", spec.clone());
    let before = w.live.clone();
    w.apply("m1", spec);
    assert_eq!(w.live, before);
    // Another order is a change to the object, if not to anybody's fields.
    w.apply("m1", json!({"color": "red", "tags": ["a", "b"], "containers": [{"name": "a", "image": "1"}]}));
    assert!(w.entries().starts_with("m1/Apply @04"), "{}", w.entries());
}

#[test]
fn ownership_alone_changes_the_time_of_its_entry_only() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red", "replicas": 1})).apply("m2", json!({"color": "red"}));
    w.apply("m1", json!({"replicas": 1}));
    insta::assert_snapshot!(w.entries(), @r#"
    m2/Apply @02 {"f:spec":{"f:color":{}}}
    m1/Apply @03 {"f:spec":{"f:replicas":{}}}
    "#);
    assert_eq!(w.spec(), r#"{"color":"red","replicas":1}"#);
}

#[test]
fn atomic_values_have_one_owner() {
    let mut w = World::new();
    w.apply("m1", json!({"position": {"x": 1}, "steps": ["a"]}));
    insta::assert_snapshot!(w.conflicts("m2", json!({"position": {"y": 2}, "steps": ["b"]})), @r#"
    Apply failed with 2 conflicts: conflicts with "m1":
    - .spec.position
    - .spec.steps
    "#);
    w.force("m2", json!({"position": {"y": 2}}));
    assert_eq!(w.spec(), r#"{"position":{"y":2},"steps":["a"]}"#);
}

#[test]
fn sets_and_list_maps_are_shared_item_by_item() {
    let mut w = World::new();
    w.apply("m1", json!({"tags": ["a", "b"]})).apply("m2", json!({"tags": ["b", "c"]}));
    assert_eq!(w.spec(), r#"{"tags":["a","b","c"]}"#);
    w.apply("m1", json!({"tags": []}));
    assert_eq!(w.spec(), r#"{"tags":["b","c"]}"#);
    let port = |protocol: Option<&str>| {
        let mut port = json!({"containerPort": 80});
        if let Some(protocol) = protocol {
            port["protocol"] = json!(protocol);
        }
        json!({"containers": [{"name": "a", "ports": [port]}]})
    };
    w.apply("m3", port(None)).apply("m4", port(Some("UDP")));
    assert_eq!(w.live.as_ref().unwrap()["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
    w.apply("m5", port(Some("TCP")));
    assert_eq!(w.live.as_ref().unwrap()["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
}

#[test]
fn requests_that_cannot_be_owned_are_invalid() {
    let mut w = World::new();
    let refuse = |w: &mut World, spec: Value| match w.try_apply("m1", spec, false) {
        Err(ApplyError::Invalid(errors)) => {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(refuse(&mut w, json!({
        "tags": ["a", "a", {}],
        "containers": [{"name": "a"}, {"name": "a"}, {"image": "x"}, 3, null],
        "colour": 1,
    })), @r#"
    spec.colour: Invalid value: field not declared in schema
    spec.containers[1]: Duplicate value: {"name":"a"}
    spec.containers[2]: Invalid value: {"image":"x"}: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)
    spec.containers[3]: Invalid value: 3: associative list with keys may not have non-map elements
    spec.containers[4]: Invalid value: null: associative list with keys may not have a null element
    spec.tags[1]: Duplicate value: "a"
    spec.tags[2]: Invalid value: {}: associative list without keys has an element that's a map type
    "#);
}

#[test]
fn requests_that_are_no_apply_are_bad() {
    let schema = asset();
    let time = at(1);
    let cx = by(&schema, "m1", &time);
    let refuse = |live: Option<&Value>, applied: Value| match apply(&cx, live, &applied) {
        Err(ApplyError::BadRequest(message)) => message,
        other => panic!("{other:?}"),
    };
    let mut managed = object(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    assert_eq!(refuse(None, managed), "metadata.managedFields must be nil");
    let mut version = object(json!({}));
    version["apiVersion"] = json!("hm.example.com/v2");
    insta::assert_snapshot!(refuse(None, version), @"Incorrect version specified in apply patch. Specified patch version: hm.example.com/v2, expected: hm.example.com/v1");
    let mut kind = object(json!({}));
    kind["kind"] = json!("Other");
    insta::assert_snapshot!(refuse(Some(&object(json!({}))), kind), @"invalid object type: hm.example.com/v1, Kind=Other");
    assert_eq!(refuse(None, json!([])), "an applied configuration must be an object");
    let bad = Context { time: "yesterday", ..cx };
    assert!(matches!(apply(&bad, None, &object(json!({}))), Err(ApplyError::BadRequest(_))));
}

#[test]
fn an_object_without_entries_was_somebodys_before() {
    let mut w = World::new();
    w.live = Some(object(json!({"color": "red", "replicas": 1})));
    insta::assert_snapshot!(w.conflicts("m1", json!({"color": "blue"})),
        @r#"Apply failed with 1 conflict: conflict with "before-first-apply" using hm.example.com/v1: .spec.color"#);
    w.apply("m1", json!({"color": "red"}));
    insta::assert_snapshot!(w.entries(), @r#"
    m1/Apply @02 {"f:spec":{"f:color":{}}}
    before-first-apply/Update @02 {"f:spec":{".":{},"f:color":{},"f:replicas":{}}}
    "#);
    // Entries that cannot be read are as good as none: nothing is overwritten unasked.
    w.live.as_mut().unwrap()["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert!(w.conflicts("m2", json!({"color": "blue"})).contains("before-first-apply"));
}

#[test]
fn subresources_have_their_own_entries_and_reset_what_is_not_theirs() {
    let mut w = World::new();
    w.apply("m1", json!({"color": "red"}));
    let time = w.tick();
    let schema = w.schema.clone();
    let status = Context { subresource: "status", reset: &[&["spec"]], ..by(&schema, "m1", &time) };
    let mut applied = object(json!({"color": "blue"}));
    applied["status"] = json!({"phase": "Up"});
    w.live = Some(apply(&status, w.live.as_ref(), &applied).unwrap());
    assert_eq!(w.spec(), r#"{"color":"red"}"#);
    insta::assert_snapshot!(w.entries(), @r#"
    m1/Apply @01 {"f:spec":{"f:color":{}}}
    m1/Apply/status @02 {"f:status":{"f:phase":{}}}
    "#);
    // On the main resource, status is neither changed nor owned.
    let main = by(&schema, "m2", &time);
    applied["spec"] = json!({"color": "red"});
    applied["status"] = json!({"phase": "Down"});
    w.live = Some(apply(&main, w.live.as_ref(), &applied).unwrap());
    assert_eq!(w.live.as_ref().unwrap()["status"]["phase"], "Up");
    applied["status"] = json!({"phase": "Down"});
    let taken = Context { manager: "m3", ..status };
    let refusal = apply(&taken, w.live.as_ref(), &applied).unwrap_err();
    insta::assert_snapshot!(refusal, @r#"Apply failed with 1 conflict: conflict with "m1" with subresource "status": .status.phase"#);
}

#[test]
fn server_fields_survive_null_and_are_never_owned() {
    let schema = asset();
    let time = at(1);
    let mut live = object(json!({}));
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["creationTimestamp"] = json!("2026-11-21T09:00:00Z");
    let mut applied = object(json!({}));
    applied["metadata"] = json!({"name": "a1", "creationTimestamp": null, "labels": {"a": "1"}});
    let out = apply(&by(&schema, "m1", &time), Some(&live), &applied).unwrap();
    assert_eq!(out["metadata"]["creationTimestamp"], "2026-11-21T09:00:00Z");
    assert_eq!(out["metadata"]["uid"], "u");
    assert!(
        entries(&out).contains(r#"m1/Apply @01 {"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{}}"#),
        "{}",
        entries(&out)
    );
}

#[test]
fn a_list_made_atomic_passes_to_who_owned_its_items() {
    let mut w = World::new();
    w.apply("m1", json!({"tags": ["a"], "limits": {"cpu": "1"}}));
    let spec = w.schema.properties.get_mut("spec").unwrap();
    spec.properties.get_mut("tags").unwrap().list_type = hypermesh_structural::ListType::Atomic;
    spec.properties.get_mut("limits").unwrap().atomic_map = true;
    w.apply("m2", json!({"color": "red"}));
    insta::assert_snapshot!(w.entries(), @r#"
    m1/Apply @01 {"f:spec":{"f:limits":{},"f:tags":{}}}
    m2/Apply @02 {"f:spec":{"f:color":{}}}
    "#);
    w.apply("m1", json!({"tags": ["b"]}));
    assert_eq!(w.spec(), r#"{"color":"red","tags":["b"]}"#);
}

fn with_annotation(spec: Value, last: &Value) -> Value {
    let mut live = object(spec);
    live["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{last}\n")});
    live
}

#[test]
fn kubectl_inherits_what_client_side_apply_set() {
    let last = object(json!({"color": "red", "replicas": 1}));
    let mut w = World::new();
    w.put("kubectl-client-side-apply", json!({}));
    let created = with_annotation(json!({"color": "red", "replicas": 5}), &last);
    let (time, schema) = (w.tick(), w.schema.clone());
    let mut live = created.clone();
    track_update(&by(&schema, "kubectl-client-side-apply", &time), None, &mut live).unwrap();
    w.live = Some(live);
    // Another manager gets no such favour, and what has changed since is nobody's inheritance.
    assert!(w.conflicts("other", json!({"color": "blue"})).contains(".spec.color"));
    insta::assert_snapshot!(w.conflicts("kubectl", json!({"color": "blue", "replicas": 2})),
        @r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using hm.example.com/v1: .spec.replicas"#);
    w.apply("kubectl", json!({"color": "<blue>"}));
    let object = w.live.as_ref().unwrap();
    insta::assert_snapshot!(object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap(),
        @r#"{"apiVersion":"hm.example.com/v1","kind":"Asset","metadata":{"name":"a1"},"spec":{"color":"\u003cblue\u003e"}}"#);
    let before = w.live.clone();
    w.apply("kubectl", json!({"color": "<blue>"}));
    assert_eq!(w.live, before);
    // One that brings the annotation, as `kubectl get -o yaml` shows it, changes nothing the second time either.
    let applied = with_annotation(json!({"color": "<blue>"}), &last);
    let time = w.tick();
    let forced = Context { force: true, ..by(&schema, "kubectl", &time) };
    let once = apply(&forced, w.live.as_ref(), &applied).unwrap();
    let later = w.tick();
    assert_eq!(apply(&Context { time: &later, ..forced }, Some(&once), &applied).unwrap(), once);
}

#[test]
fn huge_entries_are_handled_in_one_pass() {
    let mut w = World::new();
    let tags: Vec<String> = (0..20_000).map(|i| format!("t{i}")).collect();
    w.apply("m1", json!({"tags": tags}));
    let half: Vec<&String> = tags.iter().step_by(2).collect();
    w.apply("m1", json!({"tags": half}));
    assert_eq!(w.live.as_ref().unwrap()["spec"]["tags"].as_array().unwrap().len(), 10_000);
}
