//! Dry runs: whoever compares what is with what would be sees what a write would change, and nothing else.

use crate::support::*;
use hypermesh_chain::request::Media;
use serde_json::{Value, json};

fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

#[test]
fn what_would_be_made_has_no_version() {
    let mut cluster = Cluster::new();
    let made = [
        post(format!("{ASSETS}?dryRun=All"), asset("a1", json!({}))),
        apply(&format!("{ASSETS}/a1?dryRun=All&fieldManager=test"), asset("a1", json!({}))),
    ];
    for ask in made {
        let object = cluster.run(ask).object();
        assert_eq!(object["metadata"].get("resourceVersion"), None);
        assert!(object["metadata"]["uid"].is_string() && object["metadata"]["creationTimestamp"].is_string());
    }
    let mut empty = asset("a1", json!({}));
    empty["metadata"]["resourceVersion"] = "".into();
    let object = cluster.run(post(format!("{ASSETS}?dryRun=All"), empty)).object();
    assert_eq!(object["metadata"].get("resourceVersion"), None);
}

#[test]
fn what_would_change_keeps_the_version_that_it_has() {
    let mut cluster = Cluster::new();
    let stored = cluster.run(post(ASSETS, asset("a1", json!({"color": "red", "replicas": 1})))).object();
    let (path, dry) = (format!("{ASSETS}/a1"), "dryRun=All");
    let blue = json!({"spec": {"color": "blue"}});
    let mut whole = stored.clone();
    whole["spec"]["color"] = "blue".into();
    let replace = json!([{"op": "replace", "path": "/spec/color", "value": "blue"}]);
    let changes = [
        merge(format!("{path}?{dry}"), blue.clone()),
        patch(format!("{path}?{dry}"), Media::JsonPatch, replace),
        put(format!("{path}?{dry}"), whole),
        apply(&format!("{path}?{dry}&fieldManager=test&force=true"), asset("a1", json!({"color": "blue"}))),
    ];
    for ask in changes {
        let told = cluster.run(ask).object();
        assert_eq!(told["spec"]["color"], "blue");
        assert_eq!(version(&told), version(&stored));
        // Who may change what is no difference either, once its time is left aside.
        assert_eq!(told["metadata"]["uid"], stored["metadata"]["uid"]);
    }
    let scaled = cluster.run(merge(format!("{path}/scale?{dry}"), json!({"spec": {"replicas": 3}}))).object();
    assert_eq!((&scaled["spec"]["replicas"], version(&scaled)), (&json!(3), version(&stored)));
    let unchanged = cluster.run(merge(format!("{path}?{dry}"), json!({"spec": {"color": "red"}}))).object();
    assert_eq!(unchanged, stored);
    let written = cluster.run(merge(&path, blue)).object();
    assert_ne!(version(&written), version(&stored));
}

#[test]
fn what_would_be_deleted_keeps_it_too() {
    let mut cluster = Cluster::new();
    let mut held = asset("a1", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let stored = cluster.run(post(ASSETS, held)).object();
    let marked = cluster.run(delete(format!("{ASSETS}/a1?dryRun=All"))).object();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(version(&marked), version(&stored));
    let list = cluster.run(delete(format!("{ASSETS}?dryRun=All"))).object();
    assert_eq!(version(&list["items"][0]), version(&stored));
    assert_eq!(version(&list), version(&stored), "the list is of the newest revision that there is");
}

#[test]
fn a_transaction_that_is_rehearsed_tells_each_item_so() {
    let mut cluster = Cluster::new();
    let stored = cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    let items = json!([
        asset("a1", json!({"color": "blue"})),
        asset("a2", json!({})),
        asset("a2", json!({"color": "x"}))
    ]);
    let target = "/apis/hypermesh.online/v1/transactions?fieldManager=test&force=true&dryRun=All";
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let told = cluster.run(post(target, list)).object();
    let versions: Vec<_> = told["items"].as_array().unwrap().iter().map(version).collect();
    assert_eq!(versions, [version(&stored), None, None]);
    assert_eq!(version(&told), version(&stored));
}
