//! Has a site be as it should: applies its Workload, and writes on the ConfigMap what became of it.

use crate::site::{STATE, Site};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The name that what the operator applies is owned by.
const MANAGER: &str = "site-operator";

/// What a reconcile has.
pub struct Operator {
    /// The API server's.
    pub client: kube::Client,
    /// What serves.
    pub image: String,
}

/// The kind of the children.
pub fn workloads() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("hypermesh.online", "v1", "Workload"),
        "workloads",
    )
}

/// Has a site be as it should.
pub async fn reconcile(map: Arc<ConfigMap>, operator: Arc<Operator>) -> Result<Action, kube::Error> {
    let state = match Site::of(&map) {
        Ok(site) => state(&apply(&operator, &map, &site.workload(&operator.image)).await?),
        Err(invalid) => format!("Invalid: {invalid}"),
    };
    tell(&operator, &map, &state).await?;
    // A change of either object comes by the watches.
    Ok(Action::await_change())
}

/// What could not be done now is tried again.
pub fn error_policy(_: Arc<ConfigMap>, _: &kube::Error, _: Arc<Operator>) -> Action {
    Action::requeue(Duration::from_secs(2))
}

async fn apply(operator: &Operator, map: &ConfigMap, workload: &Value) -> Result<DynamicObject, kube::Error> {
    let namespace = map.namespace().unwrap_or_default();
    let workloads: Api<DynamicObject> =
        Api::namespaced_with(operator.client.clone(), &namespace, &workloads());
    let params = PatchParams::apply(MANAGER).force();
    workloads.patch(&map.name_any(), &params, &Patch::Apply(workload)).await
}

/// How far a Workload is, in words.
fn state(workload: &DynamicObject) -> String {
    let conditions = workload.data.pointer("/status/conditions").and_then(Value::as_array);
    let available = conditions.into_iter().flatten().find(|condition| condition["type"] == "Available");
    match available {
        Some(condition) if condition["status"] == "True" => "Serving".to_owned(),
        Some(condition) => format!("Waiting: {}", condition["message"].as_str().unwrap_or_default()),
        None => "Waiting".to_owned(),
    }
}

/// Writes it, if it is news: every write is a change that wakes this operator.
async fn tell(operator: &Operator, map: &ConfigMap, state: &str) -> Result<(), kube::Error> {
    if map.annotations().get(STATE).is_some_and(|told| told == state) {
        return Ok(());
    }
    let maps: Api<ConfigMap> = Api::namespaced(operator.client.clone(), &map.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"annotations": {STATE: state}}});
    maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}
