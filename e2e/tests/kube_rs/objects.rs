//! Objects, typed and not: made, read, changed, applied, deleted; each write signed.

use crate::{over_each, transports};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::json;

pub fn map(name: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.data = Some([("key".to_owned(), value.to_owned())].into());
    map
}

#[test]
fn typed() -> Result<()> {
    over_each(|client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let made = maps.create(&PostParams::default(), &map("typed", "a")).await?;
        ensure!(made.metadata.uid.is_some());
        let mut changed = maps.get("typed").await?;
        changed.data = Some([("key".to_owned(), "b".to_owned())].into());
        let replaced = maps.replace("typed", &PostParams::default(), &changed).await?;
        ensure!(replaced.data == changed.data);
        let stale = maps.replace("typed", &PostParams::default(), &made).await;
        ensure!(matches!(&stale, Err(kube::Error::Api(status)) if status.code == 409), "{stale:?}");
        let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        maps.patch("typed", &PatchParams::default(), &patch).await?;
        let found = maps.list(&ListParams::default().labels("a=b")).await?;
        ensure!(found.items.len() == 1, "{found:?}");
        maps.delete("typed", &DeleteParams::default()).await?;
        ensure!(maps.get_opt("typed").await?.is_none());
        Ok(())
    })
}

#[test]
fn dynamic_and_applied() -> Result<()> {
    over_each(|client| async move {
        let kind = GroupVersionKind::gvk("hypermesh.online", "v1", "Network");
        let (resource, _) = kube::discovery::pinned_kind(&client, &kind).await?;
        let networks: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
        let network = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Network", "metadata": {"name": "n"},
            "spec": {"interface": "Private", "members": {"selector": {"matchLabels": {"a": "b"}}}},
        });
        let apply = |manager: &str| PatchParams::apply(manager);
        let made = networks.patch("n", &apply("one"), &Patch::Apply(&network)).await?;
        let again = networks.patch("n", &apply("one"), &Patch::Apply(&network)).await?;
        ensure!(
            made.metadata.resource_version == again.metadata.resource_version,
            "an apply without a change"
        );
        let mut other = network.clone();
        other["spec"]["members"]["selector"]["matchLabels"]["a"] = json!("c");
        let conflict = networks.patch("n", &apply("two"), &Patch::Apply(&other)).await;
        ensure!(matches!(&conflict, Err(kube::Error::Api(status)) if status.code == 409), "{conflict:?}");
        let forced = networks.patch("n", &apply("two").force(), &Patch::Apply(&other)).await?;
        let managers: Vec<_> =
            forced.metadata.managed_fields.into_iter().flatten().filter_map(|m| m.manager).collect();
        ensure!(managers.contains(&"two".to_owned()), "{managers:?}");
        let unknown = Patch::Apply(json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Network", "metadata": {"name": "n"},
            "spec": {"interfase": "x"},
        }));
        let strict = apply("two").force().validation_strict();
        let refused = networks.patch("n", &strict, &unknown).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 400), "{refused:?}");
        Ok(())
    })
}

#[test]
fn writes_are_signed_by_the_kubeconfigs_key() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    for (protocol, config) in transports(&cluster)? {
        // The kubeconfig pins the cluster: nobody has to be believed.
        ensure!(config.cluster.is_some(), "the kubeconfig names no cluster");
        let name = format!("signed-{}", protocol.as_str());
        let made = cluster.runtime().block_on(async {
            let maps: Api<ConfigMap> = Api::default_namespaced(hypermesh_client::connect(&config)?);
            let made = maps.create(&PostParams::default(), &map(&name, "a")).await?;
            maps.list(&ListParams::default()).await?;
            anyhow::Ok(made)
        })?;
        ensure!(config.metrics.signatures() == 1, "{}", config.metrics.signatures());
        // A signature has no user agent: the manager was put into what is signed.
        let managed = made.metadata.managed_fields.context("no managed fields")?;
        ensure!(managed[0].manager.as_deref() == Some("kube-rs"), "{managed:?}");
    }
    Ok(())
}

#[test]
fn a_cluster_that_is_not_pinned_is_learnt() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    for (protocol, mut config) in transports(&cluster)? {
        config.cluster = None;
        let name = format!("learnt-{}", protocol.as_str());
        cluster.runtime().block_on(async {
            let maps: Api<ConfigMap> = Api::default_namespaced(hypermesh_client::connect(&config)?);
            anyhow::Ok(maps.create(&PostParams::default(), &map(&name, "a")).await?)
        })?;
        ensure!(config.metrics.signatures() == 1);
    }
    Ok(())
}
