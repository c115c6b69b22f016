//! Workloads, scheduler and node lifecycle in this process, over a real server; the test plays the agents.

use anyhow::{Context as _, Result, ensure};
use hypermesh_controllers::node::NodeLifecycle;
use hypermesh_controllers::runtime::decision::Decisions;
use hypermesh_controllers::runtime::metrics::{Ended, Metrics};
use hypermesh_controllers::runtime::{Context, Reconciler as _, Stopper, drive, stop};
use hypermesh_controllers::scheduler;
use hypermesh_controllers::workload::Workloads;
use hypermesh_e2e::controllers::{grant, until};
use hypermesh_e2e::{Client, Cluster};
use nexusctl::{Environment, Streams};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};

const NODES: &str = "/apis/hypermesh.online/v1/nodes";
const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";
const WORKLOADS: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads";

/// The controllers that places are about, by their own certificate and rights.
fn controllers(cluster: &Cluster) -> Result<(Context, Stopper)> {
    let _entered = cluster.runtime().enter();
    let (client, _) = hypermesh_controllers::connect(&cluster.dir().join("controllers.kubeconfig"))?;
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let context = Context::new(client, "test".to_owned(), decisions, metrics);
    let (stopper, stop) = stop();
    tokio::spawn(scheduler::run(context.clone(), stop.clone()));
    tokio::spawn(drive(Arc::new(NodeLifecycle::default()), context.clone(), stop.clone()));
    tokio::spawn(drive(Arc::new(Workloads::default()), context.clone(), stop));
    Ok((context, stopper))
}

fn node(admin: &Client, name: &str, key: u8, memory: &str) -> Result<()> {
    let node = json!({"apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"publicKey": format!("{key:02x}").repeat(32)}});
    admin.post(NODES, &node)?.expect(201)?;
    let status = json!({"status": {
        "capacity": {"cpu": "4", "memory": memory, "pods": 110},
        "allocatable": {"cpu": "4", "memory": memory, "pods": 110},
        "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "it runs what it should",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    admin.merge(&format!("{NODES}/{name}/status"), &status)?.expect(200)?;
    Ok(())
}

fn instances(admin: &Client) -> Result<Vec<Value>> {
    let list = admin.get(INSTANCES)?.expect(200)?;
    list["items"].as_array().cloned().context("no list")
}

fn on<'v>(instances: &'v [Value], node: &str) -> Vec<&'v Value> {
    instances.iter().filter(|one| one["spec"]["nodeName"] == node).collect()
}

fn condition(instance: &Value) -> Value {
    let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == "PodScheduled").unwrap_or_default()
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::Error::other("poisoned"))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `nexusctl` says.
fn nexusctl(cluster: &Cluster, words: &str) -> Result<String> {
    let (out, err) = (Shared::default(), Shared::default());
    let streams = Streams {
        input: Box::new(std::io::empty()),
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        out_color: false,
        err_color: false,
        out_width: None,
        err_width: None,
        reader: None,
    };
    let kubeconfig = cluster.kubeconfig()?.to_str().context("the folder's name")?.to_owned();
    let words = ["nexusctl", "--kubeconfig", &kubeconfig].into_iter().chain(words.split(' '));
    let code = nexusctl::run(words.map(Into::into), Environment::default(), streams);
    let text = |shared: Shared| -> Result<String> {
        let bytes = shared.0.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
        Ok(String::from_utf8(bytes)?)
    };
    let (out, err) = (text(out)?, text(err)?);
    ensure!(code == 0, "{code}: {out}{err}");
    Ok(out)
}

#[test]
fn workloads_find_their_places_and_say_why() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let admin = cluster.admin()?;
    let (context, stopper) = controllers(&cluster)?;
    node(&admin, "a", 1, "2Gi")?;
    node(&admin, "b", 2, "2Gi")?;
    let web = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [
            {"name": "app", "image": "app:1", "resources": {"requests": {"memory": "1Gi"}}}]}}}});
    admin.post(WORKLOADS, &web)?.expect(201)?;
    let bound = |count: usize| {
        until(&format!("{count} bound"), || {
            let all = instances(&admin)?;
            let bound = all.iter().filter(|one| one["spec"]["nodeName"].is_string()).count();
            Ok((bound == count
                && all.iter().filter(|one| condition(one)["status"] == "True").count() == count)
                .then_some(all))
        })
    };
    let three = bound(3)?;
    ensure!(on(&three, "a").len() <= 2 && on(&three, "b").len() <= 2, "{three:?}");
    let first = three.first().and_then(|one| one["metadata"]["name"].as_str()).context("no name")?;
    let why = nexusctl(&cluster, &format!("why pod/{first} --decisions 127.0.0.1:1"))?;
    ensure!(why.contains("starts on node") && why.contains("2 nodes that fit (of 2)"), "{why}");
    // A node is given once.
    let moved = admin.merge(&format!("{INSTANCES}/{first}"), &json!({"spec": {"nodeName": "elsewhere"}}))?;
    ensure!(moved.code == 422, "{}", moved.text());

    // One more than there is room for.
    admin.merge(&format!("{WORKLOADS}/web"), &json!({"spec": {"replicas": 5}}))?.expect(200)?;
    let waits = until("one that waits", || {
        let all = instances(&admin)?;
        Ok(all.into_iter().find(|one| condition(one)["reason"] == "Unschedulable"))
    })?;
    let words = "0/2 nodes fit: 2 have too little memory (needs 1Gi, at most 0 is left)";
    ensure!(condition(&waits)["message"] == words, "{waits}");
    let name = waits["metadata"]["name"].as_str().context("no name")?;
    let why = nexusctl(&cluster, &format!("why instance/{name} --decisions 127.0.0.1:1"))?;
    ensure!(why.contains(words) && why.contains("FailedScheduling") == why.contains("ago"), "{why}");
    let why = nexusctl(&cluster, "why workload/web --decisions 127.0.0.1:1")?;
    ensure!(why.contains(words), "{why}");
    let listed = nexusctl(&cluster, "node list")?;
    ensure!(listed.matches("2Gi/2Gi (100%)").count() == 2, "{listed}");
    until("the event", || {
        let events = admin.get("/api/v1/namespaces/default/events")?.expect(200)?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        Ok(events.into_iter().find(|event| event["reason"] == "FailedScheduling"))
    })?;
    // Nothing more is written about it.
    let told = admin.get(&format!("{INSTANCES}/{name}"))?.expect(200)?["metadata"]["resourceVersion"].clone();

    // Room comes: it is bound, with nobody asking.
    node(&admin, "c", 3, "2Gi")?;
    let five = bound(5)?;
    ensure!(
        five.iter().any(|one| one["metadata"]["name"] == name && one["spec"]["nodeName"] == "c"),
        "{five:?}"
    );
    ensure!(told.is_string());

    // A node goes: its instances are ended, and replaced where there is room.
    admin.delete(&format!("{NODES}/b"))?.expect(200)?;
    until("the replacement", || {
        let all = instances(&admin)?;
        Ok((on(&all, "b").is_empty() && on(&all, "c").len() == 2).then_some(()))
    })?;
    let lifecycle = context.metrics.of(NodeLifecycle::NAME);
    ensure!(lifecycle.count(Ended::AsWanted) > 0, "nodes were not looked after");
    stopper.stop();
    Ok(())
}
