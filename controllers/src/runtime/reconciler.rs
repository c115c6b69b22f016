//! How a kind plugs in: five steps, which the runtime runs in this order and which nothing else can reorder.
//!
//! | step | does | may do I/O |
//! |---|---|---|
//! | [`dereference`](Reconciler::dereference) | reads what the object refers to, and the clock | yes |
//! | [`validate`](Reconciler::validate) | says what is wrong, or makes a value that cannot be wrong | no |
//! | [`build`](Reconciler::build) | decides: desired and observed become a plan | no |
//! | [`apply`](Reconciler::apply) | performs the plan | yes |
//! | [`update_status`](Reconciler::update_status), [`report`](Reconciler::report) | tells in the object's status how it ended | yes |
//!
//! A reconciler is told *which* object, never what happened to it: it must come to the same end from any state.

use super::context::Context;
use super::failure::{Failure, Invalid};
use super::key::Key;
use super::seen::Trigger;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::time::Duration;

/// One controller.
pub trait Reconciler: Send + Sync + 'static {
    /// The object, or the part of it that is read: fields that nothing here needs cost nothing if the type leaves them
    /// out.
    type Object: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static;
    /// What the object refers to, as it is now.
    type Observed: Send;
    /// Object and observation, checked.
    type Valid: Send;
    /// What will be done. It prints as the reason that people are given.
    type Plan: Display + Send + Sync;

    /// Its name in metrics, logs and decisions.
    const NAME: &'static str;

    /// The kind.
    fn resource(&self) -> ApiResource;

    /// Which changes of an object ask for a reconcile.
    fn trigger(&self) -> Trigger {
        Trigger::Asked
    }

    /// Other kinds whose changes ask for a reconcile of an object of this one.
    fn related(&self) -> Vec<Related> {
        Vec::new()
    }

    /// The finalizer under which [`cleanup`](Self::cleanup) runs before an object goes.
    fn finalizer(&self) -> Option<&'static str> {
        None
    }

    /// How many objects are reconciled at once.
    fn concurrency(&self) -> usize {
        8
    }

    /// How many reconciles of one object there may be at once, and how many a second after that.
    fn pace(&self) -> (u32, f64) {
        (10, 1.0)
    }

    /// Reads what the object refers to.
    fn dereference(
        &self,
        context: &Context,
        subject: &Subject<Self::Object>,
    ) -> impl Future<Output = Result<Self::Observed, Failure>> + Send;

    /// Says what is wrong with the object. Pure.
    fn validate(
        &self,
        subject: &Subject<Self::Object>,
        observed: Self::Observed,
    ) -> Result<Self::Valid, Invalid>;

    /// Decides what to do. Pure.
    fn build(&self, subject: &Subject<Self::Object>, valid: Self::Valid) -> Self::Plan;

    /// Does it.
    fn apply(
        &self,
        context: &Context,
        subject: &Subject<Self::Object>,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// Tells in the object's status how it ended. Writes nothing that is there already.
    fn update_status(
        &self,
        context: &Context,
        subject: &Subject<Self::Object>,
        verdict: Verdict<'_>,
    ) -> impl Future<Output = Result<Told, Failure>> + Send;

    /// Tells in the object's status what was performed, where that takes the plan to say. Writes nothing that is there
    /// already.
    fn report(
        &self,
        context: &Context,
        subject: &Subject<Self::Object>,
        plan: &Self::Plan,
        applied: &Applied,
    ) -> impl Future<Output = Result<Told, Failure>> + Send {
        let _ = plan;
        self.update_status(context, subject, Verdict::Applied(applied))
    }

    /// Undoes what outlives the object, before it goes. Runs again until it succeeds.
    fn cleanup(
        &self,
        context: &Context,
        subject: &Subject<Self::Object>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (context, subject);
        async { Ok(()) }
    }
}

/// The object that is reconciled, as it was read for this reconcile.
#[derive(Clone, Debug)]
pub struct Subject<K> {
    /// Its kind.
    pub resource: ApiResource,
    /// Which it is.
    pub key: Key,
    /// The object.
    pub object: K,
}

impl<K: Resource> Subject<K> {
    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        self.object.meta()
    }

    /// Whether it is being deleted.
    pub fn deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    /// As Events refer to it.
    pub fn reference(&self) -> ObjectReference {
        reference(&self.resource, self.meta())
    }
}

pub(super) fn reference(resource: &ApiResource, meta: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(resource.api_version.clone()),
        kind: Some(resource.kind.clone()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

/// What applying a plan came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many writes it took.
    pub writes: u32,
    /// When to look again, if nothing happens before.
    pub again: Option<Duration>,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The plan was performed.
    Applied(&'a Applied),
    /// The object is wrong.
    Invalid(&'a Invalid),
}

/// Whether the status had to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It said so already.
    AsBefore,
    /// It was written.
    Written,
}

/// Another kind whose changes matter.
#[derive(Clone, Debug)]
pub struct Related {
    /// The kind. Its metadata alone is watched.
    pub resource: ApiResource,
    /// A field selector, or empty.
    pub fields: String,
    /// The object to reconcile when one of these changes.
    pub subject: fn(&ObjectMeta) -> Option<Key>,
}
