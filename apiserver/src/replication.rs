//! One replica among others: its transport, and founding a cluster of several.
//!
//! What other replicas say goes from [`Peers`] straight to the replica's thread, and back; nothing here looks into it.
//! What waits in between is bounded by each peer's window: a message holds its place there until the thread has dealt
//! with it.

use crate::roster;
use crate::server::ServerError;
use crossbeam_channel::Receiver;
use hypermesh_bft::{Message, Timing, To};
use hypermesh_chain::{Genesis, SigningKey, ValidatorSet};
use hypermesh_driver::NoLog;
use hypermesh_machine::{Hold, Incoming, Others, Transport};
use hypermesh_peers::{Delivery, Limits, Peers, Settings};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use hypermesh_peers::{Peer, PeerStatus};

/// How long what was said last may take to arrive when a replica ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a replica meets the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// The UDP address on which it listens for them; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The others. Who is not among them yet can be told later ([`crate::Server::meet`]).
    pub peers: Vec<Peer>,
}

impl Replication {
    /// What the roster of a data folder says; nothing where there is none. A replica listens where others expect it, unless
    /// `listen` says otherwise.
    pub fn of_folder(dir: &Path, listen: Option<SocketAddr>) -> Result<Option<Self>, ServerError> {
        let Some(peers) = roster::read(dir)? else { return Ok(None) };
        let key = hypermesh_pki::replica_key(dir)?.signing_key()?.public();
        let own = peers.iter().find(|peer| peer.key == key).and_then(|peer| peer.addresses.first().copied());
        let listen = listen.or(own).ok_or_else(|| ServerError::Roster {
            path: dir.join(roster::ROSTER_FILE),
            why: format!(
                "the replica of this folder, {key}, has no address in it; --peer HOST:PORT gives one"
            ),
        })?;
        Ok(Some(Self { listen, peers }))
    }
}

impl Default for Replication {
    /// On a free port of this machine, with nobody to dial yet.
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), peers: Vec::new() }
    }
}

/// The way to the other replicas of a running server.
#[derive(Clone)]
pub(crate) struct Line {
    peers: Arc<Peers>,
    validators: ValidatorSet,
}

impl Line {
    /// Listens and dials; gives the line, and what the replica's thread needs of it.
    pub fn open(
        replication: &Replication,
        key: SigningKey,
        genesis: &Genesis,
    ) -> Result<(Self, Others), ServerError> {
        // Its bound is the windows of the peers.
        let (sender, incoming) = crossbeam_channel::unbounded();
        let settings = Settings {
            key,
            cluster: genesis.cluster_id(),
            listen: replication.listen,
            peers: replication.peers.clone(),
            limits: Limits::default(),
        };
        let deliver = move |event| {
            let (event, delivery) = taken(event);
            if let Some(event) = event {
                // The thread has ended where nobody listens: nothing is to be done any more.
                let _ = sender.send(event);
            }
            delivery
        };
        let peers = Peers::start(settings, deliver)
            .map_err(|source| ServerError::Peers { address: replication.listen, source })?;
        let line = Self { peers: Arc::new(peers), validators: genesis.validators.clone() };
        Ok((line.clone(), line.others(incoming)))
    }

    fn others(self, incoming: Receiver<Incoming>) -> Others {
        // A log that is not there may have been lost: the replica then keeps out of the one height in which it may have
        // spoken.
        Others { timing: Timing::default(), transport: Box::new(self), incoming, no_log: NoLog::Lost }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.peers.local_addr()
    }

    /// Who the others are from now on.
    pub fn meet(&self, peers: Vec<Peer>) {
        self.peers.set_peers(peers);
    }

    /// How it stands with each of the others.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.peers.status()
    }

    /// Whether enough of them can be reached for anything to be decided; else who cannot, and why.
    pub fn quorum(&self) -> Result<(), String> {
        let status = self.status();
        let power = |key| self.validators.power(&key).unwrap_or(0);
        let there = status.iter().filter(|peer| peer.connected).map(|peer| power(peer.key)).sum::<u64>();
        if there + power(self.peers.key()) >= self.validators.quorum() {
            return Ok(());
        }
        let missing = status.iter().filter(|peer| !peer.connected);
        let why = missing.map(|peer| {
            let why = peer.last_error.as_deref().unwrap_or("it was not met yet");
            format!("{}: {why}", peer.key)
        });
        Err(format!("too few replicas can be reached ({})", why.collect::<Vec<_>>().join("; ")))
    }

    /// What is counted, in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        self.peers.prometheus()
    }

    /// Lets what was said last arrive, and hangs up.
    pub async fn close(&self) {
        self.peers.shutdown(FAREWELL).await;
    }
}

impl Transport for Line {
    fn send(&self, to: To, message: Message) {
        // Whose queue of requests is full is told of them again by the pool.
        drop(self.peers.send(to, message));
    }
}

/// What happened, as the replica's thread takes it, and when the next may come.
fn taken(event: hypermesh_peers::Incoming) -> (Option<Incoming>, Delivery) {
    match event {
        hypermesh_peers::Incoming::Connected(key) => (Some(Incoming::Connected(key)), Delivery::done()),
        // Silence needs no telling: timers of the engine run anyway.
        hypermesh_peers::Incoming::Disconnected(_) => (None, Delivery::done()),
        hypermesh_peers::Incoming::Message { from, message } => {
            let (held, delivery) = Delivery::pending();
            let hold: Hold = Arc::new(held);
            (Some(Incoming::Received { from, message, hold: Some(hold) }), delivery)
        }
    }
}

/// The data folders of a cluster of several replicas in one process: the first is `dir` itself, the others lie below it.
pub fn folders(dir: &Path, replicas: usize) -> Vec<PathBuf> {
    let others = (1..replicas).map(|number| dir.join("replicas").join(number.to_string()));
    std::iter::once(dir.to_owned()).chain(others).collect()
}
