//! Placement: which nodes instances may be on, and how they lie to each other and to other workloads.
//!
//! What one instance needs of its node (`nodeSelector`, `tolerations`) stays in the template, as in a pod.

use crate::label_selector::LabelRequirement;
use crate::value::{DnsLabel, LabelKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where instances may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Which nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodePlacement>,
    /// How evenly the workload's own instances are spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["topologyKey"]))]
    pub spread: Vec<Spread>,
    /// Workloads to be close to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["workload", "topologyKey"]))]
    pub near: Vec<Relation>,
    /// Workloads to be away from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["workload", "topologyKey"]))]
    pub apart: Vec<Relation>,
}

/// Which nodes instances may be on, by the nodes' labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePlacement {
    /// Requirements that a node must meet, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub required: Vec<LabelRequirement>,
    /// Requirements that make a node better, each by its weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred: Vec<PreferredNodes>,
}

/// Requirements that make a node better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNodes {
    /// How much better, compared with the other preferences.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// Requirements, all of which a better node meets.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// Spreads the workload's own instances over groups of nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Nodes with one value of this label are one group.
    #[serde(default = "hostname")]
    pub topology_key: LabelKey,
    /// Most by which two groups may differ.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_skew: i32,
    /// What happens where that cannot be kept.
    #[serde(default)]
    pub when_unsatisfiable: WhenUnsatisfiable,
}

fn hostname() -> LabelKey {
    LabelKey::known("kubernetes.io/hostname")
}

fn one() -> i32 {
    1
}

/// What happens where a spread cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// The instance waits.
    #[default]
    DoNotSchedule,
    /// The instance goes where it makes the difference smallest.
    ScheduleAnyway,
}

/// How instances lie to those of another workload, or of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// The other Workload, of the same namespace.
    pub workload: DnsLabel,
    /// Near is a node with the same value of this label; apart is one with another.
    #[serde(default = "hostname")]
    pub topology_key: LabelKey,
    /// Whether an instance waits rather than be placed against it.
    #[serde(default)]
    pub required: bool,
}
