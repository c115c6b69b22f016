//! Watches: a watcher that streams its first list, and a reflector.

use crate::objects::map;
use crate::over_each;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, predicates};

async fn next<T>(
    events: &mut (impl futures_util::Stream<Item = Result<T, watcher::Error>> + Unpin),
) -> Result<T> {
    events.try_next().await?.context("the watch ended")
}

#[test]
fn streaming_lists() -> Result<()> {
    over_each(|client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("before", "a")).await?;
        let config = watcher::Config::default().streaming_lists().fields("metadata.name!=kube-root-ca.crt");
        let mut events = watcher(maps.clone(), config).boxed();
        ensure!(matches!(next(&mut events).await?, Event::Init));
        let Event::InitApply(found) = next(&mut events).await? else { bail!("no first object") };
        ensure!(found.metadata.name.as_deref() == Some("before"));
        ensure!(matches!(next(&mut events).await?, Event::InitDone));
        maps.create(&PostParams::default(), &map("after", "a")).await?;
        let Event::Apply(found) = next(&mut events).await? else { bail!("no new object") };
        ensure!(found.metadata.name.as_deref() == Some("after"));
        maps.delete("before", &DeleteParams::default()).await?;
        let Event::Delete(gone) = next(&mut events).await? else { bail!("no deletion") };
        ensure!(gone.metadata.name.as_deref() == Some("before"));
        Ok(())
    })
}

#[test]
fn a_reflector_holds_what_there_is() -> Result<()> {
    over_each(|client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        for i in 0..20 {
            maps.create(&PostParams::default(), &map(&format!("m{i}"), "a")).await?;
        }
        let (store, writer) = reflector::store();
        let events = watcher(maps.clone(), watcher::Config::default().streaming_lists());
        let events = reflector::reflector(writer, events).default_backoff().applied_objects();
        let mut changes = events.predicate_filter(predicates::resource_version, Default::default()).boxed();
        // The store fills while its stream is read.
        let mut ready = std::pin::pin!(store.wait_until_ready());
        loop {
            tokio::select! {
                filled = &mut ready => break filled?,
                change = next(&mut changes) => drop(change?),
            }
        }
        ensure!(store.len() >= 20, "{}", store.len());
        maps.create(&PostParams::default(), &map("late", "b")).await?;
        loop {
            let change = next(&mut changes).await?;
            if change.metadata.name.as_deref() == Some("late") {
                break;
            }
        }
        let late = store.get(&ObjectRef::new("late").within("default")).context("the store lags behind")?;
        ensure!(late.data == map("late", "b").data);
        Ok(())
    })
}
