//! Events are kept for a while and then go: for [`RETENTION`] after they were last written, or as long as their
//! namespace asks for.
//!
//! One reconcile looks at the Events of one namespace, page by page, and remembers the oldest few hundred. It deletes
//! those whose time has come and returns when the next one's comes, so nothing is watched, held or polled for the sake of
//! Events that are not due, and an idle cluster writes nothing.

mod apply;
mod build;
mod dereference;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use crate::runtime::{Applied, Context, Failure, Invalid, Reconciler, Subject, Told, Verdict};
pub use build::Plan;
pub use dereference::{Aged, Observed};
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::core::ApiResource;
use std::time::Duration;
pub use validate::Valid;

/// For how long Events are kept where nobody says otherwise.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// The annotation of a Namespace by which it asks for another time for its own Events, such as `72h`.
pub const ANNOTATION: &str = "hypermesh.online/event-retention";
/// The condition of a Namespace that says whether its wish is met; only there when it has one that cannot be.
pub const CONDITION: &str = "EventRetention";
/// A namespace may ask for no less and no more than this.
pub const BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(31 * 24 * 3600));
/// The most Events that are deleted in one reconcile.
pub const BATCH: usize = 500;

/// Deletes Events whose time has come.
#[derive(Clone, Copy, Debug)]
pub struct EventRetention {
    /// For how long they are kept.
    pub retention: Duration,
}

impl EventRetention {
    /// Events that fall due within this of each other go together.
    fn grain(&self) -> Duration {
        (self.retention / 48).clamp(Duration::from_millis(500), Duration::from_secs(300))
    }
}

pub(super) fn events() -> ApiResource {
    ApiResource::erase::<Event>(&())
}

impl Reconciler for EventRetention {
    type Object = Namespace;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "event-retention";

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Namespace>(&())
    }

    /// Each may read and delete hundreds of objects.
    fn concurrency(&self) -> usize {
        2
    }

    async fn dereference(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
    ) -> Result<Observed, Failure> {
        dereference::dereference(context, subject).await
    }

    fn validate(&self, subject: &Subject<Namespace>, observed: Observed) -> Result<Valid, Invalid> {
        validate::validate(subject, observed, self.retention)
    }

    fn build(&self, _: &Subject<Namespace>, valid: Valid) -> Plan {
        build::build(valid, self.grain())
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(context, subject, plan).await
    }

    async fn update_status(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
        verdict: Verdict<'_>,
    ) -> Result<Told, Failure> {
        status::update(context, subject, verdict).await
    }
}
