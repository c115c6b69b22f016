//! The rollout planner: from what is wanted and what there is to the next step. Pure.
//!
//! Steps are small enough that none of these is ever broken by a step itself:
//!
//! - of a Rolling rollout, instances that are available stay at `replicas - maxUnavailable`, or as many as there were;
//! - there are never more than `replicas + maxSurge` of them, once those beyond have been let go;
//! - a revision that never becomes available takes no more than `maxUnavailable` of the others away;
//! - of a Recreate rollout, no new instance is made before every old one is gone.
//!
//! What is new and not yet available is trusted with nothing: an old instance goes for each new one that has become
//! available. Where instances are lost from outside in the middle of it, and the old revision is still known, it is the
//! old one that fills the gap.

mod plan;
mod rank;
#[cfg(test)]
mod tests;

pub use plan::{Plan, Removal, Why, plan};
pub use rank::rank;

use hypermesh_schemas::value::{CountOrPercent, Rounding};
use hypermesh_schemas::workload::rollout::{Rollout, RolloutStrategy};
use jiff::SignedDuration;

/// How a changed template reaches the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All at once, after the end of all that were before.
    Recreate,
    /// Step by step.
    Rolling {
        /// How many instances there may be beyond those wanted.
        surge: u32,
        /// How many of those wanted may be missing.
        unavailable: u32,
    },
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How many instances.
    pub replicas: u32,
    /// Of which revision.
    pub revision: String,
    /// The revision that all had when the last rollout ended, if it is another one and can still be made.
    pub before: Option<String>,
    /// How they come to have it.
    pub way: Way,
    /// Whether a changed template waits.
    pub paused: bool,
    /// How long an instance must be ready before it counts.
    pub min_ready: SignedDuration,
}

impl Way {
    /// The way that a rollout of so many replicas takes. Where rounding leaves no step to make, one may be missing, as
    /// it is with a Deployment.
    pub fn of(rollout: &Rollout, replicas: u32) -> Self {
        if rollout.strategy == RolloutStrategy::Recreate {
            return Self::Recreate;
        }
        let rolling = rollout.rolling.clone().unwrap_or_default();
        let of = |count: &CountOrPercent, rounding| count.of(replicas, rounding);
        let surge = of(&rolling.max_surge, Rounding::Up);
        let unavailable = of(&rolling.max_unavailable, Rounding::Down).min(replicas);
        match (surge, unavailable) {
            (0, 0) => Self::Rolling { surge: 0, unavailable: 1 },
            _ => Self::Rolling { surge, unavailable },
        }
    }

    /// How many of `replicas` must be available.
    pub fn least(self, replicas: u32) -> u32 {
        match self {
            Self::Recreate => replicas,
            Self::Rolling { unavailable, .. } => replicas.saturating_sub(unavailable),
        }
    }
}
