//! A group of containers that share a node, an address and volumes: Kubernetes' PodTemplateSpec and PodSpec, with the
//! fields that mean the same here.

use super::container::Container;
use super::security::PodSecurityContext;
use super::volume::Volume;
use crate::label_selector::Labels;
use crate::node::TaintEffect;
use crate::value::{DnsSubdomain, LabelKey, LabelValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What each instance is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels and annotations that each instance gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// What each instance runs.
    pub spec: PodSpec,
}

/// Labels and annotations of an object that is made from a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMeta {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: Labels,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub annotations: BTreeMap<String, String>,
}

/// A group of containers that share a node, an address and volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.initContainers) || self.initContainers.all(i, !self.containers.exists(c, c.name == i.name))", "message": "no two containers of an instance have the same name", "fieldPath": ".initContainers"},
    {"rule": "self.containers.all(c, !has(c.restartPolicy))", "message": "only a container of initContainers has a restartPolicy of its own", "fieldPath": ".containers"},
    {"rule": "!has(self.initContainers) || self.initContainers.all(i, has(i.restartPolicy) || !(has(i.livenessProbe) || has(i.readinessProbe) || has(i.startupProbe) || has(i.lifecycle)))", "message": "a container that runs to its end has neither probes nor lifecycle; restartPolicy: Always makes it a sidecar", "fieldPath": ".initContainers"},
    {"rule": "self.containers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name)))", "message": "a container mounts a volume that volumes does not have", "fieldPath": ".containers"},
    {"rule": "!has(self.initContainers) || self.initContainers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name)))", "message": "a container mounts a volume that volumes does not have", "fieldPath": ".initContainers"},
]))]
pub struct PodSpec {
    /// Containers that run side by side.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub containers: Vec<Container>,
    /// Containers that run before the others, one after another, each to its end; one with `restartPolicy: Always`
    /// is a sidecar, which starts in its turn and stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub init_containers: Vec<Container>,
    /// Files and folders that containers may mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<Volume>,
    /// Secrets, of the same namespace, with which images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The ServiceAccount, of the same namespace, as which the instance acts.
    #[serde(default = "default_account")]
    pub service_account_name: DnsSubdomain,
    /// Whether containers find a token of that account, and the cluster's authority, at
    /// `/var/run/secrets/kubernetes.io/serviceaccount`; left out: they do. A `projected` volume has a token either way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// Whether a container that ends is started again.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// How long containers have to end by themselves, in seconds.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: i64,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-map-type" = "atomic"))]
    pub node_selector: Labels,
    /// Taints of nodes that do not keep the instance away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// Who the containers are to the kernel, where they do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,
}

fn default_account() -> DnsSubdomain {
    DnsSubdomain::known("default")
}

fn thirty() -> i64 {
    30
}

/// Names an object of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalObjectReference {
    /// Its name.
    pub name: DnsSubdomain,
}

/// Whether a container that ends is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicy {
    /// However it ended.
    #[default]
    Always,
    /// If it failed.
    OnFailure,
    /// However it ended, it stays so.
    Never,
}

/// A taint that does not keep the instance away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.key) || self.operator == 'Exists'", "message": "without a key, which stands for all of them, the operator is Exists"},
    {"rule": "self.operator != 'Exists' || !has(self.value)", "message": "Exists compares with no value", "fieldPath": ".value"},
    {"rule": "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')", "message": "tolerationSeconds belongs to the effect NoExecute", "fieldPath": ".tolerationSeconds"},
]))]
pub struct Toleration {
    /// The taint's key; left out: every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<LabelKey>,
    /// How its value compares.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// The value to compare with; left out: the empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// The taint's effect; left out: every effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// How long a NoExecute taint is tolerated, in seconds; left out: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub toleration_seconds: Option<i64>,
}

/// How a taint's value compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// It is the given one.
    #[default]
    Equal,
    /// It may be any.
    Exists,
}
