//! What an agent asks of the API server, as its node.

use hypermesh_planner::{Instance, InstanceUid};
use hypermesh_schemas::instance::{InstanceSpec, InstanceStatus};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What the names of finalizers begin with that a node takes off once nothing of an instance is left there.
pub const FINALIZERS: &str = "node.hypermesh.online/";
/// By what name the agent writes.
pub const MANAGER: &str = "nexus-agent";

/// The API server would not, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct ApiError {
    /// What was tried, as in "cannot …".
    pub action: String,
    /// Why not.
    #[source]
    pub source: kube::Error,
}

impl ApiError {
    fn of(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self { action, source }
    }

    /// The code of the server's answer, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match &self.source {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }
}

/// The API server, as one node sees it.
#[derive(Clone)]
pub struct NodeApi {
    client: kube::Client,
    node: String,
}

/// A token of a service account.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// It.
    pub text: String,
    /// When it was given.
    pub given: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl Token {
    /// When another is asked for: after four fifths of its life, as kubelet does.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = Duration::try_from(self.expires.duration_since(self.given)).unwrap_or_default();
        hypermesh_planner::backoff::after(self.given, life.mul_f32(0.8))
    }
}

/// A kind of ours.
#[must_use]
pub fn ours(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("hypermesh.online", "v1", kind), plural)
}

/// What the API server has of an instance, read; an error tells what of it is not understood.
pub fn read_instance(object: &DynamicObject) -> Result<Instance, String> {
    let meta = &object.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    let spec: InstanceSpec = serde_json::from_value(spec).map_err(|error| format!("its spec: {error}"))?;
    let ending = meta.deletion_timestamp.as_ref().map(|since| {
        // Who deletes may say how long; 0 is what a deletion has that says nothing.
        let said = meta.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let own = u64::try_from(spec.pod.termination_grace_period_seconds).unwrap_or_default();
        let grace = said.filter(|seconds| *seconds > 0).unwrap_or(own);
        hypermesh_planner::Ending { since: since.0, grace: Duration::from_secs(grace) }
    });
    Ok(Instance {
        uid: InstanceUid::parse(&text(&meta.uid)).map_err(|error| error.to_string())?,
        namespace: text(&meta.namespace),
        name: text(&meta.name),
        labels: meta.labels.clone().unwrap_or_default(),
        annotations: meta.annotations.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        spec,
        ending,
    })
}

impl NodeApi {
    /// As the node `node`.
    #[must_use]
    pub fn new(client: kube::Client, node: &str) -> Self {
        Self { client, node: node.to_owned() }
    }

    /// The name of the node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// All instances, of which a node may see its own.
    #[must_use]
    pub fn all_instances(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &ours("Instance", "instances"))
    }

    fn instances(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ours("Instance", "instances"))
    }

    fn nodes(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &ours("Node", "nodes"))
    }

    /// Tells how an instance does; `before` is what was told last.
    ///
    /// # Errors
    /// 404 and 409 where the instance is gone, or is another one of its name.
    pub async fn tell_status(
        &self,
        instance: &Instance,
        before: Option<&InstanceStatus>,
        status: &InstanceStatus,
    ) -> Result<(), ApiError> {
        let failed = ApiError::of(format!("tell the status of the instance {}", instance.name));
        let value = |status: &InstanceStatus| serde_json::to_value(status).unwrap_or_default();
        let status = merge(before.map(value).as_ref(), &value(status));
        let patch = Patch::Merge(json!({"metadata": {"uid": instance.uid}, "status": status}));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let instances = self.instances(&instance.namespace);
        instances.patch_status(&instance.name, &params, &patch).await.map(|_| ()).map_err(failed)
    }

    /// Lets go of an instance of which nothing is left here. One that is gone is no error.
    ///
    /// # Errors
    /// When the server would not.
    pub async fn release(&self, instance: &Instance) -> Result<(), ApiError> {
        let failed = || ApiError::of(format!("let go of the instance {}", instance.name));
        let api = self.instances(&instance.namespace);
        for _ in 0..5 {
            let found = match api.get_opt(&instance.name).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                // What does not exist is not bound to this node either.
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(()),
                Err(error) => return Err(failed()(error)),
            };
            let meta = found.metadata;
            if meta.uid.as_deref() != Some(instance.uid.as_str()) || meta.deletion_timestamp.is_none() {
                return Ok(());
            }
            let finalizers = meta.finalizers.unwrap_or_default();
            let left: Vec<&String> =
                finalizers.iter().filter(|finalizer| !finalizer.starts_with(FINALIZERS)).collect();
            if left.len() == finalizers.len() {
                return Ok(());
            }
            let meta = json!({
                "uid": instance.uid, "resourceVersion": meta.resource_version, "finalizers": left,
            });
            let patch = Patch::Merge(json!({"metadata": meta}));
            match api.patch_metadata(&instance.name, &PatchParams::default(), &patch).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => return Ok(()),
                // Somebody wrote meanwhile.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(failed()(error)),
            }
        }
        Ok(())
    }

    /// A token of a service account, bound to an instance that acts as it.
    ///
    /// # Errors
    /// When there is no such account, or the server would not.
    pub async fn token(
        &self,
        instance: &Instance,
        audience: Option<&str>,
        seconds: i64,
    ) -> Result<Token, ApiError> {
        let account = instance.pod().service_account_name.as_str();
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(instance.name.clone()),
            uid: Some(instance.uid.to_string()),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience.to_owned()]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(bound),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &instance.namespace);
        let made = api.create_token_request(account, &PostParams::default(), &request).await;
        let made = made.map_err(ApiError::of(format!("get a token of the service account {account}")))?;
        let status = made.status.unwrap_or_default();
        let given = Timestamp::now();
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let expires = status
            .expiration_timestamp
            .map_or_else(|| hypermesh_planner::backoff::after(given, life), |at| at.0);
        Ok(Token { text: status.token.unwrap_or_default(), given, expires })
    }

    /// Makes the node.
    ///
    /// # Errors
    /// When it would not: the key is not registered for this node, for one.
    pub async fn make_node(&self, object: &DynamicObject) -> Result<DynamicObject, ApiError> {
        let made = self.nodes().create(&PostParams::default(), object).await;
        made.map_err(ApiError::of(format!("register the node {}", self.node)))
    }
}

/// A merge patch (RFC 7396) that makes one value of another at the top level: what is no more there is taken away.
fn merge(before: Option<&Value>, after: &Value) -> Value {
    let mut patch = after.as_object().cloned().unwrap_or_default();
    let none = Map::new();
    for key in before.and_then(Value::as_object).unwrap_or(&none).keys() {
        patch.entry(key.clone()).or_insert(Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_taken_away() {
        let patch = merge(Some(&json!({"a": 1, "b": 2})), &json!({"b": 3}));
        assert_eq!(patch, json!({"a": null, "b": 3}));
    }

    #[test]
    fn who_deletes_says_how_long() {
        let object = |grace: i64| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "hypermesh.online/v1", "kind": "Instance",
                "metadata": {"name": "web-1", "namespace": "shop", "uid": "0a", "generation": 2,
                    "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace},
                "spec": {"workload": "web", "revision": "1", "pod": {
                    "terminationGracePeriodSeconds": 7, "containers": [{"name": "a", "image": "a"}]}},
            }))
            .unwrap()
        };
        let grace = |seconds| read_instance(&object(seconds)).unwrap().ending.unwrap().grace.as_secs();
        assert_eq!((grace(0), grace(3)), (7, 3));
    }
}
