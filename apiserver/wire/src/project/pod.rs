//! Instances as Pods.
//!
//! An Instance's `spec.pod` has the form of a PodSpec, and its status that of a PodStatus, as far as they go: what is added
//! here is what clients take for granted (conditions, states, quality of service) and what agents add (the token of every
//! container), computed and never stored.

use super::pod_words;
use super::{Field, Projection, Shown, Sub, at, list, metadata, object_schema, text};
use serde_json::{Map, Value, json};

/// Reasons of the condition that an instance is made with.
const BEGINNING: [&str; 2] = ["NoController", "Pending"];

/// What agents call the volume with which containers reach the API server, where they mount it (the second leads to the
/// first in most images), and for how long its token is valid.
const API_ACCESS: &str = "kube-api-access";
const API_ACCESS_PATHS: [&str; 2] =
    ["/var/run/secrets/kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount"];
const API_TOKEN_SECONDS: u64 = 3607;

const READ: &[&str] = &["get"];
const STREAM: &[&str] = &["create", "get"];
const V1: (&str, &str) = ("", "v1");

pub(super) const PROJECTION: Projection = Projection {
    shown: ("", "v1", "pods"),
    source: ("hypermesh.online", "v1", "instances"),
    verbs: &["delete", "deletecollection", "get", "list", "watch"],
    subresources: &[
        Sub { name: "attach", kind: ("PodAttachOptions", V1.0, V1.1), verbs: STREAM },
        Sub { name: "eviction", kind: ("Eviction", "policy", "v1"), verbs: &["create"] },
        Sub { name: "exec", kind: ("PodExecOptions", V1.0, V1.1), verbs: STREAM },
        Sub { name: "log", kind: ("Pod", V1.0, V1.1), verbs: READ },
        Sub { name: "portforward", kind: ("PodPortForwardOptions", V1.0, V1.1), verbs: STREAM },
        Sub { name: "status", kind: ("Pod", V1.0, V1.1), verbs: READ },
    ],
    kind: &Shown {
        kind: "Pod",
        singular: "pod",
        short_name: "po",
        selectable: &["spec.nodeName", "status.phase"],
        columns: &[
            ("Name", 0, "Name of the pod, which is that of its Instance."),
            ("Ready", 0, "Containers that pass their readiness probes, of all."),
            ("Status", 0, "What it is doing, in a word."),
            ("Restarts", 0, "How often its containers were started again."),
            ("Age", 0, "How long it has been there."),
            ("IP", 1, "Its stable address."),
            ("Node", 1, "Where it runs."),
            ("Nominated Node", 1, "Nothing is nominated: an instance is bound or waits."),
            ("Readiness Gates", 1, "There are none."),
        ],
    },
    object: pod,
    row: pod_words::row,
    schema,
    field,
};

fn field(name: &str) -> Field {
    match name {
        "spec.nodeName" => Field { source: "spec.nodeName", absent: "" },
        "status.phase" => Field { source: "status.phase", absent: "Pending" },
        _ => Field { source: "", absent: "" },
    }
}

/// The Pod that an Instance is.
fn pod(instance: &Value) -> Value {
    let mut meta = metadata(instance);
    let own = at(instance, &["spec", "pod", "terminationGracePeriodSeconds"]);
    // Zero says nothing: that of the template holds.
    let says_none = meta.get("deletionGracePeriodSeconds").is_none_or(|grace| grace.as_i64() == Some(0));
    if let (Some(_), true, Some(own)) = (meta.get("deletionTimestamp"), says_none, own) {
        meta.insert("deletionGracePeriodSeconds".into(), own.clone());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": spec(instance),
        "status": status(instance),
    })
}

fn spec(instance: &Value) -> Value {
    let mut spec = at(instance, &["spec", "pod"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let node = text(instance, &["spec", "nodeName"]);
    if !node.is_empty() {
        spec.insert("nodeName".into(), node.into());
    }
    let account = spec.get("serviceAccountName").cloned().unwrap_or_else(|| "default".into());
    let usual = [
        ("dnsPolicy", json!("ClusterFirst")),
        ("enableServiceLinks", json!(false)),
        ("restartPolicy", json!("Always")),
        ("schedulerName", json!("hypermesh")),
        ("securityContext", json!({})),
        ("serviceAccount", account),
    ];
    for (key, value) in usual {
        spec.entry(key).or_insert(value);
    }
    let access = spec.get("automountServiceAccountToken") != Some(&Value::Bool(false));
    let mut mounted = false;
    for key in ["containers", "initContainers"] {
        for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            container.entry("resources").or_insert_with(|| json!({}));
            mounted |= access && mount_api_access(container);
        }
    }
    if mounted && let Some(volumes) = spec.entry("volumes").or_insert_with(|| json!([])).as_array_mut() {
        volumes.push(api_access());
    }
    Value::Object(spec)
}

/// Shows what its agent mounts into a container that has nothing of its own there; whether it does.
fn mount_api_access(container: &mut Map<String, Value>) -> bool {
    let Some(mounts) = container.entry("volumeMounts").or_insert_with(|| json!([])).as_array_mut() else {
        return false;
    };
    if mounts.iter().any(|mount| API_ACCESS_PATHS.contains(&text(mount, &["mountPath"]))) {
        return false;
    }
    mounts.push(json!({"name": API_ACCESS, "mountPath": API_ACCESS_PATHS[0], "readOnly": true}));
    true
}

/// The volume of it, as far as Kubernetes has words: the authority beside the token is the agent's, of no ConfigMap.
fn api_access() -> Value {
    json!({"name": API_ACCESS, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": API_TOKEN_SECONDS}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

fn status(instance: &Value) -> Value {
    let mut status = instance.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    for ours in ["observedGeneration", "restarts"] {
        status.remove(ours);
    }
    status.entry("phase").or_insert_with(|| "Pending".into());
    let addresses: Vec<Value> =
        list(instance, &["status", "podIPs"]).iter().map(|ip| json!({"ip": ip})).collect();
    if !addresses.is_empty() {
        status.insert("podIPs".into(), addresses.into());
    }
    if let Some(host) = status.get("hostIP").cloned() {
        status.insert("hostIPs".into(), json!([{"ip": host}]));
    }
    for (statuses, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        let specs = list(instance, &["spec", "pod", containers]);
        for status in status.get_mut(statuses).and_then(Value::as_array_mut).into_iter().flatten() {
            complete(status, specs);
        }
    }
    status.insert("conditions".into(), conditions(instance).into());
    status.insert("qosClass".into(), quality(instance).into());
    Value::Object(status)
}

/// What the form of a container's status asks for and ours may leave out.
fn complete(status: &mut Value, specs: &[Value]) {
    let spec = specs.iter().find(|spec| text(spec, &["name"]) == text(status, &["name"]));
    let image = spec.map(|spec| text(spec, &["image"])).unwrap_or_default().to_owned();
    let Some(status) = status.as_object_mut() else { return };
    let usual =
        [("image", json!(image)), ("imageID", json!("")), ("lastState", json!({})), ("state", json!({}))];
    for (key, value) in usual {
        status.entry(key).or_insert(value);
    }
    let id = status.get("containerID").cloned();
    for (state, id) in [("state", id), ("lastState", None)] {
        if let (Some(Value::Object(ended)), Some(id)) =
            (status.get_mut(state).and_then(|state| state.get_mut("terminated")), id)
        {
            ended.insert("containerID".into(), id);
        }
    }
}

/// The instance's conditions, and those of Kubernetes that it does not tell itself.
fn conditions(instance: &Value) -> Vec<Value> {
    // What an instance begins with, and its agent has not replaced, says nothing.
    let said = list(instance, &["status", "conditions"]).iter();
    let own: Vec<&Value> =
        said.filter(|condition| !BEGINNING.contains(&text(condition, &["reason"]))).collect();
    let mut all: Vec<Value> = Vec::with_capacity(own.len() + 4);
    let statuses = |key| list(instance, &["status", key]);
    let specs = |key: &str| list(instance, &["spec", "pod", key]).len();
    let running = text(instance, &["status", "phase"]) == "Running";
    let ready = |container: &Value| container.get("ready") == Some(&Value::Bool(true));
    let containers = statuses("containerStatuses");
    let all_ready = running && containers.len() >= specs("containers") && containers.iter().all(ready);
    let initialized = statuses("initContainerStatuses").iter().filter(|init| {
        at(init, &["state", "terminated", "exitCode"]) == Some(&json!(0))
            || init.get("started") == Some(&Value::Bool(true))
    });
    let initialized = running || initialized.count() >= specs("initContainers");
    let bound = !text(instance, &["spec", "nodeName"]).is_empty();
    let computed = [
        ("PodScheduled", bound),
        ("Initialized", bound && initialized),
        ("ContainersReady", all_ready),
        ("Ready", all_ready),
    ];
    for (kind, holds) in computed {
        if !own.iter().any(|condition| text(condition, &["type"]) == kind) {
            let since = text(instance, &["status", "startTime"]);
            let since =
                if since.is_empty() { text(instance, &["metadata", "creationTimestamp"]) } else { since };
            let mut shown = json!({"type": kind, "status": if holds { "True" } else { "False" }});
            if !since.is_empty() {
                shown["lastTransitionTime"] = since.into();
            }
            all.push(shown);
        }
    }
    all.extend(own.into_iter().cloned());
    all
}

/// `Guaranteed`, `Burstable` or `BestEffort`, as Kubernetes computes it of requests and limits.
fn quality(instance: &Value) -> &'static str {
    let all =
        ["containers", "initContainers"].into_iter().flat_map(|key| list(instance, &["spec", "pod", key]));
    let (mut none, mut guaranteed) = (true, true);
    for container in all {
        let part = |key| at(container, &["resources", key]).and_then(Value::as_object);
        let empty = Map::new();
        let (requests, limits) = (part("requests").unwrap_or(&empty), part("limits").unwrap_or(&empty));
        for resource in ["cpu", "memory"] {
            let (request, limit) = (requests.get(resource), limits.get(resource));
            none &= request.is_none() && limit.is_none();
            // A request that is left out is the limit.
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (none, guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// The schema of a Pod, made of an Instance's.
fn schema(instance: &Value) -> Value {
    let text_of = |description: &str| json!({"type": "string", "description": description});
    let of = |path: &[&str]| {
        path.iter().try_fold(instance, |at, key| at.get("properties").and_then(|of| of.get(key)))
    };
    let spec = object_schema(
        "What runs. It comes from the template of the Workload, and does not change.",
        of(&["spec", "pod"]),
        json!({
            "nodeName": text_of("The node that it is bound to."),
            "dnsPolicy": text_of("Always ClusterFirst."),
            "schedulerName": text_of("Who binds it."),
        }),
    );
    let address = json!({"type": "object", "properties": {"ip": text_of("The address.")}});
    let mut status = object_schema(
        "What is known of it.",
        of(&["status"]),
        json!({
            "podIPs": {"type": "array", "description": "All its addresses.", "items": address},
            "hostIPs": {"type": "array", "description": "The addresses of its node.", "items": address},
            "qosClass": text_of("BestEffort, Burstable or Guaranteed."),
        }),
    );
    if let Some(properties) = status.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("restarts");
        properties.remove("observedGeneration");
    }
    json!({
        "type": "object",
        "description": "A Pod shows an Instance (instances.hypermesh.online) of the same namespace and name to clients of \
                        Kubernetes. It is read, deleted and evicted, and never written.",
        "properties": {"spec": spec, "status": status},
    })
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
