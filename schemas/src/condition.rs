//! Conditions: what a controller says of an object, in the form of `meta/v1` Condition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One aspect of an object's state as its controller last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(
        length(min = 1, max = 316),
        regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    )]
    pub kind: String,
    /// Whether the aspect holds.
    pub status: ConditionStatus,
    /// The generation of the object that the controller looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one CamelCase word for programs.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// Why, in words for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether an aspect holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell.
    Unknown,
}

/// The status that an object starts with, until a controller of its kind has looked at it. The pipeline adds
/// `lastTransitionTime` from the block.
pub(crate) fn not_controlled_yet(kind: &str) -> Value {
    let message =
        format!("No controller for kind {kind} has seen this object: it is stored, and nothing acts on it.");
    not_ready_yet("NoController", &message)
}

/// The status of an object of which nobody has said yet whether it is ready.
pub(crate) fn not_ready_yet(reason: &str, message: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": "Unknown", "reason": reason, "message": message}]})
}
