//! What every namespace has: the ServiceAccount `default`, and the ConfigMap `kube-root-ca.crt` by which programs in it
//! know the API server.
//!
//! Both come back when somebody deletes them, and the ConfigMap's data is put right when somebody changes it. What else
//! is in them, labels and annotations, is left alone; so is a namespace that is being deleted. What a namespace waits
//! for is told by the state machine, so there is no status to write here.

mod apply;
mod build;
mod dereference;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use crate::root_bundle::RootBundle;
use crate::runtime::{Applied, Context, Failure, Invalid, Key, Reconciler, Related, Subject, Told, Verdict};
pub use build::{Plan, Step};
pub use dereference::{Bundle, Observed};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::core::ApiResource;
pub use validate::Valid;

/// The account that programs of a namespace have if they name none.
pub const ACCOUNT: &str = "default";
/// The ConfigMap with the authorities of the API server.
pub const BUNDLE: &str = "kube-root-ca.crt";
/// Its key.
pub const BUNDLE_KEY: &str = "ca.crt";

/// Gives namespaces what every namespace has.
#[derive(Clone, Debug)]
pub struct NamespaceContents {
    /// The authorities of the API server.
    pub bundle: RootBundle,
}

pub(super) fn accounts() -> ApiResource {
    ApiResource::erase::<ServiceAccount>(&())
}

pub(super) fn config_maps() -> ApiResource {
    ApiResource::erase::<ConfigMap>(&())
}

impl Reconciler for NamespaceContents {
    type Object = Namespace;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "namespace-contents";

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Namespace>(&())
    }

    fn related(&self) -> Vec<Related> {
        let of = |resource, name| Related {
            resource,
            fields: format!("metadata.name={name}"),
            subject: |meta| meta.namespace.as_deref().map(Key::cluster),
        };
        vec![of(accounts(), ACCOUNT), of(config_maps(), BUNDLE)]
    }

    async fn dereference(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
    ) -> Result<Observed, Failure> {
        dereference::dereference(context, subject).await
    }

    fn validate(&self, subject: &Subject<Namespace>, observed: Observed) -> Result<Valid, Invalid> {
        Ok(validate::validate(subject, observed, &self.bundle))
    }

    fn build(&self, _: &Subject<Namespace>, valid: Valid) -> Plan {
        build::build(&valid)
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<Namespace>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(context, subject, plan, &self.bundle).await
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
