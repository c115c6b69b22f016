//! How long a replica waits for others.

use crate::entry::Step;
use std::time::Duration;

/// How long each step may take; every further round of a height may take longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a proposal and its block, from the moment a round begins. It bounds how long a dead proposer is waited for.
    pub propose: Duration,
    /// For votes that agree, once a quorum has voted for different things.
    pub vote: Duration,
    /// Each of these grows by this much a round.
    pub step: Duration,
    /// With no news at all, until what was said is said again.
    pub repeat: Duration,
    /// For a block's bytes, until another replica is asked for them.
    pub fetch: Duration,
}

impl Default for Timing {
    /// For replicas within milliseconds of each other.
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(300),
            vote: Duration::from_millis(150),
            step: Duration::from_millis(150),
            repeat: Duration::from_millis(500),
            fetch: Duration::from_millis(30),
        }
    }
}

impl Timing {
    /// The longest that any wait may grow to.
    const MOST: Duration = Duration::from_secs(30);

    /// How long a step of a round may take.
    pub fn of(&self, step: Step, round: u32) -> Duration {
        let first = match step {
            Step::Propose => self.propose,
            Step::Prevote | Step::Precommit => self.vote,
            Step::Rebroadcast => self.repeat,
        };
        first.saturating_add(self.step.saturating_mul(round)).min(Self::MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_rounds_wait_longer_and_not_for_ever() {
        let timing = Timing::default();
        assert_eq!(timing.of(Step::Propose, 0), Duration::from_millis(300));
        assert_eq!(timing.of(Step::Prevote, 2), Duration::from_millis(450));
        assert_eq!(timing.of(Step::Rebroadcast, u32::MAX), Timing::MOST);
    }
}
