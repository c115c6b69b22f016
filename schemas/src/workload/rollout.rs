//! Rollout: how a changed template reaches the instances.

use crate::value::{CountOrPercent, Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a changed template reaches the instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.strategy == 'Rolling' || !has(self.rolling)",
    "message": "rolling belongs to the strategy Rolling",
    "fieldPath": ".rolling",
}]))]
pub struct Rollout {
    /// The way.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// The size of the steps of the strategy Rolling; left out: a quarter each way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
    /// Whether a changed template waits, and a rollout that has begun stays where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How long a new instance must be ready before it counts.
    #[serde(default = "at_once")]
    pub min_ready: Duration,
    /// How long a rollout may go without progress before it counts as stuck.
    #[serde(default = "ten_minutes")]
    pub progress_deadline: Duration,
    /// How many past templates are kept to go back to.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 100))]
    pub history: i32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            rolling: None,
            paused: None,
            min_ready: at_once(),
            progress_deadline: ten_minutes(),
            history: ten(),
        }
    }
}

fn at_once() -> Duration {
    Duration::known("0s")
}

fn ten_minutes() -> Duration {
    Duration::known("10m")
}

fn ten() -> i32 {
    10
}

/// Ways of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutStrategy {
    /// New instances replace old ones step by step.
    #[default]
    Rolling,
    /// All old instances end before the first new one starts.
    Recreate,
}

/// The size of a rolling rollout's steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!((self.maxSurge == 0 || self.maxSurge == '0%') && (self.maxUnavailable == 0 || self.maxUnavailable == '0%'))",
    "message": "with neither more nor fewer instances than replicas no step can be made",
}]))]
pub struct Rolling {
    /// How many instances there may be beyond `replicas`; a percentage rounds up.
    #[serde(default = "a_quarter")]
    pub max_surge: CountOrPercent,
    /// How many of `replicas` may be missing; a percentage rounds down.
    #[serde(default = "a_quarter")]
    pub max_unavailable: CountOrPercent,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { max_surge: a_quarter(), max_unavailable: a_quarter() }
    }
}

fn a_quarter() -> CountOrPercent {
    CountOrPercent::Percent(Percent::QUARTER)
}
