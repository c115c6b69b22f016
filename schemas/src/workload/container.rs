//! One container: what it runs, what it may use, when it counts as ready.

use super::environment::{EnvFrom, EnvVar};
use super::probe::{Handler, Probe};
use super::security::SecurityContext;
use super::volume::VolumeMount;
use crate::network::Protocol;
use crate::value::{AbsolutePath, DnsLabel, IpAddress, PortName, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One container of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.livenessProbe) || self.livenessProbe.successThreshold == 1", "message": "one success is enough to be alive", "fieldPath": ".livenessProbe.successThreshold"},
    {"rule": "!has(self.startupProbe) || self.startupProbe.successThreshold == 1", "message": "one success is enough to have started", "fieldPath": ".startupProbe.successThreshold"},
]))]
pub struct Container {
    /// Its name within the instance.
    pub name: DnsLabel,
    /// What it runs: `registry.example/team/app:1.2` or `…@sha256:…`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// When the image is pulled; left out: Always for the tag `latest` and for none, else IfNotPresent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Runs instead of the image's entrypoint. `$(NAME)` is replaced by the variable's value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 131071)), extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Vec<String>,
    /// Given to the command instead of the image's arguments. `$(NAME)` is replaced by the variable's value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 131071)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,
    /// Where it starts, instead of the image's working folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<AbsolutePath>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// ConfigMaps and Secrets whose every key becomes an environment variable; `env` wins over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub env_from: Vec<EnvFrom>,
    /// Ports that it listens on, to give them names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["containerPort", "protocol"]))]
    pub ports: Vec<ContainerPort>,
    /// What it needs of the node, and what it may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Whether its standard input stays open, so that `attach -i` can write to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<bool>,
    /// Whether it has a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Where volumes appear in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"]))]
    pub volume_mounts: Vec<VolumeMount>,
    /// When it fails, the container is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// While it fails, the instance is sent no traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Until it succeeds, the other probes wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    /// What is done when it has started and before it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Who it is to the kernel, and what it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
    /// Makes a container of `initContainers` a sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<SidecarRestartPolicy>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// It is not pulled: the node must have it.
    Never,
}

/// The restart policy of a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SidecarRestartPolicy {
    /// Started again whenever it ends, for as long as the instance lives.
    Always,
}

/// A port that a container listens on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// A name for it, by which probes, policies and `publish` may call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<PortName>,
    /// Its number in the container.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: u16,
    /// Its transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// A port of the node that leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub host_port: Option<u16>,
    /// The address of the node on which `hostPort` listens; left out: all of them.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddress>,
}

/// Amounts by resource: `cpu`, `memory`, `ephemeral-storage`; and `pids`, which is a limit alone.
pub type Amounts = BTreeMap<String, Quantity>;

/// What a container needs, and what it may use at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.requests) || !('pids' in self.requests)", "message": "processes are limited and not asked for: write limits.pids", "fieldPath": ".requests"},
    {"rule": "!has(self.limits) || !('pids' in self.limits) || (type(self.limits['pids']) == int ? self.limits['pids'] >= 1 && self.limits['pids'] <= 4194304 : self.limits['pids'].matches('^[1-9][0-9]{0,6}$') && int(self.limits['pids']) <= 4194304)", "message": "a limit of processes is a whole number, from 1 to 4194304", "fieldPath": ".limits"},
]))]
pub struct Resources {
    /// What a node must have left for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub requests: Amounts,
    /// What it may use at most; where there is no request, also what it needs. `pids`, how many processes and threads it
    /// may have at a time, is a limit alone; left out: the node's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub limits: Amounts,
}

/// What is done at the edges of a container's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Done right after it has started, beside its entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_start: Option<Handler>,
    /// Done before it is stopped, within the grace period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<Handler>,
}
