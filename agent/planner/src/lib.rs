//! What a node does next for each of its instances.
//!
//! Pure: the instance as it is wanted, the record of what was observed of it, and the time go in; a [`Plan`] comes out,
//! and nothing is done. Whoever executes a plan begins each action in the record ([`Record::begin`]), tells what came of
//! it ([`Record::learn`]), and asks again. Both give the notices that people are told as Events.
//!
//! Invariants, which the property tests hold: nothing is begun twice; a container has one run at a time and none
//! without its sandbox and volumes; what is ending starts nothing and comes to its end; a plan without actions names
//! the time at which there may be some.

pub mod admission;
pub mod backoff;
pub mod environment;
pub mod eviction;
mod identity;
mod instance;
mod next;
mod notice;
mod plan;
pub mod probe;
mod quality;
mod record;
mod sources;
mod status;
pub mod user;
pub mod volume;

pub use admission::{Demand, Ground, Rejection, admit};
pub use identity::{InstanceUid, InvalidUid};
pub use instance::{Ending, Instance};
pub use next::{plan, pull_policy};
pub use notice::{Gravity, Notice};
pub use plan::{Action, Plan, StopReason};
pub use quality::{QualityOfService, oom_score_adjustment};
pub use record::{
    ContainerRecord, Eviction, Exit, ExitReason, ImageFact, Outcome, PreStop, ProbeOutcome, Record, Refusal,
    Refused, Run, Sandbox, Stage, Stopping,
};
pub use sources::{ConfigError, Contents, Fields, ObjectKind, Sources, Wants, wants};
pub use status::{Surroundings, Unpublished, status};

#[cfg(test)]
mod tests;
