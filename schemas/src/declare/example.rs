//! Backup: a copy of a volume, kept for a while.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::value::{DnsLabel, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<BackupSpec, BackupStatus>(
        Scope::Namespaced,
        "Backup",
        "backups",
        "A Backup is a copy of a volume of a workload, kept for a while.",
    )
    .short_name("bak")
    .column("Workload", "string", ".spec.workload", "Whose volume is copied.")
    .selectable(".spec.workload")
    .finish()
}

/// What is copied, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// The Workload, of the same namespace, whose volume is copied. It never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "a backup stays with its workload"}]))]
    pub workload: DnsLabel,
    /// How long the copy is kept.
    #[serde(default = "one_week")]
    pub keep: Duration,
}

fn one_week() -> Duration {
    Duration::known("168h")
}

/// What is known of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
