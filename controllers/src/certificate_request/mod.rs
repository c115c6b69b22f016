//! CertificateSigningRequests: nodes that join, or renew, are approved; what has come to its end goes.
//!
//! Who shows a bootstrap token may have the certificate of a node whose name nobody holds; a node may have its own again.
//! Both are requests to one signer, and for one subject. A name that another key holds, and a token that counts no more, are
//! denied at once: what waited would outlive what it was asked with. Everything else waits for a person, who is told why
//! by an Event. What was asked for is read by
//! the decoder that the signer reads it by, so that nothing is approved that is not what it looks like.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/certificates` (approver, cleaner).

mod apply;
mod build;
mod dereference;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use crate::runtime::{Applied, Context, Failure, Invalid, Reconciler, Subject, Told, Trigger, Verdict};
pub use build::{Deed, Plan};
pub use dereference::Observed;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::core::ApiResource;
use std::time::Duration;
pub use validate::{Claim, Right, Valid};

/// How long a request is kept that nobody has decided on, or that was approved and not signed.
pub const UNDECIDED: Duration = Duration::from_secs(24 * 3600);
/// How long a request is kept that was signed, denied, or has failed.
pub const DECIDED: Duration = Duration::from_secs(3600);

/// How long what a person is asked stays as it was judged.
pub const LOOK: Duration = Duration::from_secs(60);

/// Approves nodes, and deletes what is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificateRequests;

impl Reconciler for CertificateRequests {
    type Object = CertificateSigningRequest;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "certificate-requests";

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<CertificateSigningRequest>(&())
    }

    fn trigger(&self) -> Trigger {
        Trigger::Written
    }

    /// Two that ask for one name at once are looked at one after the other.
    fn concurrency(&self) -> usize {
        1
    }

    async fn dereference(
        &self,
        context: &Context,
        subject: &Subject<CertificateSigningRequest>,
    ) -> Result<Observed, Failure> {
        dereference::dereference(context, subject).await
    }

    fn validate(
        &self,
        subject: &Subject<CertificateSigningRequest>,
        observed: Observed,
    ) -> Result<Valid, Invalid> {
        Ok(validate::validate(subject, observed))
    }

    fn build(&self, _: &Subject<CertificateSigningRequest>, valid: Valid) -> Plan {
        build::build(valid)
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<CertificateSigningRequest>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(context, subject, plan).await
    }

    async fn update_status(
        &self,
        _: &Context,
        _: &Subject<CertificateSigningRequest>,
        verdict: Verdict<'_>,
    ) -> Result<Told, Failure> {
        Ok(status::update(verdict))
    }
}
