//! Our Nodes as Nodes of `core/v1`.

use super::{Field, Projection, Shown, Sub, at, condition, list, metadata, object_schema, text};
use crate::age::age;
use serde_json::{Value, json};

/// Labels that name a node's roles begin so.
const ROLE: &str = "node-role.kubernetes.io/";
/// Where agents listen unless they say otherwise.
const AGENT_PORT: u16 = 6444;

pub(super) const PROJECTION: Projection = Projection {
    shown: ("", "v1", "nodes"),
    source: ("hypermesh.online", "v1", "nodes"),
    verbs: &["get", "list", "patch", "watch"],
    subresources: &[Sub { name: "status", kind: ("Node", "", "v1"), verbs: &["get"] }],
    kind: &Shown {
        kind: "Node",
        singular: "node",
        short_name: "no",
        selectable: &["spec.unschedulable"],
        columns: &[
            ("Name", 0, "Name of the node."),
            ("Status", 0, "Whether it is ready, and takes new pods."),
            ("Roles", 0, "What it is for, by its labels node-role.kubernetes.io/…"),
            ("Age", 0, "How long it has been there."),
            ("Version", 0, "The version of its agent."),
            ("Internal-IP", 1, "The address at which other nodes reach it."),
            ("External-IP", 1, "The address at which the world reaches it."),
            ("OS-Image", 1, "Its operating system."),
            ("Kernel-Version", 1, "Its kernel."),
            ("Container-Runtime", 1, "What runs containers there."),
        ],
    },
    object: node,
    row,
    schema,
    field,
};

fn field(name: &str) -> Field {
    match name {
        "spec.unschedulable" => Field { source: "spec.unschedulable", absent: "false" },
        _ => Field { source: "", absent: "" },
    }
}

fn node(ours: &Value) -> Value {
    let mut spec = json!({});
    for key in ["taints", "unschedulable"] {
        if let Some(value) = at(ours, &["spec", key]).filter(|value| **value != Value::Bool(false)) {
            spec[key] = value.clone();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(ours),
        "spec": spec,
        "status": status(ours),
    })
}

fn status(ours: &Value) -> Value {
    let known = |key: &str, otherwise: Value| at(ours, &["status", key]).cloned().unwrap_or(otherwise);
    let mut addresses = list(ours, &["status", "addresses"]).to_vec();
    let stable = text(ours, &["status", "address"]);
    let is = |kind: &str| addresses.iter().any(|address| text(address, &["type"]) == kind);
    if !stable.is_empty() && !is("InternalIP") {
        addresses.insert(0, json!({"type": "InternalIP", "address": stable}));
    }
    if !addresses.iter().any(|address| text(address, &["type"]) == "Hostname") {
        addresses.push(json!({"type": "Hostname", "address": text(ours, &["metadata", "name"])}));
    }
    let conditions: Vec<Value> = list(ours, &["status", "conditions"])
        .iter()
        .map(|condition| {
            let mut condition = condition.clone();
            if let Some(map) = condition.as_object_mut() {
                // Heartbeats are not stored: what is told here is when it last changed.
                let since = map.get("lastTransitionTime").cloned().unwrap_or(Value::Null);
                map.remove("observedGeneration");
                map.insert("lastHeartbeatTime".into(), since);
            }
            condition
        })
        .collect();
    json!({
        "addresses": addresses,
        "allocatable": known("allocatable", json!({})),
        "capacity": known("capacity", json!({})),
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port(ours)}},
        "nodeInfo": info(ours),
    })
}

fn port(ours: &Value) -> u16 {
    let endpoint = text(ours, &["status", "agentEndpoint"]);
    endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(AGENT_PORT)
}

fn info(ours: &Value) -> Value {
    let part = |key: &str| text(ours, &["status", "nodeInfo", key]);
    json!({
        "architecture": part("architecture"),
        "bootID": part("bootID"),
        "containerRuntimeVersion": part("containerRuntimeVersion"),
        "kernelVersion": part("kernelVersion"),
        "kubeProxyVersion": "",
        "kubeletVersion": part("agentVersion"),
        "machineID": "",
        "operatingSystem": "linux",
        "osImage": part("osImage"),
        "systemUUID": "",
    })
}

/// Cells of a Node, as `k8s.io/kubernetes/pkg/printers/internalversion` (printNode) has them.
fn row(node: &Value, now: i64) -> Vec<Value> {
    let mut status = match condition(node, "Ready") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = at(node, &["metadata", "labels"]).and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    let address = |kind: &str| {
        let all = list(node, &["status", "addresses"]);
        let found = all.iter().find(|address| text(address, &["type"]) == kind);
        found.map(|address| text(address, &["address"])).unwrap_or_default()
    };
    let or = |words: &str, otherwise: &str| Value::from(if words.is_empty() { otherwise } else { words });
    let info = |key: &str| text(node, &["status", "nodeInfo", key]);
    let created = text(node, &["metadata", "creationTimestamp"]);
    vec![
        text(node, &["metadata", "name"]).into(),
        status.into(),
        or(&roles.join(","), "<none>"),
        Value::from(if created.is_empty() { "<unknown>".to_owned() } else { age(created, now) }),
        info("kubeletVersion").into(),
        or(address("InternalIP"), "<none>"),
        or(address("ExternalIP"), "<none>"),
        or(info("osImage"), "<unknown>"),
        or(info("kernelVersion"), "<unknown>"),
        or(info("containerRuntimeVersion"), "<unknown>"),
    ]
}

/// The schema of a Node of `core/v1`, made of ours.
fn schema(ours: &Value) -> Value {
    let of = |key: &str| ours.get("properties").and_then(|of| of.get(key));
    let text_of = |description: &str| json!({"type": "string", "description": description});
    let mut spec = object_schema("What is asked of it.", of("spec"), json!({}));
    if let Some(properties) = spec.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|key, _| matches!(key.as_str(), "taints" | "unschedulable"));
    }
    let info = json!({
        "kubeletVersion": text_of("The version of its agent."),
        "operatingSystem": text_of("Always linux."),
    });
    let mut status = object_schema("What is known of it.", of("status"), json!({}));
    if let Some(properties) = status.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .retain(|key, _| !matches!(key.as_str(), "address" | "agentEndpoint" | "observedGeneration"));
        let kept = object_schema("What the host is.", properties.get("nodeInfo"), info);
        properties.insert("nodeInfo".into(), kept);
    }
    json!({
        "type": "object",
        "description": "A Node of core/v1 shows the Node of hypermesh.online of the same name to clients of Kubernetes. It \
                        is read, cordoned, tainted and labelled, and not written otherwise.",
        "properties": {"spec": spec, "status": status},
    })
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
