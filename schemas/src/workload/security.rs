//! Who containers are to the kernel, and what they may do.

use crate::value::RelativePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// For all containers of an instance; a container's own settings win.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// The user that processes start as; left out: the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub run_as_user: Option<i64>,
    /// The group that processes start as; left out: the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub run_as_group: Option<i64>,
    /// Refuses to start a container that would run as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// The group that owns volumes and that every process is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub fs_group: Option<i64>,
    /// More groups that every process is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 0, max = 2147483647)), extend("x-kubernetes-list-type" = "atomic"))]
    pub supplemental_groups: Vec<i64>,
    /// The system calls that are let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<SeccompProfile>,
}

/// For one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.privileged) && self.privileged && has(self.allowPrivilegeEscalation) && !self.allowPrivilegeEscalation)",
    "message": "a privileged container can gain privileges",
    "fieldPath": ".allowPrivilegeEscalation",
}]))]
pub struct SecurityContext {
    /// The user that it starts as; left out: the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub run_as_user: Option<i64>,
    /// The group that it starts as; left out: the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub run_as_group: Option<i64>,
    /// Refuses to start it as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// Whether its root file system is read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,
    /// Whether a process may gain more privileges than its parent has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,
    /// Whether it may do all that the node may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// Capabilities that it has beside or instead of the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// The system calls that are let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<SeccompProfile>,
}

/// Changes to the usual set of capabilities (capabilities(7), without `CAP_`); `ALL` is all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Capabilities that it has in addition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9_]*$")), extend("x-kubernetes-list-type" = "atomic"))]
    pub add: Vec<String>,
    /// Capabilities that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9_]*$")), extend("x-kubernetes-list-type" = "atomic"))]
    pub drop: Vec<String>,
}

/// Which system calls are let through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(self.type == 'Localhost') == has(self.localhostProfile)",
    "message": "localhostProfile goes with the type Localhost, and only with it",
    "fieldPath": ".localhostProfile",
}]))]
pub struct SeccompProfile {
    /// Whose profile it is.
    #[serde(rename = "type")]
    pub kind: SeccompProfileType,
    /// A file below the node's folder of profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localhost_profile: Option<RelativePath>,
}

/// Whose profile of system calls it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SeccompProfileType {
    /// The runtime's.
    RuntimeDefault,
    /// The node's, from a file.
    Localhost,
    /// None: every call is let through.
    Unconfined,
}
