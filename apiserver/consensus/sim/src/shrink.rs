//! Finds out which of a run's troubles a failure needs.

use crate::{Failure, Scenario, World};

/// A scenario that fails with as few troubles as possible.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What it fails with.
    pub failure: Failure,
    /// The troubles that were taken away.
    pub without: Vec<&'static str>,
    /// What is left.
    pub scenario: Scenario,
}

/// Takes one trouble after another away, as long as the same invariant fails. It costs a run for each.
pub fn shrink(scenario: Scenario, failure: Failure) -> Shrunk {
    let mut shrunk = Shrunk { failure, without: Vec::new(), scenario };
    for part in Scenario::parts() {
        let Some(less) = shrunk.scenario.clone().without(part) else { continue };
        if less == shrunk.scenario {
            continue;
        }
        if let Err(failure) = World::new(less.clone()).run()
            && failure.invariant == shrunk.failure.invariant
        {
            shrunk.failure = failure;
            shrunk.without.push(part);
            shrunk.scenario = less;
        }
    }
    shrunk
}
