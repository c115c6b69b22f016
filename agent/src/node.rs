//! The agent's own Node: made when it joins, and told of when something about it changes.

use crate::api::{MANAGER, NodeApi, ours};
use crate::connectivity::Connectivity;
use crate::events::Announcer;
use crate::facts;
use crate::failure::chain;
use crate::pressure::Pressures;
use crate::settings::Settings;
use futures_util::StreamExt as _;
use hypermesh_planner::eviction::Scarce;
use hypermesh_planner::{Gravity, Ground};
use hypermesh_runtime::{Ability, Report, RuntimeClass};
use hypermesh_schemas::value::Quantity;
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before what the server refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the server may have something else than what was told, before it is told again: others write too.
const SETTLE: Duration = Duration::from_secs(2);

/// What the node's status is made of.
#[derive(Clone)]
pub struct Itself {
    /// How the agent is set up.
    pub settings: Arc<Settings>,
    /// Its key, in hexadecimal.
    pub key: String,
    /// Its stable address in the cluster.
    pub stable: Option<IpAddr>,
    /// Where API servers reach the agent.
    pub endpoint_port: u16,
    /// What containers can have here.
    pub runtime: Arc<dyn RuntimeClass>,
    /// What connects them.
    pub connectivity: Arc<dyn Connectivity>,
    /// What else is missing, in words.
    pub lacks: Vec<String>,
    /// People.
    pub announcer: Announcer,
}

/// What the node's status is made of and may change.
#[derive(Clone)]
pub struct Around {
    /// Its address.
    pub address: watch::Receiver<Option<IpAddr>>,
    /// What is short.
    pub pressures: watch::Receiver<Pressures>,
}

/// Keeps the Node true for as long as the agent runs, and tells what decides on whom it takes on.
pub async fn keep(api: NodeApi, node: Itself, around: Around, ground: watch::Sender<Option<Arc<Ground>>>) {
    let Around { address, mut pressures } = around;
    let nodes: Api<DynamicObject> = Api::all_with(api.client().clone(), &ours("Node", "nodes"));
    let config = watcher::Config::default().fields(&format!("metadata.name={}", api.node()));
    let mut events = std::pin::pin!(watcher(nodes, config).default_backoff());
    let mut seen: Option<DynamicObject> = None;
    let mut known = false;
    loop {
        if let (true, Some(object)) = (known, seen.as_ref()) {
            let now = Some(Arc::new(ground_of(&node, object)));
            ground.send_if_modified(|before| {
                *before != now && {
                    before.clone_from(&now);
                    true
                }
            });
        }
        if known {
            let (address, pressures) = (*address.borrow(), pressures.borrow().clone());
            match settle(&api, &node, seen.as_ref(), address, &pressures).await {
                Ok(()) => {}
                Err(why) => {
                    tracing::warn!(why, "the node is not told as it is");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Init)) => seen = None,
                Some(Ok(watcher::Event::InitApply(object))) => seen = Some(object),
                Some(Ok(watcher::Event::InitDone)) => known = true,
                Some(Ok(watcher::Event::Apply(object))) => {
                    // Who writes it may not be through: what it comes to is judged.
                    let ours = seen.as_ref().map(|seen| &seen.metadata.resource_version)
                        != Some(&object.metadata.resource_version);
                    seen = Some(object);
                    if ours {
                        tokio::time::sleep(SETTLE / 20).await;
                    }
                }
                Some(Ok(watcher::Event::Delete(_))) => {
                    tracing::warn!("the node was deleted: it is registered again");
                    tokio::time::sleep(SETTLE).await;
                    seen = None;
                }
                Some(Err(error)) => {
                    tracing::debug!(error = chain(&error), "the node is not seen for the moment");
                }
                None => return,
            },
            changed = pressures.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn settle(
    api: &NodeApi,
    node: &Itself,
    seen: Option<&DynamicObject>,
    address: Option<IpAddr>,
    pressures: &Pressures,
) -> Result<(), String> {
    let made;
    let object = match seen {
        Some(object) => object,
        None => {
            let object = new(api.node(), node).map_err(|error| error.to_string())?;
            made = match api.make_node(&object).await {
                Ok(made) => {
                    let words = format!("Registered node {} with the key {}", api.node(), node.key);
                    node.announcer.node(api.node(), Gravity::Normal, "RegisteredNode", words);
                    made
                }
                Err(error) if error.code() == Some(409) => return Ok(()),
                Err(error) => return Err(chain(&error)),
            };
            &made
        }
    };
    let key = object.data.pointer("/spec/publicKey").and_then(Value::as_str);
    if key != Some(node.key.as_str()) {
        return Err(format!(
            "the node {} is registered with another key ({}): delete it if it is this machine's of before",
            api.node(),
            key.unwrap_or_default()
        ));
    }
    let status = status(node, object, address, pressures);
    if is_told(object, &status) {
        return Ok(());
    }
    tell(api, &status)
        .await
        .map_err(|error| format!("cannot tell the status of the node: {}", chain(&error)))?;
    let (before, (now, words)) = (ready(object.data.get("status")).0, ready(Some(&status)));
    if before != now {
        // kubelet's words for it; of one that says nothing any more, others tell.
        let (gravity, reason) = match now {
            true => (Gravity::Normal, "NodeReady"),
            false => (Gravity::Warning, "NodeNotReady"),
        };
        node.announcer.node(api.node(), gravity, reason, format!("Node {}: {words}", api.node()));
    }
    Ok(())
}

/// Whether a status says that the node takes instances, and in which words.
fn ready(status: Option<&Value>) -> (bool, String) {
    let conditions = status.and_then(|status| status.get("conditions")).and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.get("type").is_some_and(|kind| kind == "Ready"));
    let words = ready.and_then(|ready| ready.get("message")?.as_str()).unwrap_or_default();
    (ready.and_then(|ready| ready.get("status")).is_some_and(|status| status == "True"), words.to_owned())
}

fn new(name: &str, node: &Itself) -> Result<DynamicObject, serde_json::Error> {
    let mut labels = node.settings.labels.clone();
    labels.insert("kubernetes.io/hostname".to_owned(), facts::hostname());
    labels.insert("kubernetes.io/arch".to_owned(), facts::architecture().to_owned());
    labels.insert("kubernetes.io/os".to_owned(), "linux".to_owned());
    serde_json::from_value(json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"publicKey": node.key},
    }))
}

/// Applied, so that conditions of others stay.
async fn tell(api: &NodeApi, status: &Value) -> Result<(), kube::Error> {
    let nodes: Api<DynamicObject> = Api::all_with(api.client().clone(), &ours("Node", "nodes"));
    let patch = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node",
        "metadata": {"name": api.node()}, "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    nodes.patch_status(api.node(), &params, &Patch::Apply(patch)).await.map(|_| ())
}

/// Whether the server has all of a status. Of conditions it may have more.
fn is_told(object: &DynamicObject, status: &Value) -> bool {
    let have = object.data.get("status").and_then(Value::as_object);
    let (Some(have), Some(wanted)) = (have, status.as_object()) else { return false };
    wanted.iter().all(|(field, value)| {
        if field != "conditions" {
            return have.get(field) == Some(value);
        }
        let there = have.get(field).and_then(Value::as_array);
        value
            .as_array()
            .into_iter()
            .flatten()
            .all(|condition| there.into_iter().flatten().any(|there| there == condition))
    })
}

/// What decides on whom the node takes on: what was said of it, and what there is. Of resources that it knows itself it
/// takes its own word.
fn ground_of(node: &Itself, object: &DynamicObject) -> Ground {
    let read = |pointer: &str| object.data.pointer(pointer).cloned().unwrap_or_default();
    // Where one of them is not understood, by a newer server's, the others count.
    let taints = read("/spec/taints").as_array().cloned().unwrap_or_default();
    let taints = taints.into_iter().filter_map(|taint| serde_json::from_value(taint).ok()).collect();
    let mut allocatable: BTreeMap<String, Quantity> =
        serde_json::from_value(read("/status/allocatable")).unwrap_or_default();
    let own: BTreeMap<String, Quantity> =
        serde_json::from_value(amounts(node).allocatable).unwrap_or_default();
    allocatable.extend(own);
    Ground {
        name: object.metadata.name.clone().unwrap_or_default(),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        taints,
        allocatable,
    }
}

struct NodeAmounts {
    capacity: Value,
    allocatable: Value,
}

/// What there is, and what instances may have of it.
fn amounts(node: &Itself) -> NodeAmounts {
    let (memory, _) = facts::memory().unwrap_or_default();
    let disk = rustix::fs::statvfs(node.settings.layout.root());
    let disk = disk.map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize)).unwrap_or_default();
    let processors = facts::processors();
    let most = node.settings.most_instances;
    let spare = node.settings.pressure.memory;
    let amounts = |memory: u64, disk: u64| {
        json!({
            "cpu": processors.to_string(),
            "memory": format!("{}Ki", memory >> 10),
            "ephemeral-storage": format!("{}Ki", disk >> 10),
            "pods": most.to_string(),
        })
    };
    let kept = node.settings.pressure.disk_left(disk);
    NodeAmounts {
        capacity: amounts(memory, disk),
        allocatable: amounts(memory.saturating_sub(spare), disk.saturating_sub(kept)),
    }
}

fn status(node: &Itself, object: &DynamicObject, address: Option<IpAddr>, pressures: &Pressures) -> Value {
    let NodeAmounts { capacity, allocatable } = amounts(node);
    let mut addresses = vec![json!({"type": "Hostname", "address": facts::hostname()})];
    addresses.extend(address.map(|address| json!({"type": "InternalIP", "address": address.to_string()})));
    let host = node.settings.advertise.clone().or_else(|| {
        Some(match address? {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        })
    });
    let mut status = json!({
        "addresses": addresses,
        "capacity": capacity,
        "allocatable": allocatable,
        "nodeInfo": facts::node_info(RUNTIME),
        "conditions": conditions(node, object, pressures),
    });
    if let Some(fields) = status.as_object_mut() {
        if let Some(host) = host {
            fields.insert("agentEndpoint".to_owned(), format!("{host}:{}", node.endpoint_port).into());
        }
        if let Some(stable) = node.stable {
            fields.insert("address".to_owned(), stable.to_string().into());
        }
    }
    status
}

/// What runs containers, and its version.
const RUNTIME: &str = "libcontainer://0.7.0";

/// That the root of containers is this node's, where it is.
fn shared_root(report: &Report) -> Option<String> {
    let lacking = report
        .missing
        .iter()
        .find(|reason| matches!(reason.ability, Ability::UserNamespace | Ability::IdMappedMounts));
    let reason = lacking.filter(|_| !report.rootless)?;
    Some(format!(
        "containers run as this node's root, confined by capabilities and the filter of system calls alone, since there are \
         no {}",
        reason.ability
    ))
}

fn conditions(node: &Itself, object: &DynamicObject, pressures: &Pressures) -> Vec<Value> {
    let report = node.runtime.report();
    let unable = report.missing.iter().find(|reason| reason.ability == Ability::Containers);
    let shared = shared_root(report);
    let mut all = vec![match (unable, &shared) {
        (Some(reason), _) => ("Ready", false, "NoContainers", reason.to_string()),
        (None, Some(why)) if node.settings.policy.require_user_namespaces => (
            "Ready",
            false,
            "NoUserNamespaces",
            format!("{why}, and the agent takes no instances then (--require-user-namespaces)"),
        ),
        (None, _) => ("Ready", true, "AgentReady", "the agent takes instances".to_owned()),
    }];
    for (kind, scarce, bad, good) in [
        ("MemoryPressure", Scarce::Memory, "InsufficientMemory", "SufficientMemory"),
        ("DiskPressure", Scarce::Disk, "InsufficientDisk", "SufficientDisk"),
        ("PIDPressure", Scarce::Pids, "InsufficientPIDs", "SufficientPIDs"),
    ] {
        all.push(match pressures.contains_key(&scarce) {
            true => (kind, true, bad, format!("the node has too little {}", scarce.as_str())),
            false => (kind, false, good, String::new()),
        });
    }
    let network = node.connectivity.report();
    let words: Vec<&str> = network.missing.iter().map(|missing| missing.message.as_str()).collect();
    all.push(match network.missing.first() {
        Some(first) => ("NetworkUnavailable", true, first.reason, words.join("; ")),
        None => (
            "NetworkUnavailable",
            false,
            "NetworkReady",
            format!("instances are connected by a {}", network.kind),
        ),
    });
    let missing = report.missing.iter().filter(|reason| reason.ability != Ability::Containers);
    let mut lacks: Vec<String> = shared.iter().cloned().collect();
    lacks.extend(missing.map(ToString::to_string));
    lacks.extend(node.lacks.iter().cloned());
    let reason = match (report.rootless, shared) {
        (true, _) => "Rootless",
        (false, Some(_)) => "ContainersRunAsNodeRoot",
        (false, None) => "HostLacks",
    };
    all.push(match lacks.is_empty() {
        true => ("Restricted", false, "NothingMissing", String::new()),
        false => ("Restricted", true, reason, lacks.join("; ")),
    });
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let before = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let generation = object.metadata.generation;
    let dated = |(kind, holds, reason, message): (&str, bool, &str, String)| {
        let status = if holds { "True" } else { "False" };
        let text = |condition: &Value, field: &str| {
            condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let same = before
            .into_iter()
            .flatten()
            .find(|before| text(before, "type") == kind && text(before, "status") == status);
        let since = same.map(|same| text(same, "lastTransitionTime"));
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or_else(|| now.to_string()),
        })
    };
    all.into_iter().map(dated).collect()
}
