//! A replica's transport, and what its receiver hears.

use hypermesh_bft::message::SignedVote;
use hypermesh_bft::{Message, To};
use hypermesh_chain::{ClusterId, GroupId, Hash, Height, PublicKey, Signature, SigningKey, Vote, VoteKind};
use hypermesh_peers::{Delivery, Held, Incoming, Limits, Peer, PeerStatus, Peers, Settings};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub const CLUSTER: ClusterId = ClusterId(Hash([7; 32]));
/// Longer than anything here takes, however busy the machine is.
pub const LONG: Duration = Duration::from_secs(60);

/// Limits for a machine that may be too busy to answer in a second, and tests that wait for no penalty.
pub fn limits() -> Limits {
    Limits {
        silence: LONG,
        hello: LONG,
        frame: LONG,
        penalty: (Duration::from_millis(50), Duration::from_millis(50)),
        redial: (Duration::from_millis(20), Duration::from_millis(100)),
        ..Limits::default()
    }
}

pub fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn key(seed: u8) -> PublicKey {
    signing(seed).public()
}

pub fn vote(height: u64, round: u32) -> Message {
    let (kind, group, block) = (VoteKind::Prevote, GroupId(0), Some(Hash([1; 32])));
    let vote = Vote { kind, group, height: Height(height), round, block };
    Message::Vote(SignedVote { vote, voter: PublicKey([2; 32]), signature: Signature([3; 64]) })
}

pub fn block(height: u64, size: usize) -> Message {
    Message::Block { height: Height(height), bytes: vec![height as u8; size].into() }
}

pub fn requests(number: u32, size: usize) -> Message {
    let mut request = number.to_le_bytes().to_vec();
    request.resize(size.max(4), 0);
    Message::Requests(vec![request.into()])
}

/// The number of a message of [`requests`].
pub fn number(message: &Message) -> u32 {
    let Message::Requests(requests) = message else { panic!("no requests: {message:?}") };
    u32::from_le_bytes(*requests[0].first_chunk().unwrap())
}

pub struct Node {
    pub peers: Peers,
    pub key: PublicKey,
    heard: mpsc::UnboundedReceiver<(Incoming, Held)>,
}

pub fn settings(seed: u8, peers: Vec<Peer>, limits: Limits) -> Settings {
    Settings { key: signing(seed), cluster: CLUSTER, listen: LOOPBACK, peers, limits }
}

pub fn peer(seed: u8, addresses: &[SocketAddr]) -> Peer {
    Peer { key: key(seed), addresses: addresses.to_vec() }
}

impl Node {
    pub fn of(settings: Settings) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let key = settings.key.public();
        let peers = Peers::start(settings, move |incoming| {
            let (held, delivery) = Delivery::pending();
            let _ = tell.send((incoming, held));
            delivery
        });
        Self { peers: peers.unwrap(), key, heard }
    }

    /// One that waits for these to come.
    pub fn new(seed: u8, peers: &[u8], limits: Limits) -> Self {
        Self::of(settings(seed, peers.iter().map(|seed| peer(*seed, &[])).collect(), limits))
    }

    pub fn address(&self) -> SocketAddr {
        self.peers.local_addr()
    }

    /// The next thing it hears, with the room that it takes until the guard is dropped.
    pub async fn held(&mut self) -> (Incoming, Held) {
        let heard = tokio::time::timeout(LONG, self.heard.recv()).await;
        heard.unwrap_or_else(|_| panic!("nothing is heard")).unwrap()
    }

    pub async fn next(&mut self) -> Incoming {
        self.held().await.0
    }

    /// The next message of a peer; nothing else must come before it.
    pub async fn message(&mut self, of: PublicKey) -> Message {
        match self.next().await {
            Incoming::Message { from, message } if from == of => message,
            other => panic!("not a message of {of}: {other:?}"),
        }
    }

    /// Waits until a peer is there; what it said until then is passed over, and what others do.
    pub async fn connected(&mut self, to: PublicKey) {
        while self.next().await != Incoming::Connected(to) {}
    }

    pub async fn disconnected(&mut self, from: PublicKey) {
        while self.next().await != Incoming::Disconnected(from) {}
    }

    /// Nothing is heard for a moment.
    pub async fn silence(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(100), self.heard.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    pub fn send(&self, to: PublicKey, message: &Message) -> bool {
        self.peers.send(To::One(to), message.clone()).is_empty()
    }

    pub fn status(&self, of: PublicKey) -> PeerStatus {
        self.peers.status().into_iter().find(|peer| peer.key == of).unwrap()
    }

    /// Waits until its status of a peer is so.
    pub async fn until(&self, of: PublicKey, so: impl Fn(&PeerStatus) -> bool) -> PeerStatus {
        eventually(|| Some(self.status(of)).filter(|status| so(status))).await
    }

    /// QUIC connections that are open.
    pub fn connections(&self) -> u64 {
        self.peers.metrics().connections.get()
    }
}

/// Waits until something is there.
pub async fn eventually<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + LONG;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "it never comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two that are connected: the first dialled.
pub async fn pair(limits: Limits) -> (Node, Node) {
    let mut two = Node::new(2, &[1], limits.clone());
    let mut one = Node::of(settings(1, vec![peer(2, &[two.address()])], limits));
    one.connected(two.key).await;
    two.connected(one.key).await;
    (one, two)
}

/// A replica on a machine of its own, which can lose power.
pub struct Machine {
    runtime: tokio::runtime::Runtime,
    pub node: Node,
}

impl Machine {
    pub fn start(settings: Settings) -> Self {
        let start = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.unwrap();
            let node = runtime.block_on(async { Node::of(settings) });
            Self { runtime, node }
        };
        std::thread::spawn(start).join().unwrap()
    }

    /// Nothing is said; its port is free.
    pub fn lose_power(self) {
        let Self { runtime, node } = self;
        std::thread::spawn(move || runtime.shutdown_timeout(LONG)).join().unwrap();
        drop(node);
    }
}
