//! kube-rs as its users have it, over our own client: typed and dynamic objects, watches, a reflector, a controller,
//! server-side apply and leader election, on every transport that the server answers on.

mod controller;
mod election;
mod faults;
mod objects;
mod watch;

use anyhow::{Context as _, Result, ensure};
use hypermesh_client::{Config, Protocol, Transport};
use hypermesh_e2e::Cluster;
use std::time::Duration;

/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration as the administrator, for each transport.
pub fn transports(cluster: &Cluster) -> Result<Vec<(Protocol, Config)>> {
    let config = |protocol, transport| -> Result<_> {
        let mut config = Config::from_kubeconfig(cluster.kubeconfig()?)?.agent("kube-rs/e2e");
        config.transport = transport;
        Ok((protocol, config))
    };
    Ok(vec![config(Protocol::Tcp, Transport::Tcp)?, config(Protocol::Http3, Transport::Http3)?])
}

/// Runs `work` with kube's client over each transport, on a cluster of its own, and sees that it was used.
pub fn over_each<F>(work: impl Fn(kube::Client) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    for transport in 0.. {
        let cluster = Cluster::start(Vec::new())?;
        let Some((protocol, config)) = transports(&cluster)?.into_iter().nth(transport) else {
            return Ok(());
        };
        let done = cluster.runtime().block_on(async {
            let client = hypermesh_client::connect(&config)?;
            tokio::time::timeout(PATIENCE, work(client)).await.context("it took too long")?
        });
        done.with_context(|| format!("over {}", protocol.as_str()))?;
        ensure!(config.metrics.replies(protocol) > 0, "nothing went over {}", protocol.as_str());
    }
    Ok(())
}
