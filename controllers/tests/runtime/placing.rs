//! The scheduler over a server that counts what it writes.

use crate::fake::Fake;
use http::Method;
use hypermesh_controllers::runtime::decision::Decisions;
use hypermesh_controllers::runtime::metrics::Metrics;
use hypermesh_controllers::runtime::{Context, Stopper, stop};
use hypermesh_controllers::scheduler;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const OURS: &str = "/apis/hypermesh.online/v1";

pub fn node(fake: &Fake, name: &str, memory: &str) {
    let key = format!("{:a<64}", name.bytes().map(|b| format!("{b:02x}")).collect::<String>());
    let node = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node",
        "metadata": {"generation": 1},
        "spec": {"publicKey": key},
        "status": {
            "allocatable": {"cpu": "4", "memory": memory, "pods": 110},
            "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    });
    fake.put(&format!("{OURS}/nodes/{name}"), node);
}

pub fn place(name: &str) -> String {
    format!("{OURS}/namespaces/n/instances/{name}")
}

pub fn instance(fake: &Fake, name: &str, memory: &str) {
    let instance = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"generation": 1},
        "spec": {"workload": "web", "revision": "1", "pod": {"containers": [
            {"name": "a", "image": "i", "resources": {"requests": {"memory": memory}}}]}},
    });
    fake.put(&place(name), instance);
}

fn workload(fake: &Fake, name: &str, placement: Value) {
    let workload = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload",
        "spec": {"placement": placement, "template": {"spec": {"containers": []}}}});
    fake.put(&format!("{OURS}/namespaces/n/workloads/{name}"), workload);
}

pub fn context(fake: &Fake) -> Context {
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let mut context = Context::new(fake.client(), "test".into(), decisions, metrics);
    let begin = tokio::time::Instant::now();
    let base: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    context.clock =
        Arc::new(move || base.checked_add(jiff::SignedDuration::try_from(begin.elapsed()).unwrap()).unwrap());
    context
}

fn schedule(fake: &Fake) -> (Context, Stopper) {
    let context = context(fake);
    let (stopper, stop) = stop();
    tokio::spawn(scheduler::run(context.clone(), stop));
    (context, stopper)
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(20_000), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came to be");
}

pub fn at(fake: &Fake, name: &str) -> Option<String> {
    fake.get(&place(name))?["spec"]["nodeName"].as_str().map(str::to_owned)
}

fn condition(fake: &Fake, name: &str) -> Value {
    fake.get(&place(name)).unwrap()["status"]["conditions"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn instances_are_bound_and_told_why() {
    let fake = Fake::default();
    node(&fake, "a", "8Gi");
    node(&fake, "b", "8Gi");
    workload(&fake, "web", json!({}));
    for name in ["one", "two"] {
        instance(&fake, name, "1Gi");
    }
    let (context, _stopper) = schedule(&fake);
    until("both", || at(&fake, "one").is_some() && at(&fake, "two").is_some()).await;
    assert_ne!(at(&fake, "one"), at(&fake, "two"), "they are spread");
    until("the words", || condition(&fake, "one")["status"] == "True").await;
    let words = condition(&fake, "one")["message"].as_str().unwrap().to_owned();
    assert!(words.contains("2 nodes that fit (of 2)"), "{words}");
    // One that comes later is bound by itself.
    instance(&fake, "three", "1Gi");
    until("the third", || at(&fake, "three").is_some()).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let writes = fake.writes();
    assert_eq!(writes.len(), 9, "a binding, a condition and an event each: {writes:?}");
    let decisions = context.decisions.find(&Default::default(), 100);
    assert!(decisions.iter().any(|d| &*d.name == "one" && d.why.starts_with("bind it to ")), "{decisions:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fits_nowhere_is_told_once_and_bound_when_there_is_room() {
    let fake = Fake::default();
    node(&fake, "a", "2Gi");
    workload(&fake, "web", json!({}));
    instance(&fake, "small", "1.5Gi");
    let (_context, _stopper) = schedule(&fake);
    until("the small one", || at(&fake, "small").is_some()).await;
    instance(&fake, "big", "1Gi");
    until("the words", || condition(&fake, "big")["reason"] == "Unschedulable").await;
    let told = condition(&fake, "big")["message"].clone();
    assert_eq!(told, "0/1 nodes fit: 1 has too little memory (needs 1Gi, has 512Mi left)");
    let before = fake.writes().len();
    // What changes for amounts alone, or not for it at all, is not told again.
    node(&fake, "a", "2.1Gi");
    let mut odd = fake.get(&format!("{OURS}/nodes/a")).unwrap();
    odd["metadata"]["annotations"] = json!({"x": "y"});
    fake.put(&format!("{OURS}/nodes/a"), odd);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(fake.writes().len(), before, "{:?}", fake.writes());
    // A node that does not fit either changes the reason.
    node(&fake, "b", "512Mi");
    until("new words", || condition(&fake, "big")["message"] != told).await;
    fake.remove(&place("small"));
    until("the big one", || at(&fake, "big").as_deref() == Some("a")).await;
}

#[tokio::test(start_paused = true)]
async fn what_ended_makes_room_and_no_place_is_promised_twice() {
    let fake = Fake::default();
    node(&fake, "a", "4Gi");
    workload(&fake, "web", json!({}));
    for n in 0..10 {
        instance(&fake, &format!("i{n}"), "1Gi");
    }
    let (_context, _stopper) = schedule(&fake);
    let bound = |fake: &Fake| (0..10).filter(|n| at(fake, &format!("i{n}")).is_some()).count();
    until("four", || bound(&fake) == 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bound(&fake), 4);
    let first = (0..10).map(|n| format!("i{n}")).find(|name| at(&fake, name).is_some()).unwrap();
    let mut ended = fake.get(&place(&first)).unwrap();
    ended["status"]["phase"] = "Succeeded".into();
    fake.put(&place(&first), ended);
    until("a fifth", || bound(&fake) == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_refused_is_tried_again_and_its_place_is_free_meanwhile() {
    let fake = Fake::default();
    node(&fake, "a", "1Gi");
    workload(&fake, "web", json!({}));
    for code in [409, 500, 429] {
        fake.refuse(Method::PATCH, "instances/one", code);
    }
    instance(&fake, "one", "1Gi");
    let (context, _stopper) = schedule(&fake);
    until("it", || at(&fake, "one").is_some()).await;
    let failed = context.metrics.of(scheduler::NAME);
    assert!(failed.count(hypermesh_controllers::runtime::metrics::Ended::Changed) <= 1);
    // Two that contend for one place, of which the first cannot be written for long.
    node(&fake, "b", "1Gi");
    for _ in 0..3 {
        fake.refuse(Method::PATCH, "instances/two", 500);
    }
    instance(&fake, "two", "1Gi");
    instance(&fake, "three", "1Gi");
    until("one of them", || at(&fake, "two").is_some() || at(&fake, "three").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_workload_is_asked_for_before_its_first_instance_is_placed() {
    let fake = Fake::default();
    node(&fake, "a", "8Gi");
    let (_context, _stopper) = schedule(&fake);
    // It has none: then nothing is asked of places.
    instance(&fake, "lone", "1Gi");
    until("it", || at(&fake, "lone").is_some()).await;
    // What it asks of places is kept, whatever comes first.
    let required = json!({"nodes": {"required": [{"key": "disk", "operator": "Exists"}]}});
    workload(&fake, "web", required);
    instance(&fake, "picky", "1Gi");
    until("the words", || condition(&fake, "picky")["status"] == "False").await;
    let told = condition(&fake, "picky")["message"].clone();
    assert_eq!(told, "0/1 nodes fit: 1 does not meet placement.nodes.required disk");
    workload(&fake, "web", json!({}));
    until("it", || at(&fake, "picky").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn instances_of_a_node_that_is_deleted_are_ended() {
    let fake = Fake::default();
    node(&fake, "a", "8Gi");
    node(&fake, "b", "8Gi");
    workload(&fake, "web", json!({}));
    for name in ["one", "two"] {
        instance(&fake, name, "1Gi");
    }
    let (_context, _stopper) = schedule(&fake);
    until("both", || at(&fake, "one").is_some() && at(&fake, "two").is_some()).await;
    let (gone, stays) =
        if at(&fake, "one").as_deref() == Some("a") { ("one", "two") } else { ("two", "one") };
    let finalizers = fake.get(&place(gone)).unwrap()["metadata"]["finalizers"].clone();
    assert_eq!(finalizers, json!(["node.hypermesh.online/running"]), "a node lets go of what it runs");
    fake.remove(&format!("{OURS}/nodes/a"));
    until("its end", || fake.get(&place(gone)).is_none()).await;
    assert!(fake.get(&place(stays)).is_some());
    // What has ended is history, and stays.
    let mut ended = fake.get(&place(stays)).unwrap();
    ended["status"]["phase"] = "Succeeded".into();
    fake.put(&place(stays), ended);
    fake.remove(&format!("{OURS}/nodes/b"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(fake.get(&place(stays)).is_some());
}

#[tokio::test(start_paused = true)]
async fn many_are_bound_in_one_pass() {
    let fake = Fake::default();
    for n in 0..20 {
        node(&fake, &format!("n{n}"), "8Gi");
    }
    workload(&fake, "web", json!({}));
    for n in 0..400 {
        instance(&fake, &format!("i{n}"), "64Mi");
    }
    let (_context, _stopper) = schedule(&fake);
    until("all", || (0..400).all(|n| at(&fake, &format!("i{n}")).is_some())).await;
    let on = |node: &str| (0..400).filter(|n| at(&fake, &format!("i{n}")).as_deref() == Some(node)).count();
    assert!((0..20).all(|n| on(&format!("n{n}")) == 20));
}
