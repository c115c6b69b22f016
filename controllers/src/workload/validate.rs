//! What is wrong with a Workload beyond what its schema says: a clock that cannot be read. Pure.

use super::dereference::Observed;
use super::object::Workload;
use super::schedule::Clock;
use crate::runtime::{Invalid, Subject};

/// A Workload and what it has, checked.
#[derive(Debug)]
pub enum Valid {
    /// It is being deleted: the server takes what it owns with it.
    Leaving,
    /// Its instances are kept running.
    Service(Observed),
    /// Its instances run to completion.
    Job(Observed),
    /// Its job runs by this clock.
    Schedule(Observed, Box<Clock>),
}

pub(super) fn validate(subject: &Subject<Workload>, observed: Observed) -> Result<Valid, Invalid> {
    let spec = &subject.object.spec;
    if subject.deleting() {
        return Ok(Valid::Leaving);
    }
    match (&spec.schedule, &spec.job) {
        (Some(schedule), Some(_)) => Ok(Valid::Schedule(observed, Box::new(Clock::parse(schedule)?))),
        (Some(_), None) => Err(Invalid {
            reason: "NoJob",
            message: "spec.schedule: what runs by the clock is a job: `job: {}` makes it one".to_owned(),
        }),
        (None, Some(_)) => Ok(Valid::Job(observed)),
        (None, None) => Ok(Valid::Service(observed)),
    }
}
