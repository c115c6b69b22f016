//! Workloads, scheduler and node lifecycle in this process, over a real server; the test plays the agents.

use anyhow::{Context as _, Result, ensure};
use hypermesh_controllers::node::NodeLifecycle;
use hypermesh_controllers::node::vigil::Timing;
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NODES: &str = "/apis/hypermesh.online/v1/nodes";
const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";
const WORKLOADS: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads";

/// The controllers that places are about, by their own certificate and rights.
fn controllers(cluster: &Cluster) -> Result<(Context, Stopper)> {
    controllers_with(cluster, Timing::default())
}

fn controllers_with(cluster: &Cluster, timing: Timing) -> Result<(Context, Stopper)> {
    let _entered = cluster.runtime().enter();
    let (client, _) = hypermesh_controllers::connect(&cluster.dir().join("controllers.kubeconfig"))?;
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let context = Context::new(client, "test".to_owned(), decisions, metrics);
    let (stopper, stop) = stop();
    tokio::spawn(scheduler::run(context.clone(), stop.clone()));
    tokio::spawn(drive(Arc::new(NodeLifecycle::new(timing)), context.clone(), stop.clone()));
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

/// Times a twentieth as long.
fn quick() -> Timing {
    let millis = Duration::from_millis;
    Timing {
        grace: millis(2_000),
        every: millis(300),
        restore: millis(800),
        calm: millis(1_500),
        turn: millis(300),
        patience: millis(4_000),
    }
}

#[test]
fn a_node_that_falls_silent_is_marked_emptied_and_forgiven() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let admin = cluster.admin()?;
    for (name, key) in [("a", 1), ("b", 2), ("c", 3)] {
        node(&admin, name, key, "2Gi")?;
    }
    let workload = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}}});
    admin.post(WORKLOADS, &workload)?.expect(201)?;
    let (_context, stopper) = controllers_with(&cluster, quick())?;
    // The agents of b and c write now and then, which shows that they live; that of a has fallen silent.
    let alive = Arc::new(AtomicBool::new(true));
    let (beating, beats) = (Arc::clone(&alive), admin.clone());
    let agents = std::thread::spawn(move || -> Result<()> {
        for round in 0.. {
            if !beating.load(Ordering::Relaxed) {
                return Ok(());
            }
            for name in ["b", "c"] {
                let at = format!("2026-01-01T00:{:02}:{:02}Z", round / 60 % 60, round % 60);
                let ready = json!([{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "", "lastTransitionTime": at}]);
                // An agent that is not answered says it again.
                let place = format!("{NODES}/{name}/status");
                let said = beats.merge(&place, &json!({"status": {"conditions": ready}}));
                if let Err(error) = said.and_then(|reply| reply.expect(200)) {
                    eprintln!("{name} was not heard: {error:#}");
                }
            }
            std::thread::sleep(Duration::from_millis(400));
        }
        Ok(())
    });
    let lost = until("an instance on the silent node", || {
        let all = instances(&admin)?;
        Ok(on(&all, "a").first().map(|one| (*one).clone()))
    })?;
    let name = lost["metadata"]["name"].as_str().context("no name")?.to_owned();
    ensure!(lost["metadata"]["finalizers"] == json!(["node.hypermesh.online/running"]), "{lost}");
    let place = format!("{INSTANCES}/{name}");
    let running = json!({"status": {"phase": "Running", "podIP": "192.0.2.7"}});
    admin.merge(&format!("{place}/status"), &running)?.expect(200)?;

    let taints = |admin: &Client| -> Result<Value> {
        let node = admin.get(&format!("{NODES}/a"))?.expect(200)?;
        Ok(node["spec"]["taints"].clone())
    };
    until("the taint", || Ok(taints(&admin)?.to_string().contains("unreachable").then_some(())))?;
    let unknown = until("the word of the instance", || {
        let found = admin.get(&place)?.expect(200)?;
        Ok((found["status"]["phase"] == "Unknown").then_some(found))
    })?;
    ensure!(unknown["status"]["reason"] == "NodeUnreachable", "{unknown}");
    ensure!(unknown["status"]["podIP"] == "192.0.2.7", "what is known stays: {unknown}");
    ensure!(condition(&unknown)["status"] == "True", "and so does what others say: {unknown}");
    let why = nexusctl(&cluster, &format!("why instance/{name} --decisions 127.0.0.1:1"))?;
    ensure!(why.contains("is on node a, which cannot be asked") && why.contains("not heard of"), "{why}");

    until("its end", || Ok((admin.get(&place)?.code == 404).then_some(())))?;
    until("its replacement", || {
        let all = instances(&admin)?;
        let placed = all.iter().filter(|one| one["spec"]["nodeName"].is_string()).count();
        Ok((placed == 3 && on(&all, "a").is_empty()).then_some(()))
    })?;

    // It is back: its agent says so, and the taint goes.
    let ready = json!([{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "it is back",
        "lastTransitionTime": "2026-01-02T00:00:00Z"}]);
    admin.merge(&format!("{NODES}/a/status"), &json!({"status": {"conditions": ready}}))?.expect(200)?;
    until("the end of the taint", || {
        let taints = taints(&admin)?;
        Ok(taints.as_array().is_none_or(Vec::is_empty).then_some(()))
    })?;
    alive.store(false, Ordering::Relaxed);
    agents.join().map_err(|_| anyhow::anyhow!("the agents panicked"))??;
    stopper.stop();
    Ok(())
}

/// Plays the agents of all nodes: what is bound runs and is ready, and what is deleted is let go.
fn play(admin: &Client) -> Result<()> {
    for one in instances(admin)? {
        let name = one["metadata"]["name"].as_str().context("no name")?;
        let place = format!("{INSTANCES}/{name}");
        if one["metadata"]["deletionTimestamp"].is_string() {
            admin.merge(&place, &json!({"metadata": {"finalizers": []}}))?;
        } else if one["spec"]["nodeName"].is_string() && one["status"]["phase"] == "Pending" {
            let ready = json!({"type": "Ready", "status": "True", "reason": "ContainersReady", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            // It may have gone meanwhile.
            admin.merge(
                &format!("{place}/status"),
                &json!({"status": {"phase": "Running", "conditions": [ready]}}),
            )?;
        }
    }
    Ok(())
}

#[test]
fn a_node_is_drained_without_a_workload_going_without() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let admin = cluster.admin()?;
    node(&admin, "a", 1, "8Gi")?;
    let workload = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "rollout": {"rolling": {"maxUnavailable": 1}},
            "template": {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}}});
    admin.post(WORKLOADS, &workload)?.expect(201)?;
    let (_context, stopper) = controllers(&cluster)?;
    until("all on the only node", || {
        play(&admin)?;
        let all = instances(&admin)?;
        Ok(all
            .iter()
            .all(|one| one["status"]["phase"] == "Running")
            .then_some(())
            .filter(|()| all.len() == 3))
    })?;
    node(&admin, "b", 2, "8Gi")?;
    let done = Arc::new(AtomicBool::new(false));
    let (ends, agents) = (Arc::clone(&done), admin.clone());
    // How few were ready at the worst moment.
    let agents = std::thread::spawn(move || -> Result<usize> {
        let mut least = usize::MAX;
        while !ends.load(Ordering::Relaxed) {
            let ready = |one: &&Value| {
                one["status"]["phase"] == "Running" && one["metadata"]["deletionTimestamp"].is_null()
            };
            least = least.min(instances(&agents)?.iter().filter(ready).count());
            play(&agents)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(least)
    });
    let told = nexusctl(&cluster, "node drain a --timeout=50s");
    done.store(true, Ordering::Relaxed);
    let least = agents.join().map_err(|_| anyhow::anyhow!("the agents panicked"))??;
    let told = told?;
    ensure!(told.starts_with("node/a cordoned\n") && told.ends_with("node/a drained\n"), "{told}");
    ensure!(told.matches(" evicted").count() == 3, "{told}");
    ensure!(least >= 2, "only {least} of 3 were ready, and one may be missing");
    let all = instances(&admin)?;
    ensure!(on(&all, "a").is_empty() && on(&all, "b").len() >= 2, "{all:?}");
    stopper.stop();
    Ok(())
}
