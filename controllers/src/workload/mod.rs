//! Workloads: replicas that are kept running and replaced step by step, jobs that run to completion, and schedules that
//! run jobs by the clock.
//!
//! | folder or file | decides, purely |
//! |---|---|
//! | [`rollout`] | which instances are made and let go next |
//! | [`revision`], [`template`], [`reference`] | what a template is called, and what it referred to |
//! | [`job`] | which instances a job still needs, and when it has ended |
//! | [`schedule`] | which runs are due |
//! | `build` | one of the three, and the status that tells of it |
//!
//! Instances are owned by their Workload and bound by the scheduler. Their names are made of what is known, not drawn:
//! whoever sees the same state makes the same names, so two processes that both believe to lead make nothing twice.

mod apply;
mod build;
mod dereference;
pub mod job;
pub mod member;
mod object;
pub mod reference;
pub mod revision;
pub mod rollout;
pub mod schedule;
mod service;
mod status;
pub mod template;
#[cfg(test)]
mod tests;
mod validate;

use crate::runtime::{Applied, Context, Failure, Invalid, Key, Reconciler, Related, Subject, Told, Verdict};
pub use build::Plan;
pub use dereference::Observed;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::ApiResource;
pub use object::{Spec, Workload};
use serde_json::Value;
pub use validate::Valid;

/// The label of an Instance, a revision or a copy that says whose it is.
pub const WORKLOAD: &str = "hypermesh.online/workload";
/// The label of an Instance or a revision that says of which template it is.
pub const REVISION: &str = "hypermesh.online/revision";
/// The label of a copy that says what it is a copy of.
pub const SNAPSHOT_OF: &str = "hypermesh.online/snapshot-of";
/// The annotation of a template that `nexusctl rollout restart` writes.
pub const RESTARTED_AT: &str = "hypermesh.online/restartedAt";

/// Acts on Workloads.
#[derive(Clone, Debug)]
pub struct Workloads {
    /// The schema of templates.
    schema: Value,
}

impl Default for Workloads {
    fn default() -> Self {
        Self { schema: template::schema() }
    }
}

pub(super) use crate::runtime::{instances, workloads};

pub(super) fn revisions() -> ApiResource {
    ApiResource::erase::<ControllerRevision>(&())
}

pub(super) fn holders(kind: reference::Kind) -> ApiResource {
    match kind {
        reference::Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        reference::Kind::Secret => ApiResource::erase::<Secret>(&()),
    }
}

/// The Workload that an object belongs to.
fn owner(meta: &ObjectMeta) -> Option<Key> {
    let mut owners = meta.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    let ours = owner.kind == "Workload" && owner.api_version.starts_with("hypermesh.online/");
    ours.then(|| Key::namespaced(meta.namespace.as_deref().unwrap_or_default(), &owner.name))
}

impl Reconciler for Workloads {
    type Object = Workload;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "workload";

    fn resource(&self) -> ApiResource {
        workloads()
    }

    fn related(&self) -> Vec<Related> {
        let of = |resource| Related { resource, fields: String::new(), subject: owner };
        vec![of(instances()), of(workloads())]
    }

    /// A rollout asks for a reconcile at each step of each instance.
    fn pace(&self) -> (u32, f64) {
        (20, 4.0)
    }

    async fn dereference(&self, context: &Context, subject: &Subject<Workload>) -> Result<Observed, Failure> {
        dereference::dereference(context, subject, &self.schema).await
    }

    fn validate(&self, subject: &Subject<Workload>, observed: Observed) -> Result<Valid, Invalid> {
        validate::validate(subject, observed)
    }

    fn build(&self, subject: &Subject<Workload>, valid: Valid) -> Plan {
        build::build(subject, valid)
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<Workload>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(context, subject, plan).await
    }

    async fn report(
        &self,
        context: &Context,
        subject: &Subject<Workload>,
        plan: &Plan,
        _: &Applied,
    ) -> Result<Told, Failure> {
        status::report(context, subject, plan).await
    }

    async fn update_status(
        &self,
        context: &Context,
        subject: &Subject<Workload>,
        verdict: Verdict<'_>,
    ) -> Result<Told, Failure> {
        status::invalid(context, subject, verdict).await
    }
}
