//! Bootstrap tokens whose time has passed go.
//!
//! The API server takes no token after its expiration, so nothing hangs on when its Secret goes: one reconcile looks at
//! the tokens of `kube-system`, deletes those that have expired, and comes back when the next one does, or after a
//! while. Nothing is watched, and no token is held.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/bootstrap` (tokencleaner).

mod apply;
mod build;
mod dereference;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use crate::runtime::{Applied, Context, Failure, Invalid, Reconciler, Subject, Told, Verdict};
pub use build::Plan;
pub use dereference::{Observed, Token};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::ApiResource;
use std::time::Duration;
pub use validate::Valid;

/// The namespace in which bootstrap tokens are.
pub const NAMESPACE: &str = "kube-system";
/// The type of their Secrets.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
/// How long a token that was made since may go unnoticed.
pub const LOOK: Duration = Duration::from_secs(120);
/// The most tokens that are deleted in one reconcile.
pub const BATCH: usize = 100;

/// Deletes bootstrap tokens that have expired.
#[derive(Clone, Copy, Debug)]
pub struct BootstrapTokens {
    /// How long a token that was made since may go unnoticed.
    pub look: Duration,
}

impl Default for BootstrapTokens {
    fn default() -> Self {
        Self { look: LOOK }
    }
}

pub(super) fn secrets() -> ApiResource {
    ApiResource::erase::<Secret>(&())
}

impl Reconciler for BootstrapTokens {
    type Object = Namespace;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "bootstrap-tokens";

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Namespace>(&())
    }

    fn concurrency(&self) -> usize {
        1
    }

    async fn dereference(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
    ) -> Result<Observed, Failure> {
        dereference::dereference(context, subject).await
    }

    fn validate(&self, subject: &Subject<Namespace>, observed: Observed) -> Result<Valid, Invalid> {
        Ok(validate::validate(subject, observed))
    }

    fn build(&self, _: &Subject<Namespace>, valid: Valid) -> Plan {
        build::build(valid, self.look)
    }

    async fn apply(
        &self,
        context: &Context,
        _: &Subject<Namespace>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(context, plan).await
    }

    async fn update_status(
        &self,
        _: &Context,
        _: &Subject<Namespace>,
        verdict: Verdict<'_>,
    ) -> Result<Told, Failure> {
        Ok(status::update(verdict))
    }
}
