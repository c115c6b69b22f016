//! A replica among its peers: what it says to them, and who they are.

use crate::class::Class;
use crate::counts;
use crate::end::End;
use crate::error::StartError;
use crate::frame::{Frame, MOST_REQUESTS};
use crate::greeting::{self, ALPN};
use crate::incoming::{Delivery, Incoming};
use crate::keep;
use crate::link::{Link, Turn, chance};
use crate::metrics;
use crate::outbox::Pushed;
use crate::session;
use crate::settings::{Limits, Peer, Settings};
use crate::shared::{Links, Phase, Shared};
use crate::status::PeerStatus;
use hypermesh_bft::{Message, To};
use hypermesh_chain::{PublicKey, SigningKey};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use stoq::{Closing, Connection, Endpoint, Identity, Router, Trust};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// What strangers may cost: whoever has no peer's key gets no further than the handshake.
const STRANGERS: stoq::Limits =
    stoq::Limits { connections: 1024, per_address: 256, handshakes: 128, retry_from: 32 };

/// A replica's connections to all others. Dropped, they end at once; [`Peers::shutdown`] lets what waits arrive.
#[derive(Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    router: Mutex<Option<Router>>,
    /// One for each peer.
    keepers: Mutex<JoinSet<()>>,
    /// Of those who are no peers any more, and may still have a connection.
    former: Mutex<BTreeMap<PublicKey, Turn>>,
    address: SocketAddr,
    runtime: Handle,
}

impl Peers {
    /// Listens, and dials the others. `deliver` is called on the runtime's threads, from several at a time, and must not
    /// block; what it answers says when more may come.
    ///
    /// # Errors
    /// Why it cannot. Outside of a tokio runtime it never can.
    pub fn start(
        settings: Settings,
        deliver: impl Fn(Incoming) -> Delivery + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let Settings { key, cluster, listen, peers, limits } = settings;
        let links = Links::default();
        let endpoint = endpoint(&key, listen, &limits, &links)?;
        let address = endpoint.local_addr().map_err(StartError::Address)?;
        let shared = Arc::new(Shared {
            key: key.public(),
            cluster,
            limits,
            incarnation: chance(),
            endpoint: endpoint.clone(),
            links,
            phase: watch::Sender::new(Phase::Running),
            strangers: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            dials: AtomicU64::new(0),
            deliver: Box::new(deliver),
        });
        let accepting = Arc::clone(&shared);
        let accept = move |connection: Connection, _: Closing| {
            let shared = Arc::clone(&accepting);
            async move {
                let (link, established) = greeting::accept(&shared, &connection).await?;
                match session::run(&shared, &link, established).await {
                    End::Stopping | End::Duplicate => Ok(()),
                    end => Err(end.into()),
                }
            }
        };
        let router = Router::builder(endpoint).limits(STRANGERS).accept(ALPN, accept).spawn();
        let router = Mutex::new(Some(router.map_err(StartError::Accept)?));
        let (keepers, former) = (Mutex::default(), Mutex::default());
        let started = Self { shared, router, keepers, former, address, runtime };
        started.set_peers(peers);
        Ok(started)
    }

    /// Sends a message, or has it wait for who is not there. Never blocks; from any thread.
    ///
    /// Says who has to be sent it later: their queues of requests are full, or they are no peers. Statements and blocks
    /// are not said again by this: what is dropped of them is counted, and consensus asks for what it misses.
    pub fn send(&self, to: To, message: Message) -> Vec<PublicKey> {
        let (class, frame) = (Class::of(&message), Frame::new(&message));
        drop(message);
        let links = self.shared.links.read();
        if self.shared.phase() != Phase::Running {
            return Vec::new();
        }
        match to {
            To::All => links.values().filter_map(|link| push(link, class, &frame)).collect(),
            To::One(key) => match links.get(&key) {
                Some(link) => push(link, class, &frame).into_iter().collect(),
                None => {
                    counts::one(&self.shared.unknown);
                    vec![key]
                }
            },
        }
    }

    /// Who the others are from now on. Connections with those who stay stay; those who are no peers any more are told so.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        let mut named: BTreeMap<PublicKey, Vec<SocketAddr>> = BTreeMap::new();
        for peer in peers.into_iter().filter(|peer| peer.key != self.shared.key) {
            let addresses = named.entry(peer.key).or_default();
            for address in peer.addresses {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        let (mut links, mut former) = (self.shared.links.write(), self.former.lock());
        former.retain(|_, turn| Arc::strong_count(turn) > 1);
        links.retain(|key, link| {
            let stays = named.contains_key(key);
            if !stays {
                link.leave();
                former.insert(*key, Arc::clone(&link.turn));
            }
            stays
        });
        for (key, addresses) in named {
            if let Some(link) = links.get(&key) {
                link.move_to(addresses);
                continue;
            }
            let turn = former.remove(&key).unwrap_or_default();
            let link = Arc::new(Link::new(key, addresses, turn, &self.shared.limits));
            links.insert(key, Arc::clone(&link));
            let mut keepers = self.keepers.lock();
            while keepers.try_join_next().is_some() {}
            keepers.spawn_on(keep::connected(Arc::clone(&self.shared), link), &self.runtime);
        }
    }

    /// This replica's key.
    pub fn key(&self) -> PublicKey {
        self.shared.key
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How it stands with each peer, in order of keys.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.shared.links.read().values().map(|link| PeerStatus::of(link)).collect()
    }

    /// What is counted of the peers, in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let (strangers, unknown) = (counts::get(&self.shared.strangers), counts::get(&self.shared.unknown));
        metrics::prometheus(&self.status(), strangers, unknown)
    }

    /// What is counted of QUIC beneath them.
    pub fn metrics(&self) -> Arc<stoq::Metrics> {
        Arc::clone(self.shared.endpoint.metrics())
    }

    /// Takes and makes no more connections, lets what waits for those who are there arrive, and ends: for at most
    /// `patience`. True if nothing had to be cut. A second call does nothing.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        self.shared.phase.send_if_modified(|phase| {
            let running = *phase == Phase::Running;
            *phase = (*phase).max(Phase::Draining);
            running
        });
        let router = self.router.lock().take();
        let mut keepers = std::mem::take(&mut *self.keepers.lock());
        let accepted = async {
            match router {
                Some(router) => router.shutdown(patience).await,
                None => true,
            }
        };
        let dialled = async { while keepers.join_next().await.is_some() {} };
        let (accepted, dialled) = tokio::join!(accepted, timeout_at(deadline, dialled));
        self.shared.phase.send_replace(Phase::Stopped);
        self.shared.endpoint.close(End::Stopping.code(), &End::Stopping.told()).await;
        keepers.shutdown().await;
        accepted && dialled.is_ok()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Stopped);
        // Tasks notice that their connections are over.
        for connection in self.shared.links.read().values().filter_map(|link| link.connection()) {
            connection.close(End::Stopping.code(), &End::Stopping.told());
        }
    }
}

/// Puts a message into a peer's queue; the peer, if it has to be sent it later.
fn push(link: &Link, class: Class, frame: &Frame) -> Option<PublicKey> {
    if class == Class::Requests && frame.body.len() > MOST_REQUESTS {
        // No peer would take it, now or later.
        link.counts.drop(class, 1);
        return None;
    }
    match link.outbox.push(class, frame) {
        Pushed::Waits(gone) => {
            link.counts.drop(class, gone);
            None
        }
        Pushed::Known => None,
        Pushed::Refused if class == Class::Requests => Some(link.key),
        Pushed::Refused => {
            link.counts.drop(class, 1);
            None
        }
    }
}

/// A socket that shows the replica's key, and believes in the peers' keys alone: of who is dialled, in the one that was
/// meant.
fn endpoint(
    key: &SigningKey,
    listen: SocketAddr,
    limits: &Limits,
    links: &Links,
) -> Result<Endpoint, StartError> {
    let public = stoq::PublicKey::from_bytes(key.public().0);
    let signer = key.clone();
    let identity = Identity::of_signer(public, move |message| signer.sign(message).0);
    // Connections hold what judged them, and are held by links: this way no circle of them outlives its owner.
    let known = Arc::downgrade(links);
    let members = Trust::keys_that("a replica of this cluster", move |key| {
        known.upgrade().is_some_and(|links| links.read().contains_key(&PublicKey(*key.as_bytes())))
    });
    Endpoint::server(identity.map_err(StartError::Identity)?)
        .clients(stoq::ClientAuth::Required(members))
        .trust(Trust::dialled_key())
        .address(listen)
        .settings(limits.transport())
        .bind()
        .map_err(StartError::Bind)
}
