//! Random graphs of owners: cycles, owners that never were, every way of deletion, jobs between writes.

use crate::support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NODES: u8 = 8;
/// Numbers from here on are owners that never were.
const MISSING: u8 = NODES;
const PROPAGATION: [&str; 3] = ["Background", "Foreground", "Orphan"];

/// Owners of each node, each with whether it may be blocked.
type Graph = Vec<Vec<(u8, bool)>>;

fn graph() -> impl Strategy<Value = Graph> {
    let owners = prop::collection::vec((0..MISSING + 3, any::<bool>()), 0..4);
    prop::collection::vec(owners, usize::from(NODES))
}

fn name(node: u8) -> String {
    format!("n{node}")
}

fn path(node: u8) -> String {
    format!("{ASSETS}/{}", name(node))
}

fn named(cluster: &Cluster, node: u8) -> Option<Value> {
    if node < MISSING {
        return cluster.asset(&name(node));
    }
    // The second of them has the name of one that is there.
    let name = if node == MISSING + 1 { name(0) } else { name(node) };
    let uid = format!("00000000-0000-8000-8000-0000000000{node:02}");
    Some(json!({"apiVersion": "hm.example.com/v1", "kind": "Asset", "metadata": {"name": name, "uid": uid}}))
}

fn references(cluster: &Cluster, owners: &[(u8, bool)]) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let owners = owners.iter().filter(|(owner, _)| seen.insert(*owner));
    owners.filter_map(|(owner, blocks)| Some(reference(&named(cluster, *owner)?, *blocks))).collect()
}

fn create(cluster: &mut Cluster, finalizers: &[bool]) {
    for node in 0..NODES {
        let mut object = asset(&name(node), json!({}));
        if finalizers.get(usize::from(node)) == Some(&true) {
            object["metadata"]["finalizers"] = json!(["example.com/hold"]);
        }
        cluster.run(post(ASSETS, object)).object();
    }
}

fn own(cluster: &Cluster, node: u8, owners: &[(u8, bool)]) -> Ask {
    merge(path(node), json!({"metadata": {"ownerReferences": references(cluster, owners)}}))
}

/// Who is left, and whom each names.
fn seen(cluster: &Cluster) -> BTreeMap<String, BTreeSet<String>> {
    let mut uids = BTreeMap::new();
    let nodes = || (0..NODES).filter_map(|node| cluster.asset(&name(node)));
    for node in nodes() {
        uids.insert(
            node["metadata"]["uid"].to_string(),
            node["metadata"]["name"].as_str().unwrap().to_owned(),
        );
    }
    let owners = |node: &Value| {
        let list = node["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let dangling = |uid: &Value| format!("dangling {uid}");
        list.iter().map(|r| uids.get(&r["uid"].to_string()).cloned().unwrap_or(dangling(&r["uid"]))).collect()
    };
    nodes().map(|node| (node["metadata"]["name"].as_str().unwrap().to_owned(), owners(&node))).collect()
}

/// What should be left: the plain rules, applied until nothing changes.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<String, BTreeSet<String>>);

impl Model {
    fn settle(&mut self) {
        loop {
            let there: BTreeSet<String> = self.0.keys().cloned().collect();
            let lost = |owners: &BTreeSet<String>| !owners.is_empty() && owners.is_disjoint(&there);
            let Some(gone) = self.0.iter().find(|(_, owners)| lost(owners)).map(|(node, _)| node.clone())
            else {
                break;
            };
            self.0.remove(&gone);
        }
        let there: BTreeSet<String> = self.0.keys().cloned().collect();
        self.0.values_mut().for_each(|owners| owners.retain(|owner| there.contains(owner)));
    }

    fn delete(&mut self, node: &str, propagation: usize) {
        if PROPAGATION[propagation] == "Orphan" && self.0.contains_key(node) {
            self.0.values_mut().for_each(|owners| {
                owners.remove(node);
            });
        }
        self.0.remove(node);
        self.settle();
    }
}

/// What is done while jobs may be at work.
#[derive(Clone, Debug)]
enum Step {
    Delete(u8, usize),
    Own(u8, Vec<(u8, bool)>),
    Touch(u8),
    LetGo(u8),
    Create(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let owners = prop::collection::vec((0..MISSING + 3, any::<bool>()), 0..4);
    prop_oneof![
        3 => (0..NODES, 0..3_usize).prop_map(|(node, how)| Step::Delete(node, how)),
        2 => (0..NODES, owners).prop_map(|(node, owners)| Step::Own(node, owners)),
        1 => (0..NODES).prop_map(Step::Touch),
        1 => (0..NODES).prop_map(Step::LetGo),
        1 => (0..NODES).prop_map(Step::Create),
    ]
}

fn let_go(cluster: &Cluster, node: u8) -> Ask {
    let all = cluster.asset(&name(node)).map(|object| object["metadata"]["finalizers"].clone());
    let all = all.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let left: Vec<Value> = all.into_iter().filter(|f| f != "example.com/hold").collect();
    merge(path(node), json!({"metadata": {"finalizers": left}}))
}

/// One deletion overtakes another of the same object, in one block or in the next: the last word counts.
#[test]
fn the_last_way_of_deletion_counts() {
    for (first, then, apart) in (0..3).flat_map(|f| (0..3).flat_map(move |t| [(f, t, false), (f, t, true)])) {
        let mut cluster = Cluster::new();
        let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
        create(&mut cluster, &[true, false]);
        cluster.run(own(&cluster, 1, &[(0, true)]));
        cluster.run(merge(path(1), held));
        let asks =
            [first, then].map(|how| delete(format!("{}?propagationPolicy={}", path(0), PROPAGATION[how])));
        let requests = asks.map(|ask| cluster.endorse(ask));
        let blocks = if apart { 1 } else { 2 };
        requests.chunks(blocks).for_each(|block| drop(cluster.block(block)));
        cluster.settle();
        let told = format!("{} then {}, {apart}", PROPAGATION[first], PROPAGATION[then]);
        cluster.run(let_go(&cluster, 0));
        cluster.settle();
        let lost = |node: u8| {
            cluster.asset(&name(node)).is_none_or(|o| o["metadata"].get("deletionTimestamp").is_some())
        };
        assert!(lost(0), "{told}");
        // What the first had done before the second came stays done.
        if !apart || first == then {
            assert_eq!(lost(1), PROPAGATION[then] != "Orphan", "{told}");
        }
        cluster.run(let_go(&cluster, 1));
        cluster.settle();
        assert!(cluster.asset("n0").is_none(), "{told}: {:?}", cluster.asset("n0"));
        assert_eq!(cluster.jobs(), Vec::<String>::new(), "{told}");
    }
}

/// How many random cases: `PROPTEST_CASES` for a longer search.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: 64, ..config } }
}

proptest! {
    #![proptest_config(cases())]

    /// One deletion after another: exactly those go that the plain rules let go.
    #[test]
    fn those_go_that_should(graph in graph(), deletions in prop::collection::vec((0..NODES, 0..3_usize), 1..5)) {
        let mut cluster = Cluster::new();
        create(&mut cluster, &[]);
        let asks: Vec<Ask> = (0..NODES).map(|node| own(&cluster, node, &graph[usize::from(node)])).collect();
        let requests: Vec<_> = asks.into_iter().map(|ask| cluster.endorse(ask)).collect();
        for outcome in cluster.block(&requests) {
            prop_assert!(outcome.code == 200, "{:?}", outcome.body.bytes());
        }
        cluster.settle();
        let owners = |node: &Vec<(u8, bool)>| {
            node.iter().map(|(owner, _)| name(if *owner == MISSING + 1 { 100 } else { *owner })).collect()
        };
        let mut model = Model((0..NODES).map(|node| (name(node), owners(&graph[usize::from(node)]))).collect());
        model.settle();
        prop_assert_eq!(seen(&cluster), model.0.clone(), "at the start");
        for (node, how) in deletions {
            cluster.run(delete(format!("{}?propagationPolicy={}", path(node), PROPAGATION[how])));
            cluster.settle();
            model.delete(&name(node), how);
            prop_assert_eq!(seen(&cluster), model.0.clone(), "after {} {}", PROPAGATION[how], node);
        }
        prop_assert_eq!(cluster.jobs(), Vec::<String>::new());
        prop_assert_eq!(cluster.refused.len(), 0);
    }

    /// Writes while jobs are at work, some objects held, one that panics for a while: nobody names who is gone, nobody
    /// who was not let go outlives all owners, and no job is left.
    #[test]
    fn jobs_and_writes_get_along(
        graph in graph(),
        finalizers in prop::collection::vec(any::<bool>(), usize::from(NODES)),
        blocks in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..10),
        trap in prop::option::of((0..NODES, 0..6_usize)),
    ) {
        let mut cluster = Cluster::new();
        create(&mut cluster, &finalizers);
        for node in 0..NODES {
            cluster.run(own(&cluster, node, &graph[usize::from(node)]));
        }
        for (i, steps) in blocks.iter().enumerate() {
            if let Some((node, from)) = trap {
                let key = hypermesh_chain::ObjectKey::new("hm.example.com/assets", "default", name(node)).unwrap();
                cluster.state.trap = Some(key).filter(|_| (from..from + 3).contains(&i));
            }
            let asks: Vec<Ask> = steps.iter().map(|step| match step {
                Step::Delete(node, how) => delete(format!("{}?propagationPolicy={}", path(*node), PROPAGATION[*how])),
                Step::Own(node, owners) => own(&cluster, *node, owners),
                Step::Touch(node) => merge(path(*node), json!({"metadata": {"labels": {"touched": i.to_string()}}})),
                Step::LetGo(node) => let_go(&cluster, *node),
                Step::Create(node) => post(ASSETS, asset(&name(*node), json!({}))),
            }).collect();
            let requests: Vec<_> = asks.into_iter().map(|ask| cluster.endorse(ask)).collect();
            cluster.block(&requests);
        }
        cluster.state.trap = None;
        for _ in 0..2 {
            // Retries come at heights: blocks pass until none is left.
            let mut ticks = 0;
            while cluster.derived.work || cluster.derived.retries {
                cluster.tick();
                cluster.settle();
                ticks += 1;
                prop_assert!(ticks < 600, "{:?}", cluster.jobs());
            }
            for node in 0..NODES {
                cluster.run(let_go(&cluster, node));
                cluster.settle();
            }
        }
        for (node, owners) in seen(&cluster) {
            let dangling: Vec<_> = owners.iter().filter(|owner| owner.starts_with("dangling")).collect();
            prop_assert!(dangling.is_empty(), "{node} names {dangling:?}");
            let object = cluster.asset(&node).unwrap();
            prop_assert!(object["metadata"].get("deletionTimestamp").is_none(), "{object}");
        }
        prop_assert_eq!(cluster.jobs(), Vec::<String>::new());
    }
}
