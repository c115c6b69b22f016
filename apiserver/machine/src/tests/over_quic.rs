//! Replicas as they run, each with a store, a log, and connections of its own over QUIC on loopback.

use super::network::{REPLICAS, genesis_of_four, key_of};
use super::support::*;
use crate::{Config, Hold, Incoming, Others, Replica, Transport};
use crossbeam_channel::Receiver;
use hypermesh_bft::{Message, Timing, To};
use hypermesh_chain::request::{Authority, Request};
use hypermesh_chain::{ObjectKey, PublicKey};
use hypermesh_driver::NoLog;
use hypermesh_peers::{Delivery, Incoming as Heard, Limits, Peer, Peers, Settings};
use hypermesh_pipeline::Call;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Longer than a machine that is busy with other tests keeps any of them waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the others.
struct Line(Arc<Peers>);

impl Transport for Line {
    fn send(&self, to: To, message: Message) {
        // Whoever has no room for requests now is told of them again.
        let _ = self.0.send(to, message);
    }
}

/// A replica's connections, on threads of their own: its machine, but for the process.
struct Wires {
    runtime: Runtime,
    peers: Arc<Peers>,
    incoming: Option<Receiver<Incoming>>,
}

impl Wires {
    fn new(place: usize, listen: SocketAddr, peers: Vec<Peer>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, incoming) = crossbeam_channel::unbounded();
        let limits = Limits { silence: PATIENCE, ..Limits::default() };
        let cluster = genesis_of_four().cluster_id();
        let settings = Settings { key: key_of(place), cluster, listen, peers, limits };
        let entered = runtime.enter();
        let deliver = move |heard| match heard {
            Heard::Message { from, message } => {
                let (held, delivery) = Delivery::pending();
                let hold: Option<Hold> = Some(Arc::new(held));
                let _ = sender.send(Incoming::Received { from, message, hold });
                delivery
            }
            Heard::Connected(peer) => {
                let _ = sender.send(Incoming::Connected(peer));
                Delivery::done()
            }
            Heard::Disconnected(_) => Delivery::done(),
        };
        let peers = Arc::new(Peers::start(settings, deliver).unwrap());
        drop(entered);
        Self { runtime, peers, incoming: Some(incoming) }
    }
}

struct Node {
    wires: Wires,
    replica: Replica,
}

struct Cluster {
    nodes: Vec<Option<Node>>,
    dirs: Vec<tempfile::TempDir>,
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    fn new() -> Self {
        let all = 0..usize::from(REPLICAS);
        let wires: Vec<Wires> = all.map(|place| Wires::new(place, LOOPBACK, Vec::new())).collect();
        let addresses = wires.iter().map(|wires| wires.peers.local_addr()).collect();
        let dirs = wires.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let mut cluster = Self { nodes: Vec::new(), dirs, addresses };
        for (place, wires) in wires.into_iter().enumerate() {
            wires.peers.set_peers(cluster.others(place));
            let node = cluster.begin(place, wires);
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    fn others(&self, place: usize) -> Vec<Peer> {
        let peer = |(other, address): (usize, &SocketAddr)| Peer {
            key: key_of(other).public(),
            addresses: vec![*address],
        };
        self.addresses.iter().enumerate().filter(|(other, _)| *other != place).map(peer).collect()
    }

    fn begin(&self, place: usize, mut wires: Wires) -> Node {
        let (dir, key) = (self.dirs[place].path().to_owned(), key_of(place));
        let config = Config { dir, store: options(), key, definitions: definitions() };
        let transport = Box::new(Line(Arc::clone(&wires.peers)));
        let incoming = wires.incoming.take().unwrap();
        let others = Others { timing: Timing::default(), transport, incoming, no_log: NoLog::Lost };
        Node { wires, replica: Replica::start_among(config, &genesis_of_four(), others).unwrap() }
    }

    /// A replica loses its connections without a word, and then ends.
    fn kill(&mut self, place: usize) {
        let Node { wires: Wires { runtime, peers, .. }, replica } = self.nodes[place].take().unwrap();
        runtime.shutdown_timeout(PATIENCE);
        drop(replica);
        assert_eq!(Arc::strong_count(&peers), 1, "the thread of the replica is gone");
    }

    /// It begins again, where it was, from its folder.
    fn start(&mut self, place: usize) {
        let wires = Wires::new(place, self.addresses[place], self.others(place));
        let node = self.begin(place, wires);
        self.nodes[place] = Some(node);
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().unwrap()
    }

    /// Has a replica create an object; the code of what it answers.
    fn create(&self, place: usize, name: &str) -> u16 {
        let replica = &self.node(place).replica;
        let mut request: Request = create(name, 0, 0);
        let Authority::Endorsed(endorsement) = &mut request.authority else { panic!("it is signed") };
        endorsement.replica = replica.key();
        (endorsement.received, endorsement.nonce) = (replica.request_time(), replica.next_nonce());
        let call = Call::decode(&request).unwrap();
        block_on(replica.submit(request, call)).unwrap().code
    }

    /// Whether an object is there, as a consistent read at a replica says.
    fn has(&self, place: usize, name: &str) -> bool {
        let replica = &self.node(place).replica;
        block_on(replica.barrier()).unwrap();
        let key = ObjectKey::new("/configmaps", "default", name).unwrap();
        replica.reading().get(&key).unwrap().is_some()
    }

    fn is_connected(&self, place: usize, to: PublicKey) -> bool {
        self.node(place).wires.peers.status().iter().any(|peer| peer.key == to && peer.connected)
    }
}

#[test]
fn replicas_agree_over_quic_and_one_that_was_killed_catches_up() {
    let mut cluster = Cluster::new();
    for place in 0..4 {
        assert_eq!(cluster.create(place, &format!("of-{place}")), 201);
    }
    assert!((0..4).all(|place| (0..4).all(|of| cluster.has(place, &format!("of-{of}")))));
    // Of the first height, it proposes: others have to take its turn.
    let first = genesis_of_four().validators.validators()[0].key;
    let dead = (0..4).find(|place| key_of(*place).public() == first).unwrap();
    cluster.kill(dead);
    let alive: Vec<usize> = (0..4).filter(|place| *place != dead).collect();
    for number in 0..20 {
        assert_eq!(cluster.create(alive[number % 3], &format!("without-{number}")), 201);
    }
    cluster.start(dead);
    assert!(cluster.has(dead, "without-19"), "a consistent read waits until it has caught up");
    assert!(alive.iter().all(|place| cluster.is_connected(*place, first)));
    assert_eq!(cluster.create(dead, "back"), 201);
    assert!((0..4).all(|place| cluster.has(place, "back") && cluster.has(place, "without-0")));
    let heads = (0..4).map(|place| cluster.node(place).replica.reading().view.head().unwrap().block_id);
    assert_eq!(heads.collect::<std::collections::BTreeSet<_>>().len(), 1);
    assert!((0..4).all(|place| cluster.node(place).replica.failure().is_none()));
}
