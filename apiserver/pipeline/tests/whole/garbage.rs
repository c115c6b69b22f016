//! Owners and those that depend on them.

use crate::support::*;
use serde_json::{Value, json};

fn children(cluster: &mut Cluster, owner: &Value, count: usize, finalizer: bool, blocks: bool) {
    let requests: Vec<_> = (0..count)
        .map(|i| {
            let mut child = owned(&format!("c{i:05}"), &[(owner, blocks)]);
            if finalizer {
                child["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }
            cluster.endorse(post(ASSETS, child))
        })
        .collect();
    assert!(cluster.block(&requests).iter().all(|outcome| outcome.code == 201));
}

fn owner(cluster: &mut Cluster) -> Value {
    cluster.run(post(ASSETS, asset("owner", json!({})))).object()
}

fn path(name: &str) -> String {
    format!("{ASSETS}/{name}")
}

fn let_go(cluster: &mut Cluster, name: &str) {
    cluster.run(merge(path(name), json!({"metadata": {"finalizers": null}}))).object();
    cluster.settle();
}

#[test]
fn dependents_follow_their_owner_in_bounded_steps() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 1500, false, false);
    assert_eq!(cluster.run(delete(path("owner"))).code, 200);
    assert!(cluster.count("hm.example.com/assets") > 900, "the first step does a part");
    let (blocks, most) = cluster.settle();
    assert!(blocks >= 3 && most <= 1000, "{blocks} blocks, {most} writes");
    assert_eq!(cluster.count("hm.example.com/assets"), 0);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn dependents_behind_many_that_are_held_are_reached() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 600, true, false);
    cluster.run(delete(path("owner"))).object();
    cluster.settle();
    let all = cluster.state.objects.iter().filter(|(key, _)| key.collection() == "hm.example.com/assets");
    assert_eq!(all.filter(|(_, record)| record.facts.deleting).count(), 600);
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "their own deletion ends them");
    let_go(&mut cluster, "c00599");
    assert_eq!(cluster.asset("c00599"), None);
}

#[test]
fn generations_go_one_after_another() {
    let mut cluster = Cluster::new();
    let mut above = owner(&mut cluster);
    for name in ["b", "c", "d", "e"] {
        above = cluster.run(post(ASSETS, owned(name, &[(&above, true)]))).object();
    }
    cluster.run(delete(path("owner"))).object();
    cluster.settle();
    assert_eq!(cluster.count("hm.example.com/assets"), 0);
}

#[test]
fn who_has_another_owner_stays_and_forgets_the_one_that_went() {
    for propagation in ["Background", "Foreground"] {
        let mut cluster = Cluster::new();
        let one = owner(&mut cluster);
        let two = cluster.run(post(ASSETS, asset("two", json!({})))).object();
        cluster.run(post(ASSETS, owned("child", &[(&one, true), (&two, true)]))).object();
        cluster.run(delete(format!("{}?propagationPolicy={propagation}", path("owner")))).object();
        cluster.settle();
        assert_eq!(cluster.asset("owner"), None, "{propagation}");
        let child = cluster.asset("child").unwrap();
        assert_eq!(child["metadata"]["ownerReferences"], json!([reference(&two, true)]), "{propagation}");
        assert_eq!(child["metadata"].get("deletionTimestamp"), None);
        cluster.run(delete(path("two"))).object();
        cluster.settle();
        assert_eq!(cluster.asset("child"), None);
    }
}

#[test]
fn a_foreground_deletion_waits_for_those_that_block() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 300, true, true);
    let marked = cluster.run(delete(format!("{}?propagationPolicy=Foreground", path("owner")))).object();
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    cluster.settle();
    assert_eq!(cluster.jobs().len(), 1, "{:?}", cluster.jobs());
    assert!(cluster.jobs()[0].starts_with("~/waiting foreground/"));
    let requests: Vec<_> = (0..299)
        .map(|i| merge(path(&format!("c{i:05}")), json!({"metadata": {"finalizers": null}})))
        .map(|ask| cluster.endorse(ask))
        .collect();
    cluster.block(&requests);
    cluster.settle();
    assert!(cluster.asset("owner").is_some());
    let_go(&mut cluster, "c00299");
    assert_eq!(cluster.count("hm.example.com/assets"), 0);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn a_dependent_that_leaves_its_owner_no_longer_blocks_it() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 1, true, true);
    cluster.run(delete(format!("{}?propagationPolicy=Foreground", path("owner")))).object();
    cluster.settle();
    cluster.run(merge(path("c00000"), json!({"metadata": {"ownerReferences": null}}))).object();
    cluster.settle();
    assert_eq!(cluster.asset("owner"), None);
    assert!(cluster.asset("c00000").is_some());
}

#[test]
fn those_who_own_each_other_do_not_wait_for_ever() {
    let mut cluster = Cluster::new();
    let one = owner(&mut cluster);
    let two = cluster.run(post(ASSETS, owned("two", &[(&one, true)]))).object();
    let three = cluster.run(post(ASSETS, owned("three", &[(&two, true)]))).object();
    let back = json!({"metadata": {"ownerReferences": [reference(&three, true), reference(&one, true)]}});
    cluster.run(merge(path("owner"), back)).object();
    cluster.run(delete(format!("{}?propagationPolicy=Foreground", path("owner")))).object();
    cluster.settle();
    assert_eq!(cluster.count("hm.example.com/assets"), 0);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn orphans_stay_and_have_no_owner() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 700, false, true);
    cluster.run(delete(format!("{}?propagationPolicy=Orphan", path("owner")))).object();
    let (blocks, _) = cluster.settle();
    assert!(blocks >= 1);
    assert_eq!(cluster.count("hm.example.com/assets"), 700);
    let left = cluster.state.objects.values().filter(|record| !record.facts.owners.is_empty()).count();
    assert_eq!(left, 0);
}

#[test]
fn who_comes_too_late_follows_the_owner_that_went() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    cluster.run(delete(path("owner"))).object();
    assert_eq!(cluster.run(post(ASSETS, owned("late", &[(&object, false)]))).code, 201);
    cluster.settle();
    assert_eq!(cluster.asset("late"), None);
    let mut foreign = object;
    foreign["kind"] = "Deployment".into();
    foreign["apiVersion"] = "apps/v1".into();
    cluster.run(post(ASSETS, owned("foreign", &[(&foreign, false)]))).object();
    cluster.settle();
    assert!(cluster.asset("foreign").is_some(), "nothing is known of kinds that are not kept here");
}

#[test]
fn another_namespace_has_no_say() {
    let mut cluster = Cluster::new();
    cluster.run(post("/api/v1/namespaces", json!({"metadata": {"name": "other"}}))).object();
    let object = owner(&mut cluster);
    // `other` has an object of that name too, of another uid: the reference names nothing there.
    let theirs = ASSETS.replace("default", "other");
    cluster.run(post(&theirs, asset("owner", json!({})))).object();
    let mut child = owned("child", &[(&object, true)]);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.run(post(&theirs, child)).object();
    cluster.settle();
    cluster.run(delete(format!("{}?propagationPolicy=Foreground", path("owner")))).object();
    cluster.settle();
    assert_eq!(cluster.asset("owner"), None, "it is not blocked from there");
}

#[test]
fn a_deletion_that_another_overtakes_leaves_no_job() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    children(&mut cluster, &object, 1, true, true);
    cluster.run(delete(format!("{}?propagationPolicy=Foreground", path("owner")))).object();
    cluster.settle();
    cluster.run(delete(format!("{}?propagationPolicy=Orphan", path("owner")))).object();
    cluster.settle();
    assert_eq!(cluster.asset("owner"), None);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn references_to_owners_that_never_were_go_together() {
    let mut cluster = Cluster::new();
    let object = owner(&mut cluster);
    let mut child = owned("child", &[(&object, false)]);
    let mut others: Vec<Value> = (0..60).map(|i| reference(&object, i == 0)).collect();
    for (i, other) in others.iter_mut().enumerate() {
        other["uid"] = format!("00000000-0000-8000-8000-0000000000{i:02}").into();
    }
    child["metadata"]["ownerReferences"].as_array_mut().unwrap().extend(others);
    let request = cluster.endorse(post(ASSETS, child));
    let outcomes = cluster.block(&[request]);
    assert_eq!((outcomes[0].code, outcomes[0].writes), (201, 2), "the object, and one job");
    cluster.settle();
    assert_eq!(cluster.asset_of("child")["metadata"]["ownerReferences"], json!([reference(&object, false)]));
}
