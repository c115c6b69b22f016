//! Whatever is asked in whatever order: what must always hold.
//!
//! The cluster of these tests checks by itself that a block is a function of state and requests, that effects fit the
//! state, and that no two objects hold one unique value.

use crate::support::*;
use hypermesh_pipeline::StateReader;
use proptest::prelude::*;
use serde_json::{Value, json};

const PLURALS: [&str; 2] = ["assets", "names"];

/// What may be asked; numbers choose among few names.
#[derive(Clone, Debug)]
enum Step {
    Create { plural: usize, name: u8, value: u8, owner: Option<(u8, bool)>, finalizer: bool },
    Own { name: u8, owner: u8, blocks: bool },
    Value { name: u8, value: u8 },
    Delete { plural: usize, name: u8, propagation: u8 },
    LetGo { plural: usize, name: u8 },
    Collection { plural: usize },
    Namespace { delete: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let (plural, name, value) = (0..2_usize, 0..5_u8, 0..3_u8);
    let owner = prop::option::of((0..5_u8, any::<bool>()));
    prop_oneof![
        6 => (plural.clone(), name.clone(), value.clone(), owner, any::<bool>())
            .prop_map(|(plural, name, value, owner, finalizer)| Step::Create { plural, name, value, owner, finalizer }),
        3 => (name.clone(), 0..5_u8, any::<bool>()).prop_map(|(name, owner, blocks)| Step::Own { name, owner, blocks }),
        2 => (name.clone(), value).prop_map(|(name, value)| Step::Value { name, value }),
        4 => (plural.clone(), name.clone(), 0..4_u8)
            .prop_map(|(plural, name, propagation)| Step::Delete { plural, name, propagation }),
        3 => (plural.clone(), name).prop_map(|(plural, name)| Step::LetGo { plural, name }),
        1 => plural.prop_map(|plural| Step::Collection { plural }),
        1 => any::<bool>().prop_map(|delete| Step::Namespace { delete }),
    ]
}

fn path(plural: usize) -> String {
    format!("/apis/hm.example.com/v1/namespaces/tenant/{}", PLURALS[plural])
}

fn ask(cluster: &Cluster, step: &Step) -> Ask {
    let owner = |name: u8| cluster.get("hm.example.com/assets", "tenant", &format!("o{name}"));
    match step {
        Step::Create { plural, name, value, owner: by, finalizer } => {
            let kind = ["Asset", "Name"][*plural];
            let mut object = json!({
                "apiVersion": "hm.example.com/v1", "kind": kind, "metadata": {"name": format!("o{name}")}, "spec": {},
            });
            if *plural == 1 {
                object["spec"] = json!({"name": format!("v{value}")});
            }
            if let Some((by, blocks)) = by
                && let Some(by) = owner(*by)
            {
                object["metadata"]["ownerReferences"] = json!([reference(&by, *blocks)]);
            }
            if *finalizer {
                object["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }
            post(path(*plural), object)
        }
        Step::Own { name, owner: by, blocks } => {
            let references: Vec<Value> = owner(*by).iter().map(|by| reference(by, *blocks)).collect();
            merge(format!("{}/o{name}", path(0)), json!({"metadata": {"ownerReferences": references}}))
        }
        Step::Value { name, value } => {
            merge(format!("{}/o{name}", path(1)), json!({"spec": {"name": format!("v{value}")}}))
        }
        Step::Delete { plural, name, propagation } => {
            let policy = [
                "",
                "?propagationPolicy=Background",
                "?propagationPolicy=Foreground",
                "?propagationPolicy=Orphan",
            ];
            delete(format!("{}/o{name}{}", path(*plural), policy[usize::from(*propagation)]))
        }
        Step::LetGo { plural, name } => {
            let object =
                cluster.get(&format!("hm.example.com/{}", PLURALS[*plural]), "tenant", &format!("o{name}"));
            let all =
                object.and_then(|o| o["metadata"]["finalizers"].as_array().cloned()).unwrap_or_default();
            let left: Vec<Value> = all.into_iter().filter(|f| f != "example.com/hold").collect();
            merge(format!("{}/o{name}", path(*plural)), json!({"metadata": {"finalizers": left}}))
        }
        Step::Collection { plural } => delete(path(*plural)),
        Step::Namespace { delete: true } => delete("/api/v1/namespaces/tenant"),
        Step::Namespace { delete: false } => {
            post("/api/v1/namespaces", json!({"metadata": {"name": "tenant"}}))
        }
    }
}

/// Every owner of every object is there, or the object is on its way out.
fn no_one_outlives_the_owner(cluster: &Cluster) {
    let uids: std::collections::BTreeSet<_> =
        cluster.state.objects.values().map(|record| record.facts.uid).collect();
    for (key, record) in &cluster.state.objects {
        let gone = record.facts.owners.iter().all(|owner| !uids.contains(owner));
        if !record.facts.owners.is_empty() && gone {
            assert!(record.facts.deleting, "{key:?} outlives its owners");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn work_ends_and_leaves_nothing_behind(blocks in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..14)) {
        let mut cluster = Cluster::new();
        cluster.run(post("/api/v1/namespaces", json!({"metadata": {"name": "tenant"}}))).object();
        for steps in blocks {
            let asks: Vec<Ask> = steps.iter().map(|step| ask(&cluster, step)).collect();
            let requests: Vec<_> = asks.into_iter().map(|ask| cluster.endorse(ask)).collect();
            for outcome in cluster.block(&requests) {
                prop_assert!(outcome.code < 500, "{:?}", outcome.body.bytes());
            }
        }
        cluster.settle();
        no_one_outlives_the_owner(&cluster);
        // Once nobody holds anything any more, the namespace and all that was in it go.
        let held: Vec<_> = cluster.state.objects.keys().filter(|key| key.namespace() == "tenant").cloned().collect();
        for key in held {
            let Some(record) = cluster.state.get(&key).unwrap() else { continue };
            let object: Value = serde_json::from_slice(&record.body).unwrap();
            let all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            let left: Vec<Value> = all.into_iter().filter(|f| f != "example.com/hold").collect();
            let plural = key.collection().trim_start_matches("hm.example.com/");
            let target = format!("/apis/hm.example.com/v1/namespaces/tenant/{plural}/{}", key.name());
            cluster.run(merge(target, json!({"metadata": {"finalizers": left}})));
            cluster.settle();
        }
        cluster.run(delete("/api/v1/namespaces/tenant"));
        cluster.settle();
        prop_assert_eq!(cluster.jobs(), Vec::<String>::new());
        prop_assert!(cluster.get("/namespaces", "", "tenant").is_none());
        prop_assert!(!cluster.state.objects.keys().any(|key| key.namespace() == "tenant"));
    }
}
