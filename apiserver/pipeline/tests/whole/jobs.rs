//! Jobs among each other: turns, budgets, and objects of which a job can make nothing.

use crate::support::*;
use hypermesh_chain::ObjectKey;
use hypermesh_pipeline::StateReader;
use serde_json::{Value, json};

const KIND: &str = "hm.example.com/assets";

fn namespace(cluster: &mut Cluster, name: &str, assets: usize) {
    cluster.run(post("/api/v1/namespaces", json!({"metadata": {"name": name}}))).object();
    let path = ASSETS.replace("default", name);
    let requests: Vec<_> =
        (0..assets).map(|i| cluster.endorse(post(&path, asset(&format!("a{i:05}"), json!({}))))).collect();
    assert!(cluster.block(&requests).iter().all(|outcome| outcome.code == 201));
}

fn left(cluster: &Cluster, namespace: &str) -> usize {
    let keys = cluster.state.objects.keys();
    keys.filter(|key| key.collection() == KIND && key.namespace() == namespace).count()
}

fn condition(cluster: &Cluster, name: &str, kind: &str) -> Value {
    let namespace = cluster.get("/namespaces", "", name).unwrap();
    let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// The heights at which something was refused, while as many blocks pass.
fn refusals(cluster: &mut Cluster, blocks: u64) -> Vec<u64> {
    let mut heights = Vec::new();
    for _ in 0..blocks {
        cluster.tick();
        if !cluster.refused.is_empty() {
            heights.push(cluster.height);
            cluster.refused.clear();
        }
        cluster.settle();
        assert!(cluster.refused.is_empty(), "nothing is tried again at once");
    }
    heights
}

#[test]
fn jobs_take_turns() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c", "d"] {
        namespace(&mut cluster, name, 1000);
    }
    let requests: Vec<_> =
        ["a", "b", "c", "d"].map(|name| cluster.endorse(delete(format!("/api/v1/namespaces/{name}")))).into();
    cluster.block(&requests);
    let mut most = 0;
    while ["a", "b", "c", "d"].iter().any(|name| left(&cluster, name) > 0) {
        let (_, effects) = cluster.block_at(hypermesh_chain::Timestamp(cluster.time.0 + SECOND), &[]);
        most = most.max(effects.len());
        let left: Vec<usize> = ["a", "b", "c", "d"].map(|name| left(&cluster, name)).into();
        let (few, many) = (left.iter().min().unwrap(), left.iter().max().unwrap());
        assert!(many - few <= 260, "none is more than a turn behind: {left:?}");
    }
    assert!(most < 520, "{most} writes");
    cluster.settle();
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    assert!(cluster.get("~/cluster", "", "last-turn").is_none(), "nothing is left to take turns");
}

#[test]
fn what_a_step_reads_and_writes_is_bounded_in_bytes() {
    let mut cluster = Cluster::new();
    namespace(&mut cluster, "tenant", 0);
    let path = CONFIG_MAPS.replace("default", "tenant");
    for i in 0..60 {
        let object = config_map(&format!("c{i:02}"), json!({"key": "x".repeat(900_000)}));
        cluster.run(post(&path, object)).object();
    }
    cluster.run(delete("/api/v1/namespaces/tenant")).object();
    let mut blocks = 0;
    while cluster.derived.work {
        let (_, effects) = cluster.block_at(hypermesh_chain::Timestamp(cluster.time.0 + SECOND), &[]);
        let bytes: usize = effects.iter().map(|effect| effect.change.record().body.len()).sum();
        assert!(bytes < 8 << 20, "{bytes} bytes in a block");
        blocks += 1;
    }
    assert!(blocks > 10, "{blocks} blocks");
    assert!(cluster.get("/namespaces", "", "tenant").is_none());
}

#[test]
fn what_cannot_be_deleted_holds_up_nothing_else() {
    let mut cluster = Cluster::new();
    namespace(&mut cluster, "tenant", 700);
    let good = cluster.state.objects[&ObjectKey::new(KIND, "tenant", "a00007").unwrap()].body.clone();
    cluster.damage(KIND, "tenant", "a00007", "{\"broken\"");
    cluster.run(delete("/api/v1/namespaces/tenant")).object();
    cluster.settle();
    assert_eq!(left(&cluster, "tenant"), 1, "the others have gone");
    assert_eq!(cluster.refused.len(), 1);
    assert!(cluster.refused[0].reason.contains("does not decode"), "{:?}", cluster.refused);
    let failure = condition(&cluster, "tenant", "NamespaceDeletionContentFailure");
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("ContentDeletionFailed")));
    insta::assert_snapshot!(failure["message"].as_str().unwrap(), @r#"Failed to delete all resource types, 1 remaining: assets "a00007": Internal error occurred: the stored object does not decode: EOF while parsing an object at line 1 column 9"#);
    assert_eq!(condition(&cluster, "tenant", "NamespaceContentRemaining")["status"], "True");

    // Tried again at heights further and further apart.
    cluster.refused.clear();
    let heights = refusals(&mut cluster, 100);
    let waits: Vec<u64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(heights.len() >= 4 && waits.is_sorted(), "{heights:?}");
    assert!(waits.last().unwrap() >= &16, "{waits:?}");

    // Repaired, it goes with the next try.
    cluster.damage(KIND, "tenant", "a00007", std::str::from_utf8(&good).unwrap());
    for _ in 0..300 {
        cluster.tick();
        cluster.settle();
    }
    assert!(cluster.get("/namespaces", "", "tenant").is_none());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn a_panic_over_one_object_undoes_only_its_part() {
    let mut cluster = Cluster::new();
    let owner = cluster.run(post(ASSETS, asset("owner", json!({})))).object();
    for name in ["one", "two", "three"] {
        cluster.run(post(ASSETS, owned(name, &[(&owner, true)]))).object();
    }
    cluster.state.trap = ObjectKey::new(KIND, "default", "three");
    cluster.run(delete(format!("{ASSETS}/owner"))).object();
    assert_eq!(left(&cluster, "default"), 1);
    insta::assert_snapshot!(cluster.refused[0].reason, @"Internal error occurred: a step of the state machine failed; it changed nothing");
    assert_eq!(cluster.jobs().len(), 2, "it waits, and for a height: {:?}", cluster.jobs());
    cluster.state.trap = None;
    for _ in 0..4 {
        cluster.tick();
    }
    cluster.settle();
    assert_eq!(left(&cluster, "default"), 0);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn an_owner_stays_until_each_orphan_is_let_go() {
    let mut cluster = Cluster::new();
    let owner = cluster.run(post(ASSETS, asset("owner", json!({})))).object();
    for name in ["one", "two"] {
        cluster.run(post(ASSETS, owned(name, &[(&owner, true)]))).object();
    }
    cluster.state.trap = ObjectKey::new(KIND, "default", "one");
    cluster.run(delete(format!("{ASSETS}/owner?propagationPolicy=Orphan"))).object();
    cluster.settle();
    assert!(cluster.asset("owner").is_some());
    assert!(cluster.asset_of("two")["metadata"].get("ownerReferences").is_none());
    cluster.state.trap = None;
    for _ in 0..4 {
        cluster.tick();
        cluster.settle();
    }
    assert!(cluster.asset("owner").is_none());
    assert!(cluster.asset_of("one")["metadata"].get("ownerReferences").is_none());
}

#[test]
fn what_cannot_be_read_blocks_its_owner_until_it_can() {
    let mut cluster = Cluster::new();
    let owner = cluster.run(post(ASSETS, asset("owner", json!({})))).object();
    cluster.run(post(ASSETS, owned("one", &[(&owner, true)]))).object();
    let good = cluster.asset_of("one").to_string();
    cluster.damage(KIND, "default", "one", "?");
    cluster.run(delete(format!("{ASSETS}/owner?propagationPolicy=Foreground"))).object();
    cluster.settle();
    assert!(cluster.asset("owner").is_some());
    cluster.damage(KIND, "default", "one", &good);
    for _ in 0..8 {
        cluster.tick();
        cluster.settle();
    }
    assert_eq!(left(&cluster, "default"), 0);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn the_rest_of_a_collection_goes_around_what_is_refused() {
    let mut cluster = Cluster::new();
    namespace(&mut cluster, "tenant", 1500);
    cluster.damage(KIND, "tenant", "a01200", "?");
    assert_eq!(cluster.run(delete(ASSETS.replace("default", "tenant"))).code, 200);
    cluster.settle();
    assert_eq!(left(&cluster, "tenant"), 1);
    assert_eq!(cluster.jobs().len(), 2, "{:?}", cluster.jobs());
}

#[test]
fn a_record_that_is_no_job_is_told_and_dropped() {
    let mut cluster = Cluster::new();
    namespace(&mut cluster, "tenant", 600);
    cluster.run(delete("/api/v1/namespaces/tenant")).object();
    cluster.damage("~/work", "", "namespace/tenant", "{\"what\":1}");
    cluster.settle();
    assert_eq!(cluster.refused.len(), 1);
    assert_eq!(cluster.refused[0].key.name(), "namespace/tenant");
    // Deleting once more begins anew.
    cluster.run(delete("/api/v1/namespaces/tenant"));
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    let key = ObjectKey::new("/namespaces", "", "tenant").unwrap();
    assert!(cluster.state.get(&key).unwrap().is_some());
}
