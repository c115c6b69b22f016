//! Asset: one allocatable piece of hardware of one node.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::privacy::Privacy;
use crate::value::{DnsSubdomain, Duration, IpAddress, Percent, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<AssetSpec, AssetStatus>(
        Scope::Cluster,
        "Asset",
        "assets",
        "An Asset is one allocatable piece of hardware of one node: a processor, a GPU, memory, a disk, a network \
         interface or a sensor, with whom its owner shares it and how much of it.",
    )
    .short_name("as")
    .column("Class", "string", ".spec.class", "What kind of hardware it is.")
    .column("Node", "string", ".spec.nodeName", "The node that it is part of.")
    .column("Privacy", "string", ".spec.privacy", "Whom its owner shares it with.")
    .column("Health", "string", ".status.health", "Whether it works.")
    .wide("Max Share", "string", ".spec.sharing.maxShare", "Most of it that may be lent.")
    .wide("Address", "string", ".status.address", "Where it is reached.")
    .selectable(".spec.class")
    .selectable(".spec.nodeName")
    .finish()
}

/// What the owner of a piece of hardware says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssetSpec {
    /// What kind of hardware it is. It never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "the class of an asset never changes"}]))]
    pub class: AssetClass,
    /// The Node that it is part of. It never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "an asset stays with its node; on another node it is another asset"}]))]
    pub node_name: DnsSubdomain,
    /// Whom its owner shares it with.
    #[serde(default)]
    pub privacy: Privacy,
    /// How it is shared, with those whom `privacy` names.
    #[serde(default)]
    pub sharing: Sharing,
}

/// Classes of hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AssetClass {
    /// Processor cores.
    #[serde(rename = "CPU")]
    Cpu,
    /// A graphics or tensor processor.
    #[serde(rename = "GPU")]
    Gpu,
    /// Main memory.
    Memory,
    /// A disk or a part of one.
    Storage,
    /// A network interface.
    Network,
    /// A sensor or another source of measurements.
    Sensor,
}

/// How much is lent, and how it is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sharing {
    /// Most of the asset that others may hold at a time.
    #[serde(default = "whole")]
    pub max_share: Percent,
    /// How long a borrower keeps its share after the owner asks for it back.
    #[serde(default = "five_minutes")]
    pub notice_before_revoke: Duration,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { max_share: whole(), notice_before_revoke: five_minutes() }
    }
}

fn whole() -> Percent {
    Percent::ALL
}

fn five_minutes() -> Duration {
    Duration::known("5m")
}

/// What is known of a piece of hardware.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssetStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// All there is of it, by resource: `cpu`, `memory`, `storage`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub capacity: BTreeMap<String, Quantity>,
    /// What is in use, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub allocated: BTreeMap<String, Quantity>,
    /// The address that reaches the asset wherever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddress>,
    /// Whether it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<AssetHealth>,
    /// What its node has proved of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub proofs: Vec<AssetProof>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Whether hardware works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AssetHealth {
    /// It works.
    Healthy,
    /// It works with errors, or slower than it should.
    Degraded,
    /// It does not work.
    Failed,
}

/// One thing that a node has proved of its hardware.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssetProof {
    /// What was proved, such as `Identity` or `Capacity`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// When the proof was checked against a fresh challenge.
    #[schemars(extend("format" = "date-time"))]
    pub attested_at: String,
}
