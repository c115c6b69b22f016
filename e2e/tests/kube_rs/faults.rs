//! What goes wrong between a client and its server, and what is then said: a server that vanishes in the middle of a
//! watch, an answer that is lost, a connection that is half open, another cluster's certificate.

mod cuts;
mod halted;
mod relay;

use crate::PATIENCE;
use crate::objects::map;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use hypermesh_client::{Clock, Config, Protocol, Server, Transport};
use hypermesh_e2e::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use relay::Relay;
use std::time::{Duration, Instant, SystemTime};

/// A configuration that goes through a relay.
fn through(cluster: &Cluster) -> Result<(Relay, Config)> {
    let relay = cluster.runtime().block_on(Relay::to(cluster.address()?))?;
    let mut config = Config::from_kubeconfig(cluster.kubeconfig()?)?;
    config.server = Server::parse(&format!("https://{}", relay.address)).map_err(anyhow::Error::msg)?;
    config.silence = Duration::from_secs(6);
    // What is relayed is TCP.
    config.transport = Transport::Tcp;
    Ok((relay, config))
}

fn maps(config: &Config) -> Result<Api<ConfigMap>> {
    Ok(Api::default_namespaced(hypermesh_client::connect(config)?))
}

/// All that an error says, without what differs from run to run.
fn told(error: &dyn std::error::Error, relay: &Relay) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.contains(&cause.to_string()) {
            text.push_str(&format!(": {cause}"));
        }
        next = cause.source();
    }
    text.replace(&relay.address.to_string(), "SERVER")
}

#[test]
fn a_write_whose_answer_is_lost_is_done_once_and_answered() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, config) = through(&cluster)?;
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        maps.get_opt("none").await?;
        let before = cluster.revision()?;
        relay.lose_next_answer();
        let made = maps.create(&PostParams::default(), &map("once", "a")).await?;
        ensure!(made.metadata.name.as_deref() == Some("once") && made.metadata.uid.is_some(), "{made:?}");
        ensure!(relay.lost() == 1, "no answer was lost");
        ensure!(config.metrics.repeats() >= 1, "nothing was sent again");
        ensure!(cluster.revision()? == before + 1, "it was done more than once");
        Ok(())
    })
}

#[test]
fn a_write_that_is_not_signed_is_not_sent_again() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, mut config) = through(&cluster)?;
    config.identity.impersonate = Some("jane".to_owned());
    config.identity.impersonate_groups = vec!["system:masters".to_owned()];
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        maps.get_opt("none").await?;
        let before = cluster.revision()?;
        relay.lose_next_answer();
        let Err(error) = maps.create(&PostParams::default(), &map("once", "a")).await else {
            bail!("an answer came")
        };
        let words = told(&error, &relay);
        ensure!(
            words.contains("it is not known whether POST /api/v1/namespaces/default/configmaps"),
            "{words}"
        );
        ensure!(words.contains("look at the object before you repeat it"), "{words}");
        ensure!(cluster.revision()? <= before + 1, "it was done more than once");
        Ok(())
    })
}

/// Watches until the connection fails; the error, and how long it took.
async fn until_it_fails(maps: &Api<ConfigMap>, fail: impl FnOnce()) -> Result<(kube::Error, Duration)> {
    let params = WatchParams::default();
    let mut events = std::pin::pin!(maps.watch(&params, "0").await?);
    maps.create(&PostParams::default(), &map("seen", "a")).await?;
    loop {
        match events.try_next().await?.context("the watch ended before it was cut")? {
            WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("seen") => break,
            _ => {}
        }
    }
    fail();
    let begun = Instant::now();
    loop {
        match tokio::time::timeout(PATIENCE, events.try_next()).await.context("nobody noticed")? {
            Err(error) => return Ok((error, begun.elapsed())),
            Ok(Some(_)) => {}
            Ok(None) => bail!("the watch ended as if all were well"),
        }
    }
}

#[test]
fn a_server_that_vanishes_in_the_middle_of_a_watch_is_noticed_at_once() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, config) = through(&cluster)?;
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        let (error, took) = until_it_fails(&maps, || relay.cut()).await?;
        // Not by its silence.
        ensure!(took < config.silence, "{took:?}");
        let words = told(&error, &relay);
        ensure!(words.contains("the connection to https://SERVER broke"), "{words}");
        // The next request dials anew.
        maps.get("seen").await?;
        Ok(())
    })
}

#[test]
fn a_connection_that_is_half_open_is_noticed_within_the_bound() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, config) = through(&cluster)?;
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        let (error, took) = until_it_fails(&maps, || relay.mute()).await?;
        ensure!(took < config.silence * 3, "{took:?}");
        let words = told(&error, &relay);
        ensure!(words.contains("https://SERVER fell silent: it answered nothing for 6 s"), "{words}");
        Ok(())
    })
}

/// A client whose clock is wrong, over each transport: reads need none; writes are dated by the server's clock if little is
/// wrong, and not carried out, with both clocks told, if much is.
#[test]
fn clocks_that_differ_are_corrected_for_or_told() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    for (protocol, config) in crate::transports(&cluster)? {
        for (name, seconds, carried_out) in [
            ("fast", 100_i64, true),
            ("slow", -100, true),
            ("very-fast", 600, false),
            ("very-slow", -600, false),
        ] {
            let mut config = config.clone();
            config.clock = Clock::new(move || match u64::try_from(seconds) {
                Ok(ahead) => SystemTime::now() + Duration::from_secs(ahead),
                Err(_) => SystemTime::now() - Duration::from_secs(seconds.unsigned_abs()),
            });
            let name = format!("{name}-{}", protocol.as_str());
            cluster.runtime().block_on(async {
                let maps = maps(&config)?;
                maps.get_opt("none").await.context("a read needs no clock")?;
                let before = cluster.revision()?;
                let made = maps.create(&PostParams::default(), &map(&name, "a")).await;
                if carried_out {
                    made?;
                    ensure!(cluster.revision()? == before + 1, "it was carried out once");
                    // The next is right at once.
                    let signed = config.metrics.signatures();
                    maps.create(&PostParams::default(), &map(&format!("{name}-2"), "a")).await?;
                    ensure!(config.metrics.signatures() == signed + 1, "it was corrected for anew");
                    return Ok(());
                }
                let Err(kube::Error::Api(status)) = made else { bail!("{made:?}") };
                ensure!(status.code == 401, "{status:?}");
                let words = &status.message;
                ensure!(words.contains("they are 10 minutes apart"), "{words}");
                ensure!(words.contains("set the clock that is wrong (`timedatectl`"), "{words}");
                ensure!(cluster.revision()? == before && maps.get_opt(&name).await?.is_none(), "it was done");
                Ok(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn the_certificate_of_another_cluster_is_no_server() -> Result<()> {
    let (mine, other) = (Cluster::start(Vec::new())?, Cluster::start(Vec::new())?);
    let (relay, mut config) = through(&other)?;
    config.trust = Config::from_kubeconfig(mine.kubeconfig()?)?.trust;
    other.runtime().block_on(async {
        let Err(error) = maps(&config)?.create(&PostParams::default(), &map("x", "a")).await else {
            bail!("it was believed")
        };
        let words = told(&error, &relay);
        ensure!(
            words.contains("cannot reach https://SERVER: its certificate was not issued by an authority"),
            "{words}"
        );
        ensure!(words.contains("is this the cluster you mean?"), "{words}");
        Ok(())
    })
}

#[test]
fn a_pin_of_another_cluster_is_told_with_both_ids() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, mut config) = through(&cluster)?;
    config.cluster = Some("07".repeat(32).parse()?);
    cluster.runtime().block_on(async {
        let before = cluster.revision()?;
        let Err(error) = maps(&config)?.create(&PostParams::default(), &map("x", "a")).await else {
            bail!("it was taken")
        };
        let words = told(&error, &relay);
        ensure!(words.contains(&format!("and the kubeconfig is for {}", "07".repeat(32))), "{words}");
        ensure!(cluster.revision()? == before);
        Ok(())
    })
}

#[test]
fn a_server_that_is_not_there_is_told_with_what_to_do() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (mut relay, config) = through(&cluster)?;
    cluster.runtime().block_on(async {
        relay.stop().await;
        let Err(error) = maps(&config)?.get("x").await else { bail!("it answered") };
        let words = told(&error, &relay);
        ensure!(words.contains("connection refused: is `nexusctl up` running"), "{words}");
        Ok(())
    })
}

#[test]
fn udp_that_is_shut_costs_a_moment() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    // The relay has no UDP side: what is sent there is answered by nobody.
    let (_relay, mut config) = through(&cluster)?;
    config.transport = Transport::Auto;
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        let begun = Instant::now();
        maps.get_opt("x").await?;
        // A moment, and not the three seconds after which UDP is given up.
        ensure!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        ensure!(config.metrics.replies(Protocol::Tcp) == 1 && config.metrics.replies(Protocol::Http3) == 0);
        Ok(())
    })
}
