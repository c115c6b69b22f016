//! A server whose process stands still (SIGSTOP): its kernel goes on taking connections and acknowledging bytes, and nobody
//! answers. And one that ends in order while it is watched.

use crate::PATIENCE;
use crate::objects::map;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use hypermesh_client::{Config, Transport};
use hypermesh_e2e::load::{ServerProcess, ServerSpec, binary};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// How long a peer may be silent.
const SILENCE: Duration = Duration::from_secs(4);

fn signal(server: &ServerProcess, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(server.pid)?), signal)?)
}

/// Goes on, whatever comes of a test: a process that stands still cannot be ended in order.
struct Halted<'a>(&'a ServerProcess);

impl<'a> Halted<'a> {
    fn now(server: &'a ServerProcess) -> Result<Self> {
        signal(server, Signal::SIGSTOP)?;
        Ok(Self(server))
    }
}

impl Drop for Halted<'_> {
    fn drop(&mut self) {
        let _ = signal(self.0, Signal::SIGCONT);
    }
}

/// A server, and configurations of its administrator over each transport.
async fn started(folder: &std::path::Path) -> Result<(ServerProcess, Vec<Config>)> {
    let spec = ServerSpec::new(binary()?, folder.join("data"));
    let server = spec.start().await?;
    let config = |transport| -> Result<Config> {
        let mut config = Config::from_kubeconfig(&spec.dir.join("admin.kubeconfig"))?;
        (config.transport, config.silence) = (transport, SILENCE);
        Ok(config)
    };
    Ok((server, vec![config(Transport::Tcp)?, config(Transport::Http3)?]))
}

/// A watch that has begun: it has told of one object.
async fn watched(
    maps: &Api<ConfigMap>,
    name: &str,
) -> Result<impl futures_util::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin + use<>> {
    let mut events = Box::pin(maps.watch(&WatchParams::default(), "0").await?);
    maps.create(&PostParams::default(), &map(name, "a")).await?;
    loop {
        match events.try_next().await?.context("the watch ended")? {
            WatchEvent::Added(map) if map.metadata.name.as_deref() == Some(name) => return Ok(events),
            _ => {}
        }
    }
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[test]
fn a_server_that_stands_still_is_given_up_within_the_bound_and_found_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (server, configs) = started(folder.path()).await?;
        for config in configs {
            let over = config.transport;
            let maps: Api<ConfigMap> = Api::default_namespaced(hypermesh_client::connect(&config)?);
            let name = format!("seen-{over:?}").to_lowercase();
            let mut events = watched(&maps, &name).await?;
            let halted = Halted::now(&server)?;
            let begun = Instant::now();
            let error = loop {
                match tokio::time::timeout(PATIENCE, events.try_next()).await.context("nobody noticed")? {
                    Err(error) => break error,
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("{over:?}: the watch ended as if all were well"),
                }
            };
            ensure!(begun.elapsed() < SILENCE * 4, "{over:?}: {:?}", begun.elapsed());
            let words = told(&error);
            ensure!(words.contains("fell silent: it answered nothing for 4 s"), "{over:?}: {words}");
            // A new connection is no better: the kernel takes it, and nobody speaks TLS.
            let error = maps.get(&name).await.err().with_context(|| format!("{over:?}: it answered"))?;
            let words = told(&error);
            ensure!(words.contains("no answer"), "{over:?}: {words}");
            drop(halted);
            maps.get(&name).await.with_context(|| format!("{over:?}: it goes on, and is not found again"))?;
        }
        server.stop().await
    })
}

/// GOAWAY, and what is under way: a watch that would last for ever ends in order, and holds up nobody's end.
#[test]
fn a_server_that_ends_in_order_ends_its_watches() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (server, configs) = started(folder.path()).await?;
        let mut watches = Vec::new();
        for config in &configs {
            let maps: Api<ConfigMap> = Api::default_namespaced(hypermesh_client::connect(config)?);
            let name = format!("seen-{:?}", config.transport).to_lowercase();
            watches.push((config.transport, watched(&maps, &name).await?));
        }
        let begun = Instant::now();
        server.stop().await?;
        ensure!(begun.elapsed() < Duration::from_secs(20), "watches hold up the end: {:?}", begun.elapsed());
        for (over, mut events) in watches {
            loop {
                match tokio::time::timeout(PATIENCE, events.try_next()).await.context("it goes on")? {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => bail!("{over:?}: it was cut: {}", told(&error)),
                }
            }
        }
        Ok(())
    })
}
