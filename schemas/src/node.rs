//! Node: one host that runs an agent.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::value::{IpAddress, LabelKey, LabelValue, PublicKey, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<NodeSpec, NodeStatus>(
        Scope::Cluster,
        "Node",
        "nodes",
        "A Node is one host that runs an agent. Its identity is an Ed25519 key, which it registers when it joins; a \
         certificate carries the key and does not replace it.",
    )
    .column("Address", "string", ".status.address", "The stable address that its identity gives it.")
    .column("Version", "string", ".status.nodeInfo.agentVersion", "The version of its agent.")
    .column("Cordoned", "boolean", ".spec.unschedulable", "Whether it takes no new instances.")
    .wide("OS-Image", "string", ".status.nodeInfo.osImage", "Its operating system.")
    .wide("Kernel-Version", "string", ".status.nodeInfo.kernelVersion", "Its kernel.")
    .wide("Architecture", "string", ".status.nodeInfo.architecture", "Its processor's architecture.")
    .selectable(".spec.unschedulable")
    .finish()
}

/// What is asked of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// The key that is the node. It never changes.
    #[schemars(extend(
        "x-hypermesh-unique" = "Cluster",
        "x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "the key is the node: with another key it is another node"}],
    ))]
    pub public_key: PublicKey,
    /// Whether new instances are kept away from it. Those that run there stay.
    #[serde(default)]
    pub unschedulable: bool,
    /// What keeps instances away that do not tolerate it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key", "effect"]))]
    pub taints: Vec<Taint>,
}

/// Keeps instances away that do not tolerate it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// What the node has.
    pub key: LabelKey,
    /// How much of it, or which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// What happens to instances that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New instances go elsewhere.
    NoSchedule,
    /// New instances go elsewhere if they can.
    PreferNoSchedule,
    /// New instances go elsewhere, and those that run there leave.
    NoExecute,
}

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The stable address that its identity gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddress>,
    /// All its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<NodeAddress>,
    /// Where its agent is asked for logs and streams, over QUIC: `host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub agent_endpoint: Option<String>,
    /// All there is, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub capacity: BTreeMap<String, Quantity>,
    /// What instances may have of it, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub allocatable: BTreeMap<String, Quantity>,
    /// What the host is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_info: Option<NodeInfo>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One address of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeAddress {
    /// What kind of address it is.
    #[serde(rename = "type")]
    pub kind: NodeAddressType,
    /// The address.
    #[schemars(length(min = 1, max = 253))]
    pub address: String,
}

/// Kinds of a node's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeAddressType {
    /// Its host name.
    Hostname,
    /// An address that other nodes reach.
    InternalIP,
    /// An address that the world reaches.
    ExternalIP,
}

/// What a host is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// The version of its agent.
    #[schemars(length(max = 256))]
    pub agent_version: String,
    /// Its processor's architecture: `amd64`, `arm64`.
    #[schemars(length(max = 256))]
    pub architecture: String,
    /// The boot that it is in, which tells restarts apart.
    #[schemars(extend("maxLength" = 256))]
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Its kernel.
    #[schemars(length(max = 256))]
    pub kernel_version: String,
    /// What runs containers there, and its version: `libcontainer://0.7.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub container_runtime_version: Option<String>,
    /// Its operating system, as `/etc/os-release` has it.
    #[schemars(length(max = 256))]
    pub os_image: String,
}
