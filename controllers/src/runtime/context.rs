//! What a reconciler reaches the world by: the API server, the clock, and where it tells what it did.

use super::announce::Announcer;
use super::decision::Decisions;
use super::failure::Failure;
use super::key::Key;
use super::metrics::Metrics;
use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, GetParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, Request};
use kube::{Client, Resource as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// The field manager of everything that controllers write.
pub const MANAGER: &str = "nexus-controllers";

/// Shared by all reconcilers of a process. Cloning shares.
#[derive(Clone)]
pub struct Context {
    /// The API server, as any client sees it.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Tells people.
    pub announcer: Arc<Announcer>,
    /// Remembers what was decided.
    pub decisions: Arc<Decisions>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// A context of `instance`, this process among others.
    pub fn new(client: Client, instance: String, decisions: Arc<Decisions>, metrics: Arc<Metrics>) -> Self {
        Self {
            announcer: Arc::new(Announcer::new(client.clone(), MANAGER, instance)),
            client,
            clock: Arc::new(Timestamp::now),
            decisions,
            metrics,
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Reads an object; `None` when there is none.
    pub async fn get<K: DeserializeOwned>(&self, of: &ApiResource, key: &Key) -> Result<Option<K>, Failure> {
        let action = || format!("read {} {key}", of.plural);
        let request = place(of, key).get(&key.name, &GetParams::default()).map_err(built(&action()))?;
        match self.client.request::<K>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(Failure::of(action())(error)),
        }
    }

    /// Creates an object.
    pub async fn create(&self, of: &ApiResource, key: &Key, object: &impl Serialize) -> Result<(), Failure> {
        let action = format!("create {} {key}", of.plural);
        let body = serde_json::to_vec(object)
            .map_err(|error| Failure::of(action.clone())(kube::Error::SerdeError(error)))?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let request = place(of, key).create(&params, body).map_err(built(&action))?;
        self.client.request::<serde::de::IgnoredAny>(request).await.map_err(Failure::of(action))?;
        Ok(())
    }

    /// Replaces an object by one that names the revision it replaces.
    pub async fn replace(&self, of: &ApiResource, key: &Key, object: &impl Serialize) -> Result<(), Failure> {
        let action = format!("update {} {key}", of.plural);
        let body = serde_json::to_vec(object)
            .map_err(|error| Failure::of(action.clone())(kube::Error::SerdeError(error)))?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let request = place(of, key).replace(&key.name, &params, body).map_err(built(&action))?;
        self.client.request::<serde::de::IgnoredAny>(request).await.map_err(Failure::of(action))?;
        Ok(())
    }

    /// Patches an object, or a subresource of it.
    pub async fn patch<P: Serialize + std::fmt::Debug>(
        &self,
        of: &ApiResource,
        key: &Key,
        subresource: Option<&str>,
        patch: &Patch<P>,
    ) -> Result<(), Failure> {
        let action = format!("patch {} {key}", of.plural);
        let applies = matches!(patch, Patch::Apply(_));
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            // What controllers apply is theirs to say: nobody else writes it but by mistake.
            force: applies,
            ..PatchParams::default()
        };
        let place = place(of, key);
        let request = match subresource {
            None => place.patch(&key.name, &params, patch),
            Some(subresource) => place.patch_subresource(subresource, &key.name, &params, patch),
        };
        let request = request.map_err(built(&action))?;
        self.client.request::<serde::de::IgnoredAny>(request).await.map_err(Failure::of(action))?;
        Ok(())
    }

    /// Applies what `manager`, another one than the rest of the controllers, says in an object's status: what it said
    /// there before and does not say now goes.
    pub async fn apply_status(
        &self,
        of: &ApiResource,
        key: &Key,
        manager: &str,
        object: &Value,
    ) -> Result<(), Failure> {
        let action = format!("patch the status of {} {key}", of.plural);
        let params = PatchParams::apply(manager).force();
        let place = place(of, key);
        let request = place.patch_subresource("status", &key.name, &params, &Patch::Apply(object));
        let request = request.map_err(built(&action))?;
        self.client.request::<serde::de::IgnoredAny>(request).await.map_err(Failure::of(action))?;
        Ok(())
    }

    /// Reads what is not an object, at a path; `None` when there is nothing.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let action = || format!("read {path}");
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(|error| Failure::of(action())(kube::Error::HttpError(error)))?;
        match self.client.request::<T>(request).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(Failure::of(action())(error)),
        }
    }

    /// Patches an object by a JSON patch (RFC 6902).
    pub async fn json_patch(&self, of: &ApiResource, key: &Key, patch: Value) -> Result<(), Failure> {
        let patch = serde_json::from_value(patch).map_err(|error| {
            Failure::of(format!("patch {} {key}", of.plural))(kube::Error::SerdeError(error))
        })?;
        self.patch(of, key, None, &Patch::<()>::Json(patch)).await
    }

    /// Deletes an object. False when there was none that meets the preconditions.
    pub async fn delete(&self, of: &ApiResource, key: &Key, params: &DeleteParams) -> Result<bool, Failure> {
        let action = format!("delete {} {key}", of.plural);
        let request = place(of, key).delete(&key.name, params).map_err(built(&action))?;
        match self.client.request::<serde::de::IgnoredAny>(request).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(Failure::of(action)(error)),
        }
    }
}

/// Where objects of a kind live.
fn place(of: &ApiResource, key: &Key) -> Request {
    Request::new(DynamicObject::url_path(of, key.namespace.as_deref()))
}

fn built(action: &str) -> impl FnOnce(kube::core::request::Error) -> Failure {
    let action = action.to_owned();
    move |error| Failure::of(action)(kube::Error::BuildRequest(error))
}
