//! Instance: one replica of a Workload on one node.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, NameFormat, Scope};
use crate::value::{DnsLabel, DnsSubdomain, IpAddress};
use crate::workload::pod::PodSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<InstanceSpec, InstanceStatus>(
        Scope::Namespaced,
        "Instance",
        "instances",
        "An Instance is one replica of a Workload on one node. It is made by its Workload, bound to a node once, and \
         replaced rather than changed.",
    )
    .short_name("inst")
    .names(NameFormat::DnsLabel)
    .begins("Pending", "It was made, and no node has taken it on yet.")
    .begins_with("phase", "Pending")
    .column("Workload", "string", ".spec.workload", "What it is a replica of.")
    .column("Node", "string", ".spec.nodeName", "Where it runs.")
    .column("Phase", "string", ".status.phase", "Where it is in its life.")
    .column("Restarts", "integer", ".status.restarts", "How often its containers were started again.")
    .wide("Address", "string", ".status.podIP", "Its stable address.")
    .selectable(".spec.workload")
    .selectable(".spec.nodeName")
    .selectable(".status.phase")
    .finish_with_reason(REASON)
}

/// What kubectl shows of a Pod as its status: what became of the whole of it, what its containers wait for, how they ended;
/// else why it is ready or not.
const REASON: &str = r#"first(.status.reason, .status.initContainerStatuses[*].state.waiting.reason, .status.containerStatuses[*].state.waiting.reason, .status.containerStatuses[*].state.terminated.reason, .status.conditions[?(@.type=="Ready")].reason)"#;

/// What runs, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(oldSelf.nodeName) || (has(self.nodeName) && self.nodeName == oldSelf.nodeName)",
    "message": "an instance is bound to a node once",
    "fieldPath": ".nodeName",
}]))]
pub struct InstanceSpec {
    /// The Workload, of the same namespace, that it is a replica of. It never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "an instance stays with its workload"}]))]
    pub workload: DnsLabel,
    /// The revision of the Workload's template that it was made from. It never changes.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "an instance keeps the revision that it was made from"}]))]
    pub revision: String,
    /// The Node that it is bound to; left out: none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<DnsSubdomain>,
    /// How much of the traffic to the Workload's published ports it gets, compared with the others; 0: no new
    /// connections.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: u32,
    /// What it runs. It never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "what an instance runs never changes; its workload replaces it"}]))]
    pub pod: PodSpec,
}

fn hundred() -> u32 {
    100
}

/// What is known of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it is in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<InstancePhase>,
    /// Why it is in that phase, in one word, where the containers do not tell it: `Evicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
    /// Why it is in that phase, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// Its stable address.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<IpAddress>,
    /// All its addresses, the stable one first.
    #[serde(rename = "podIPs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_ips: Vec<IpAddress>,
    /// The address of its node.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddress>,
    /// When its node took it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// How often its containers were started again, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// Its containers of `initContainers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Its containers of `containers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub container_statuses: Vec<ContainerStatus>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InstancePhase {
    /// It waits for a node, for images or for its first containers.
    Pending,
    /// It runs.
    Running,
    /// All containers have ended well and are not started again.
    Succeeded,
    /// All containers have ended, one of them badly, and are not started again.
    Failed,
    /// Its node cannot be asked.
    Unknown,
}

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Which container.
    pub name: DnsLabel,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// The image that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Whether it has started: it runs, and its startup probe has succeeded if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// What the node calls it: `oci://…`. It is another one after each start.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub container_id: Option<String>,
    /// The digest of the image that it runs.
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image_id: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ContainerState>,
    /// What it did before it was last started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_state: Option<ContainerState>,
}

/// What a container does: one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("maxProperties" = 1))]
pub struct ContainerState {
    /// It does not run yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// It runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// It has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// A container that does not run yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Why, in one word: `ImagePullBackOff`.
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
}

/// A container that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// The exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// The signal that ended it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub signal: Option<i32>,
    /// Why, in one word: `OOMKilled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: Option<String>,
}
