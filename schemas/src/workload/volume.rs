//! Volumes: files and folders that containers mount, and what they are made of.

use super::environment::FieldRef;
use crate::value::{AbsolutePath, DnsLabel, DnsSubdomain, Quantity, RelativePath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A volume: a name, and exactly one thing that it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.emptyDir), has(self.configMap), has(self.secret), has(self.hostPath), has(self.projected)].filter(x, x).size() == 1",
    "message": "a volume is exactly one of emptyDir, configMap, secret, hostPath and projected",
}]))]
pub struct Volume {
    /// Its name within the instance.
    pub name: DnsLabel,
    /// A folder that is empty when the instance starts and goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDir>,
    /// The keys of a ConfigMap, as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolume>,
    /// The keys of a Secret, as files in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolume>,
    /// A path of the node. What it leads to is not the instance's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,
    /// Several sources in one folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projected: Option<Projected>,
}

/// Where a volume appears in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume.
    pub name: DnsLabel,
    /// Where it appears.
    pub mount_path: AbsolutePath,
    /// The part of the volume that appears; left out: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<RelativePath>,
    /// Whether the container may not write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// An empty folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDir {
    /// What it lies on; left out: the node's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
    /// Most that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<Quantity>,
}

/// What an empty folder lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Medium {
    /// Memory, which counts as the container's.
    Memory,
}

/// The keys of a ConfigMap as files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapVolume {
    /// The ConfigMap, of the same namespace.
    pub name: DnsSubdomain,
    /// The keys that become files; left out: all of them, each under its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<KeyToPath>,
    /// Permissions of the files, as a number: 420 is 0644.
    #[serde(default = "mode_0644")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: i32,
    /// Whether the instance starts without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// The keys of a Secret as files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVolume {
    /// The Secret, of the same namespace.
    pub secret_name: DnsSubdomain,
    /// The keys that become files; left out: all of them, each under its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<KeyToPath>,
    /// Permissions of the files, as a number: 420 is 0644.
    #[serde(default = "mode_0644")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: i32,
    /// Whether the instance starts without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

fn mode_0644() -> i32 {
    0o644
}

/// One key as one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyToPath {
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
    /// Where in the volume the file is.
    pub path: RelativePath,
    /// Permissions of the file; left out: the volume's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i32>,
}

/// A path of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!self.path.contains('/../') && !self.path.endsWith('/..')",
    "message": "a path of the node has no .. steps",
    "fieldPath": ".path",
}]))]
pub struct HostPath {
    /// The path.
    pub path: AbsolutePath,
    /// What must be there; left out: nothing is checked.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<HostPathType>,
}

/// What must be at a path of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HostPathType {
    /// A folder, made if there is nothing.
    DirectoryOrCreate,
    /// A folder.
    Directory,
    /// A file, made empty if there is nothing.
    FileOrCreate,
    /// A file.
    File,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Several sources in one folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Projected {
    /// The sources. Where two of them have one path, the later one is seen.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<Projection>,
    /// Permissions of the files, as a number: 420 is 0644.
    #[serde(default = "mode_0644")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: i32,
}

/// One source of a projected volume: exactly one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Projection {
    /// The keys of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyProjection>,
    /// The keys of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyProjection>,
    /// Fields of the instance itself.
    #[serde(rename = "downwardAPI", skip_serializing_if = "Option::is_none")]
    pub downward_api: Option<DownwardProjection>,
    /// A token of the instance's ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<TokenProjection>,
}

/// The keys of a ConfigMap or Secret as files of a projected volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyProjection {
    /// The ConfigMap or Secret, of the same namespace.
    pub name: DnsSubdomain,
    /// The keys that become files; left out: all of them, each under its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<KeyToPath>,
    /// Whether the instance starts without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Fields of the instance itself as files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DownwardProjection {
    /// The files.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<DownwardFile>,
}

/// A field of the instance itself as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DownwardFile {
    /// Where in the volume the file is.
    pub path: RelativePath,
    /// The field.
    pub field_ref: FieldRef,
    /// Permissions of the file; left out: the volume's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i32>,
}

/// A token of the instance's ServiceAccount as a file, renewed before it expires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenProjection {
    /// Where in the volume the file is.
    pub path: RelativePath,
    /// Whom the token is for; left out: the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// How long it is valid, in seconds.
    #[serde(default = "one_hour")]
    #[schemars(range(min = 600, max = 86400))]
    pub expiration_seconds: i64,
}

fn one_hour() -> i64 {
    3600
}
