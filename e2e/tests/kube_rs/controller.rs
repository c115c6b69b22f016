//! A controller: each object is reconciled to what it asks for, and its children are watched.

use crate::objects::map;
use crate::over_each;
use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Each ConfigMap that is labelled gets a Secret of its name, which it owns.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<kube::Client>) -> Result<Action, kube::Error> {
    let secrets: Api<Secret> = Api::default_namespaced((*client).clone());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": map.name_any(), "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": map.name_any(), "uid": map.uid(), "controller": true,
        }]},
        "stringData": map.data,
    });
    secrets.patch(&map.name_any(), &PatchParams::apply("twin").force(), &Patch::Apply(secret)).await?;
    Ok(Action::await_change())
}

#[test]
fn reconciles_objects_and_their_children() -> Result<()> {
    over_each(|client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let secrets: Api<Secret> = Api::default_namespaced(client.clone());
        let labelled = watcher::Config::default().labels("twin=yes").streaming_lists();
        let runs = Controller::new(maps.clone(), labelled)
            .owns(secrets.clone(), watcher::Config::default().streaming_lists())
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(client.clone()));
        let mut runs = std::pin::pin!(runs);
        let mut asked = map("twin", "a");
        asked.metadata.labels = Some([("twin".to_owned(), "yes".to_owned())].into());
        maps.create(&PostParams::default(), &asked).await?;
        let (object, _) = runs.next().await.context("the controller ended")??;
        ensure!(object.name == "twin");
        ensure!(secrets.get("twin").await?.data.is_some_and(|data| data["key"].0 == b"a"));
        // A child that goes away comes back.
        secrets.delete("twin", &DeleteParams::default()).await?;
        while secrets.get_opt("twin").await?.is_none() {
            runs.next().await.context("the controller ended")??;
        }
        Ok(())
    })
}
