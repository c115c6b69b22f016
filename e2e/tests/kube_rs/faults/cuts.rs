//! Writes whose connection ends at any byte of it: in the handshake, in the request, before the answer, within it.

use super::relay::Room;
use super::{maps, through, told};
use crate::objects::map;
use anyhow::{Context as _, Result, ensure};
use hypermesh_client::{Config, Server, Transport};
use hypermesh_e2e::Cluster;
use kube::api::PostParams;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes between two cuts. A prime: no structure of TLS or HTTP/2 repeats with it.
const STEP: usize = 61;
/// More bytes than a connection with one small write has, in either direction.
const ENOUGH: usize = 16 << 10;

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was certainly not sent, and nothing was done.
    Unsent,
    /// It was done once, and the answer is its own.
    Done,
}

/// Sends one signed write, of which the caller has to know what became.
async fn write(cluster: &Cluster, config: &Config, name: &str) -> Result<(Fate, String)> {
    // A client of its own: with a connection of its own, on which nothing was sent before.
    let maps = maps(config)?;
    let before = cluster.revision()?;
    let made = maps.create(&PostParams::default(), &map(name, "a")).await;
    let after = cluster.revision()?;
    match made {
        Ok(made) => {
            ensure!(made.metadata.name.as_deref() == Some(name) && made.metadata.uid.is_some(), "{made:?}");
            ensure!(after == before + 1, "{name} was done {} times", after - before);
            Ok((Fate::Done, String::new()))
        }
        Err(error) => {
            ensure!(after == before, "{name} failed and was done: {error:?}");
            Ok((Fate::Unsent, format!("{error:?}")))
        }
    }
}

/// Over TCP: cut after so many bytes of either direction. What the handshake needs is not carried: nothing was sent, which is
/// told. Everything behind it: the write is done once, and answered.
#[test]
fn a_write_is_done_once_wherever_its_connection_is_cut() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, config) = through(&cluster)?;
    cluster.runtime().block_on(async {
        for asked in [true, false] {
            let (mut fates, mut offset) = (Vec::new(), 1);
            // Behind the last byte that was needed, nothing is cut any more.
            let mut whole = 0;
            while whole < 2 && offset < ENOUGH {
                let room = if asked {
                    Room { asked: offset, ..Room::default() }
                } else {
                    Room { answered: offset, ..Room::default() }
                };
                relay.cut_next_after(room);
                let repeats = config.metrics.repeats();
                let name = format!("cut-{}-{offset}", if asked { "asked" } else { "answered" });
                let (fate, words) = write(&cluster, &config, &name).await?;
                if fate == Fate::Unsent {
                    ensure!(words.contains("Connect"), "{name}: nothing says that it was not sent: {words}");
                }
                whole = if fate == Fate::Done && config.metrics.repeats() == repeats { whole + 1 } else { 0 };
                fates.push(fate);
                offset += STEP;
            }
            // A cut is taken by the next connection only; one that was never needed must not meet the next direction.
            relay.cut_next_after(Room::default());
            let unsent = fates.iter().take_while(|fate| **fate == Fate::Unsent).count();
            let again = fates.iter().filter(|fate| **fate == Fate::Done).count() - whole;
            println!("{} cuts: {unsent} before anything was sent, {again} behind it", fates.len());
            ensure!(fates[unsent..].iter().all(|fate| *fate == Fate::Done), "{fates:?}");
            ensure!(unsent >= 3 && again >= 3, "the offsets miss something: {fates:?}");
        }
        Ok(())
    })
}

/// A network that loses everything for a while once so many datagrams have passed.
struct Outage {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Outage {
    async fn after(server: SocketAddr, datagrams: usize, length: Duration) -> Result<Self> {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
        let far = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
        far.connect(server).await?;
        let address = near.local_addr()?;
        let mut tasks = JoinSet::new();
        let (to, from) = (Arc::clone(&near), Arc::clone(&far));
        let (client, mut known) = tokio::sync::watch::channel(None::<SocketAddr>);
        let (ends, ended) = tokio::sync::watch::channel(None::<Instant>);
        let is_out = move |ended: &tokio::sync::watch::Receiver<Option<Instant>>| {
            ended.borrow().is_some_and(|until| Instant::now() < until)
        };
        let there = ended.clone();
        tasks.spawn(async move {
            let (mut buffer, mut passed) = (vec![0; 65_536], 0);
            while let Ok((length_of_it, from)) = near.recv_from(&mut buffer).await {
                client.send_replace(Some(from));
                if passed == datagrams && ends.borrow().is_none() {
                    ends.send_replace(Some(Instant::now() + length));
                }
                passed += 1;
                if !is_out(&ended) {
                    let _ = far.send(&buffer[..length_of_it]).await;
                }
            }
        });
        tasks.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok(length) = from.recv(&mut buffer).await {
                let client = *known.borrow_and_update();
                if let Some(client) = client.filter(|_| !is_out(&there)) {
                    let _ = to.send_to(&buffer[..length], client).await;
                }
            }
        });
        Ok(Self { address, _tasks: tasks })
    }
}

/// Over HTTP/3: an outage that is longer than a connection lives, from any of the first datagrams on.
#[test]
fn a_write_is_done_once_whenever_the_network_goes_away() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let mut fates = Vec::new();
    for datagrams in 0..6 {
        let (fate, words) = cluster.runtime().block_on(async {
            let outage = Outage::after(cluster.address()?, datagrams, Duration::from_secs(3)).await?;
            let mut config = Config::from_kubeconfig(cluster.kubeconfig()?)?;
            config.server =
                Server::parse(&format!("https://{}", outage.address)).map_err(anyhow::Error::msg)?;
            (config.transport, config.silence) = (Transport::Http3, Duration::from_secs(1));
            write(&cluster, &config, &format!("out-{datagrams}"))
                .await
                .with_context(|| format!("after {datagrams}"))
        })?;
        println!("an outage after {datagrams} datagrams: {fate:?} {words}");
        fates.push(fate);
    }
    ensure!(fates.contains(&Fate::Done), "{fates:?}");
    Ok(())
}

/// What is told when a write's fate stays unknown names what to do.
#[test]
fn a_server_that_never_answers_leaves_no_doubt_about_what_is_unknown() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (relay, mut config) = through(&cluster)?;
    config.patience = Duration::from_secs(2);
    config.timeout = Duration::from_secs(1);
    cluster.runtime().block_on(async {
        let maps = maps(&config)?;
        maps.get_opt("none").await?;
        relay.mute();
        let error =
            maps.create(&PostParams::default(), &map("never", "a")).await.err().context("it was answered")?;
        let words = told(&error, &relay);
        ensure!(
            words.contains(
                "it is not known whether POST /api/v1/namespaces/default/configmaps was carried out"
            ),
            "{words}"
        );
        ensure!(words.contains("look at the object before you repeat it"), "{words}");
        Ok(())
    })
}
