//! Workload: replicated processes.

pub mod container;
pub mod environment;
pub mod job;
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
use job::{Job, JobStatus, Schedule, ScheduleStatus};
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
    .column(
        "Replicas",
        "integer",
        "first(.spec.job.completions,.spec.replicas)",
        "How many instances there should be; of a job, how many are to end well.",
    )
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
}, {
    "rule": "!has(self.job) || self.template.spec.restartPolicy != 'Always'",
    "message": "a job ends, so its restartPolicy is OnFailure or Never",
    "fieldPath": ".template.spec.restartPolicy",
}, {
    "rule": "has(self.job) || self.template.spec.restartPolicy == 'Always'",
    "message": "instances of a workload that is no job are kept running, so their restartPolicy is Always; `job: {}` makes it a job",
    "fieldPath": ".template.spec.restartPolicy",
}, {
    "rule": "!has(self.job) || self.replicas == 1",
    "message": "how many instances of a job run is job.parallelism",
    "fieldPath": ".replicas",
}, {
    "rule": "!has(self.schedule) || has(self.job)",
    "message": "what runs by the clock is a job: `job: {}` makes it one",
    "fieldPath": ".schedule",
}, {
    "rule": "has(self.job) == has(oldSelf.job) && has(self.schedule) == has(oldSelf.schedule)",
    "message": "a workload stays the service, the job or the schedule that it was made as",
}, {
    "rule": "!has(self.job) || !has(oldSelf.job) || has(self.schedule) || self.template == oldSelf.template",
    "message": "the template of a job never changes, since some of its instances may have ended already; make another job",
    "fieldPath": ".template",
}]))]
pub struct WorkloadSpec {
    /// How many instances there should be.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: u32,
    /// What each instance is.
    pub template: PodTemplate,
    /// Makes it run to completion, instead of for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Runs the job by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
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
    /// How many times a name for an instance was taken already, so that a new one differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<u32>,
    /// How far the job is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
    /// How far the schedule is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleStatus>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
