//! Events: where they may lie, and by what they are selected.

use crate::support::*;
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

const EVENTS: &str = "/api/v1/namespaces/default/events";

fn event(involved: Value, more: Value) -> Value {
    let mut event = json!({"metadata": {"name": "e"}, "involvedObject": involved});
    for (field, value) in more.as_object().unwrap() {
        event[field] = value.clone();
    }
    event
}

#[test]
fn an_event_lies_beside_what_it_is_about() {
    let mut cluster = Cluster::new();
    cluster.run(post("/api/v1/namespaces", json!({"metadata": {"name": "tenant"}}))).object();
    let mut tell = |namespace: &str, involved: Value| {
        let target = format!("{}?dryRun=All", EVENTS.replace("default", namespace));
        cluster.run(post(target, event(involved, json!({})))).causes()
    };
    let none: [&str; 0] = [];
    assert_eq!(tell("default", json!({"namespace": "default"})), none);
    assert_eq!(tell("default", json!({})), none, "what lies in no namespace is told of in this one");
    let strange = "involvedObject.namespace: Invalid value: \"tenant\": does not match event.namespace";
    assert_eq!(tell("default", json!({"namespace": "tenant"})), [strange]);
    let homeless = "involvedObject.namespace: Invalid value: \"\": does not match event.namespace";
    assert_eq!(tell("tenant", json!({})), [homeless]);
    assert_eq!(tell("kube-system", json!({})), [homeless]);
    assert_eq!(tell("tenant", json!({"namespace": "tenant"})), none);
}

#[test]
fn one_with_a_time_names_its_reporter() {
    let mut cluster = Cluster::new();
    let mut tell = |namespace: &str, more: Value| {
        let target = format!("{}?dryRun=All", EVENTS.replace("default", namespace));
        cluster.run(post(target, event(json!({}), more))).causes()
    };
    let time = "2026-01-01T00:00:00.000000Z";
    insta::assert_debug_snapshot!(tell("kube-system", json!({"eventTime": time, "message": "x".repeat(1025)})), @r#"
[
    "reportingComponent: Required value",
    "reportingInstance: Required value",
    "action: Required value",
    "reason: Required value",
    "message: Invalid value: \"\": can have at most 1024 characters",
]
"#);
    let whole = json!({
        "eventTime": time, "reportingComponent": "example.com/c", "reportingInstance": "c-1", "action": "Acting",
        "reason": "Why",
    });
    assert_eq!(tell("kube-system", whole.clone()), Vec::<String>::new());
    let mut long = whole;
    long["action"] = "x".repeat(129).into();
    long["reportingComponent"] = "a b".into();
    assert_eq!(tell("default", long).len(), 2);
}

#[test]
fn every_field_that_the_reference_selects_by_selects() {
    let mut cluster = Cluster::new();
    let involved = json!({
        "apiVersion": "v1", "fieldPath": "spec", "kind": "ConfigMap", "name": "c", "namespace": "default",
        "resourceVersion": "7", "uid": "u",
    });
    let old =
        event(involved.clone(), json!({"reason": "R", "type": "Normal", "source": {"component": "old"}}));
    cluster.run(post(EVENTS, old)).object();
    let mut new = event(involved, json!({"reason": "R", "type": "Warning", "reportingComponent": "new"}));
    new["metadata"]["name"] = "n".into();
    cluster.run(post(EVENTS, new)).object();
    let kind = cluster.derived.registry.kind("v1", "Event").unwrap();
    let selected = |selector: &str| {
        let fields = FieldSelector::parse(selector).unwrap();
        hypermesh_pipeline::check_fields(kind, &fields).unwrap();
        let takes = |(key, record): &(&_, &std::sync::Arc<_>)| {
            hypermesh_pipeline::selected_by(key, record, &LabelSelector::default(), &fields)
        };
        let events = cluster.state.objects.iter().filter(|(key, _)| key.collection() == "/events");
        events.filter(takes).map(|(key, _)| key.name().to_owned()).collect::<Vec<_>>()
    };
    for both in [
        "involvedObject.apiVersion=v1",
        "involvedObject.fieldPath=spec",
        "involvedObject.kind=ConfigMap",
        "involvedObject.name=c",
        "involvedObject.namespace=default",
        "involvedObject.resourceVersion=7",
        "involvedObject.uid=u",
        "reason=R",
        "metadata.namespace=default",
    ] {
        assert_eq!(selected(both), ["e", "n"], "{both}");
    }
    assert_eq!(selected("type=Normal"), ["e"]);
    assert_eq!(selected("source=old"), ["e"]);
    assert_eq!(selected("source=new"), ["n"]);
    assert_eq!(selected("reportingComponent=new"), ["n"]);
    assert_eq!(selected("source!=new,type!=Warning,metadata.name=e"), ["e"]);
    let map = cluster.derived.registry.kind("v1", "ConfigMap").unwrap();
    assert!(hypermesh_pipeline::check_fields(map, &FieldSelector::parse("source=x").unwrap()).is_err());
}
