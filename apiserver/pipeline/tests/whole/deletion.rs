//! Deletions: preconditions, finalizers, collections.

use crate::support::*;
use serde_json::json;

#[test]
fn a_deletion_checks_what_it_was_told_of_the_object() {
    let mut cluster = Cluster::new();
    let object = cluster.run(post(ASSETS, asset("a1", json!({})))).object();
    let path = format!("{ASSETS}/a1");
    let uid = json!({"preconditions": {"uid": "5b1d9ad8-0000-0000-0000-000000000000"}});
    assert_eq!(cluster.run(delete_with(&path, uid)).code, 409);
    let version = json!({"preconditions": {"resourceVersion": "1"}});
    assert_eq!(cluster.run(delete_with(&path, version)).code, 409);
    let right = json!({"preconditions": {
        "uid": object["metadata"]["uid"], "resourceVersion": object["metadata"]["resourceVersion"],
    }});
    let status = cluster.run(delete_with(&path, right)).object();
    assert_eq!(
        (&status["status"], &status["details"]["uid"]),
        (&json!("Success"), &object["metadata"]["uid"])
    );
    insta::assert_snapshot!(cluster.run(delete(&path)).refusal(), @r#"404 NotFound: assets.hm.example.com "a1" not found"#);
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_gone() {
    let mut cluster = Cluster::new();
    let mut object = asset("a1", json!({"color": "red"}));
    object["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    cluster.run(post(ASSETS, object)).object();
    let path = format!("{ASSETS}/a1");
    let marked = cluster.run(delete(&path)).object();
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:02Z");
    assert_eq!(marked["metadata"]["generation"], 2);
    assert_eq!(cluster.run(delete(&path)).writes, 0, "it is marked once");
    let again = cluster.run(post(ASSETS, asset("a1", json!({}))));
    insta::assert_snapshot!(again.refusal(), @r#"409 AlreadyExists: object is being deleted: assets.hm.example.com "a1" already exists"#);
    let more = json!({"metadata": {"finalizers": ["example.com/one", "example.com/three"]}});
    insta::assert_snapshot!(cluster.run(merge(&path, more)).refusal(), @r#"422 Invalid: Asset.hm.example.com "a1" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ["example.com/three"]"#);
    let revived = cluster.run(merge(&path, json!({"metadata": {"deletionTimestamp": null}})));
    assert_eq!(revived.writes, 0, "nothing brings it back");
    cluster.run(merge(&path, json!({"metadata": {"finalizers": ["example.com/two"]}}))).object();
    assert!(cluster.asset("a1").is_some());
    assert_eq!(cluster.run(merge(&path, json!({"metadata": {"finalizers": null}}))).writes, 1);
    assert_eq!(cluster.asset("a1"), None);
}

#[test]
fn a_collection_is_deleted_by_what_its_selectors_take() {
    let mut cluster = Cluster::new();
    for (name, tier, color) in [("a", "x", "red"), ("b", "x", "blue"), ("c", "y", "red")] {
        let mut object = asset(name, json!({"color": color}));
        object["metadata"]["labels"] = json!({"tier": tier});
        cluster.run(post(ASSETS, object)).object();
    }
    let bad = cluster.run(delete(format!("{ASSETS}?fieldSelector=spec.size%3D1")));
    insta::assert_snapshot!(bad.refusal(), @"400 BadRequest: field label not supported: spec.size");
    let selected = format!("{ASSETS}?labelSelector=tier%3Dx&fieldSelector=spec.color%3Dred");
    let list = cluster.run(delete(selected)).object();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("AssetList"), 1));
    assert_eq!(cluster.count("hm.example.com/assets"), 2);
    let none = cluster.run(delete(format!("{ASSETS}?labelSelector=tier%3Dz")));
    assert_eq!((none.code, none.writes), (200, 0));
}

#[test]
fn a_large_collection_goes_in_slices_and_spares_what_came_later() {
    let mut cluster = Cluster::new();
    let create = |cluster: &mut Cluster, from: usize, to: usize| {
        let requests: Vec<_> = (from..to)
            .map(|i| cluster.endorse(post(CONFIG_MAPS, config_map(&format!("c{i:05}"), json!({})))))
            .collect();
        cluster.block(&requests);
    };
    create(&mut cluster, 0, 2600);
    // In one block with the deletion: an old object that changes after it, and a new one.
    let requests = [
        delete(CONFIG_MAPS),
        merge(format!("{CONFIG_MAPS}/c02500"), json!({"data": {"a": "b"}})),
        post(CONFIG_MAPS, config_map("zz", json!({}))),
    ]
    .map(|ask| cluster.endorse(ask));
    let outcomes = cluster.block(&requests);
    assert_eq!(outcomes.iter().map(|o| o.code).collect::<Vec<_>>(), [200, 200, 201]);
    assert_eq!(outcomes[0].writes, 1001, "a slice, and the job for the rest");
    let (blocks, most) = cluster.settle();
    assert!(blocks >= 2, "{blocks}");
    assert!(most <= 1000, "{most}");
    assert_eq!(cluster.count("/configmaps"), 1);
    assert!(cluster.get("/configmaps", "default", "zz").is_some());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}
