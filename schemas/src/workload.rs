//! Workload: replicated processes.

pub mod container;
pub mod environment;
pub mod placement;
pub mod pod;
pub mod probe;
pub mod publish;
pub mod rollout;
pub mod security;
pub mod volume;

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, NameFormat, Scope};
use placement::Placement;
use pod::PodTemplate;
use publish::PublishedPort;
use rollout::Rollout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<WorkloadSpec, WorkloadStatus>(
        Scope::Namespaced,
        "Workload",
        "workloads",
        "A Workload keeps a number of equal instances of a group of containers running, spreads them over nodes, \
         replaces them step by step when the template changes, and publishes their ports.",
    )
    .short_name("wl")
    .names(NameFormat::DnsLabel)
    .scale()
    .column("Replicas", "integer", ".spec.replicas", "How many instances there should be.")
    .column("Up-to-date", "integer", ".status.updatedReplicas", "How many have the newest template.")
    .column("Available", "integer", ".status.availableReplicas", "How many serve.")
    .wide("Images", "string", ".spec.template.spec.containers[*].image", "What its containers run.")
    .wide("Selector", "string", ".status.selector", "Which instances are its own.")
    .finish()
}

/// A workload as its owner writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.publish) || self.publish.all(p, !has(p.targetPort) || type(p.targetPort) == int || self.template.spec.containers.exists(c, has(c.ports) && c.ports.exists(q, has(q.name) && q.name == p.targetPort)))",
    "message": "publish names a port that no container of the template has",
    "fieldPath": ".publish",
}]))]
pub struct WorkloadSpec {
    /// How many instances there should be.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: u32,
    /// What each instance is.
    pub template: PodTemplate,
    /// Where instances may be, and how they lie to each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How a changed template reaches the instances.
    #[serde(default)]
    pub rollout: Rollout,
    /// Ports under which all instances are reached together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["port", "protocol"]))]
    pub publish: Vec<PublishedPort>,
}

fn one() -> u32 {
    1
}

/// What is known of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many instances there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How many have the newest template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<u32>,
    /// How many pass their readiness probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<u32>,
    /// How many have been ready for long enough to count on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<u32>,
    /// Which instances are its own, as a label selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// The revision of the template that all instances had when the last rollout ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub current_revision: Option<String>,
    /// The revision that is being rolled out; equal to `currentRevision` when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub update_revision: Option<String>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
