//! Nodes that fall silent and come back, over a server that counts what is written about them.

use crate::fake::Fake;
use crate::placing::{context, instance, node, place, until};
use hypermesh_controllers::node::{NodeLifecycle, UNREACHABLE};
use hypermesh_controllers::runtime::{Context, Stopper, drive, stop};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

const NODES: &str = "/apis/hypermesh.online/v1/nodes";

/// Agents that say that they are there, as long as they are in the set.
type Beating = Arc<Mutex<BTreeSet<String>>>;

fn cluster(fake: &Fake, count: usize) -> Beating {
    let beating = Beating::default();
    for at in 0..count {
        node(fake, &format!("n{at}"), "8Gi");
        beating.lock().unwrap().insert(format!("n{at}"));
    }
    let (fake, agents, begin) = (fake.clone(), Arc::clone(&beating), tokio::time::Instant::now());
    tokio::spawn(async move {
        loop {
            for name in agents.lock().unwrap().iter() {
                let seen = format!("{:?}", begin.elapsed());
                fake.put(&format!("{NODES}/{name}/liveness"), json!({"lastSeen": seen, "connected": true}));
            }
            sleep(Duration::from_secs(5)).await;
        }
    });
    beating
}

fn look_after(fake: &Fake) -> (Context, Stopper) {
    let context = context(fake);
    let (stopper, stop) = stop();
    tokio::spawn(drive(Arc::new(NodeLifecycle::default()), context.clone(), stop));
    (context, stopper)
}

fn bound(fake: &Fake, name: &str, to: &str) {
    instance(fake, name, "1Gi");
    let mut bound = fake.get(&place(name)).unwrap();
    bound["spec"]["nodeName"] = to.into();
    bound["status"] = json!({"phase": "Running"});
    fake.put(&place(name), bound);
}

fn ready(fake: &Fake, node: &str) -> Value {
    let node = fake.get(&format!("{NODES}/{node}")).unwrap();
    let conditions = node["status"]["conditions"].as_array().unwrap().clone();
    conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default()["status"].clone()
}

fn taints(fake: &Fake, node: &str) -> Vec<String> {
    let node = fake.get(&format!("{NODES}/{node}")).unwrap();
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.iter().map(|taint| taint["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_heard_of_cost_no_write() {
    let fake = Fake::default();
    let _beating = cluster(&fake, 3);
    bound(&fake, "one", "n0");
    let (_context, _stopper) = look_after(&fake);
    sleep(Duration::from_secs(3_600)).await;
    assert!(fake.writes().is_empty(), "{:?}", fake.writes());
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_marked_emptied_and_forgiven() {
    let fake = Fake::default();
    let beating = cluster(&fake, 3);
    bound(&fake, "lost", "n0");
    bound(&fake, "fine", "n1");
    let (_context, _stopper) = look_after(&fake);
    sleep(Duration::from_secs(60)).await;
    beating.lock().unwrap().remove("n0");
    let begin = tokio::time::Instant::now();
    until("the verdict", || ready(&fake, "n0") == "Unknown").await;
    assert!((40..62).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    until("the taint", || taints(&fake, "n0") == [UNREACHABLE]).await;
    until("the mark", || fake.get(&place("lost")).is_some_and(|lost| lost["status"]["phase"] == "Unknown"))
        .await;
    let told = begin.elapsed();
    until("the end", || fake.get(&place("lost")).is_none()).await;
    assert!((299..330).contains(&(begin.elapsed() - told).as_secs()), "{:?}", begin.elapsed() - told);
    assert!(fake.get(&place("fine")).is_some_and(|fine| fine["status"]["phase"] == "Running"));
    let before = fake.writes().len();
    sleep(Duration::from_secs(900)).await;
    assert_eq!(fake.writes().len(), before, "{:?}", fake.writes());
    beating.lock().unwrap().insert("n0".to_owned());
    until("its return", || ready(&fake, "n0") == "True" && taints(&fake, "n0").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn when_most_nodes_are_silent_nobody_is_ended() {
    let fake = Fake::default();
    let beating = cluster(&fake, 5);
    for at in 0..3 {
        bound(&fake, &format!("i{at}"), &format!("n{at}"));
    }
    let (_context, _stopper) = look_after(&fake);
    sleep(Duration::from_secs(60)).await;
    beating.lock().unwrap().retain(|name| name.as_str() > "n2");
    let held = |fake: &Fake| {
        let node = fake.get(&format!("{NODES}/n0")).unwrap();
        node["status"]["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "EvictionsHeld")
    };
    until("the word", || held(&fake)).await;
    sleep(Duration::from_secs(1_800)).await;
    assert!((0..3).all(|at| fake.get(&place(&format!("i{at}"))).is_some()));
    // One of them comes back: two of five are silent, and after a while of calm theirs are ended, one node at a time.
    beating.lock().unwrap().insert("n0".to_owned());
    until("their end", || (1..3).all(|at| fake.get(&place(&format!("i{at}"))).is_none())).await;
    assert!(fake.get(&place("i0")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_people_set_ends_what_does_not_tolerate_it() {
    let fake = Fake::default();
    let _beating = cluster(&fake, 2);
    for name in ["plain", "tolerant"] {
        bound(&fake, name, "n0");
    }
    let mut tolerant = fake.get(&place("tolerant")).unwrap();
    let seconds =
        json!([{"key": "disk", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]);
    tolerant["spec"]["pod"]["tolerations"] = seconds;
    fake.put(&place("tolerant"), tolerant);
    let (_context, _stopper) = look_after(&fake);
    sleep(Duration::from_secs(60)).await;
    let mut tainted = fake.get(&format!("{NODES}/n0")).unwrap();
    tainted["metadata"]["generation"] = 2.into();
    tainted["spec"]["taints"] = json!([{"key": "disk", "value": "bad", "effect": "NoExecute"}]);
    fake.put(&format!("{NODES}/n0"), tainted);
    let begin = tokio::time::Instant::now();
    until("the first", || fake.get(&place("plain")).is_none()).await;
    assert!(begin.elapsed().as_secs() < 2);
    until("the second", || fake.get(&place("tolerant")).is_none()).await;
    assert!((30..35).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}
