//! What is done about a Workload, and what is told of it. Pure.

use super::object::Workload;
use super::validate::Valid;
use super::{job, schedule, service};
use crate::runtime::Subject;
use hypermesh_schemas::workload::WorkloadStatus;
use std::fmt;

/// What is done about a Workload.
#[derive(Clone, Debug)]
pub enum Plan {
    /// It is being deleted: nothing.
    Leaving,
    /// Its instances are kept running.
    Service(Box<service::Plan>),
    /// Its instances run to completion.
    Job(Box<job::Plan>),
    /// Its job runs by the clock.
    Schedule(Box<schedule::Plan>),
}

impl Plan {
    /// What is told.
    pub fn status(&self) -> Option<&WorkloadStatus> {
        match self {
            Self::Leaving => None,
            Self::Service(plan) => Some(&plan.status),
            Self::Job(plan) => Some(&plan.status),
            Self::Schedule(plan) => Some(&plan.status),
        }
    }
}

pub(super) fn build(subject: &Subject<Workload>, valid: Valid) -> Plan {
    match valid {
        Valid::Leaving => Plan::Leaving,
        Valid::Service(observed) => Plan::Service(Box::new(service::build(subject, observed))),
        Valid::Job(observed) => match &subject.object.spec.job {
            Some(job) => Plan::Job(Box::new(job::build(subject, job, &observed))),
            None => Plan::Leaving,
        },
        Valid::Schedule(observed, clock) => match &subject.object.spec.schedule {
            Some(spec) => Plan::Schedule(Box::new(schedule::build(subject, spec, &clock, &observed))),
            None => Plan::Leaving,
        },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => {
                f.write_str("the workload is being deleted: the server takes what it owns with it")
            }
            Self::Service(plan) => plan.fmt(f),
            Self::Job(plan) => plan.fmt(f),
            Self::Schedule(plan) => plan.fmt(f),
        }
    }
}
