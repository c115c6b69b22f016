//! Four machines, each with a store and a log of its own, agree on blocks of real requests under the engine of many.
//!
//! Messages arrive in the order in which they were sent; timers go off only when nothing else happens. What a hostile
//! network does is simulated elsewhere, with a smaller machine; what the thread of a replica does is in `among`.

use super::support::*;
use crate::heard::Heard;
use crate::log_sealer::LogSealer;
use crate::submission::Answer;
use crate::{Config, Machine};
use hypermesh_bft::{Event, Identity, Message, Timer, Timing, To};
use hypermesh_chain::request::{Media, Method, Request};
use hypermesh_chain::{
    Authority, Block, Canonical, Genesis, GroupId, Height, PublicKey, SigningKey, Timestamp, Validator,
    ValidatorSet, signature,
};
use hypermesh_consensus::StateMachine;
use hypermesh_driver::{Driver, DriverError, NoLog, Output};
use hypermesh_wal::{Disk, Folder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

const REPLICAS: u8 = 4;

fn key_of(replica: u8) -> SigningKey {
    SigningKey::from_seed(&[replica + 10; 32])
}

fn genesis_of_four() -> Genesis {
    let validators = (0..REPLICAS).map(|i| Validator { key: key_of(i).public(), power: 1 }).collect();
    Genesis { validators: ValidatorSet::new(validators).unwrap(), ..genesis() }
}

struct Node {
    key: SigningKey,
    driver: Driver<Machine, Folder>,
    /// When they go off.
    timers: BTreeMap<Timer, Duration>,
}

impl Node {
    /// Opens a replica over its folder: genesis, store and log.
    fn open(dir: &Path, key: SigningKey, time: u64) -> (Self, Vec<Output>) {
        let config =
            Config { dir: dir.to_owned(), store: options(), key: key.clone(), definitions: definitions() };
        let machine = Machine::open(config, &genesis_of_four()).unwrap();
        let identity = Identity { key: key.clone(), cluster: machine.cluster, group: GroupId(0) };
        let disk = Folder::open(&dir.join("log")).unwrap();
        let sealer = Box::new(LogSealer::new(&machine.store).unwrap());
        let (timing, time) = (Timing::default(), Timestamp(time));
        let opened = Driver::open(machine, disk, sealer, identity, timing, NoLog::New, time).unwrap();
        (Self { key, driver: opened.driver, timers: BTreeMap::new() }, opened.outputs)
    }

    fn machine(&mut self) -> &mut Machine {
        self.driver.machine()
    }
}

/// A request of the administrator in place of an endorsed one.
fn signed(mut request: Request, nonce: u64, time: u64) -> Request {
    request.authority = Authority::Signed { signatures: Vec::new() };
    let (cluster, message) = (genesis_of_four().cluster_id(), signature::Message::of(&request));
    let signature = signature::sign(&administrator(), &cluster, &message, time / SECOND, None, nonce);
    request.authority = Authority::Signed { signatures: vec![signature] };
    request
}

struct Cluster {
    nodes: Vec<Option<Node>>,
    dirs: Vec<tempfile::TempDir>,
    mail: VecDeque<(PublicKey, usize, Message)>,
    time: u64,
    /// Since the beginning; it stands still while messages are under way.
    elapsed: Duration,
}

impl Cluster {
    fn new() -> Self {
        let dirs: Vec<_> = (0..REPLICAS).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut cluster =
            Self { nodes: Vec::new(), dirs, mail: VecDeque::new(), time: START, elapsed: Duration::ZERO };
        for replica in 0..REPLICAS {
            let dir = cluster.dirs[replica as usize].path();
            let (node, outputs) = Node::open(dir, key_of(replica), START);
            assert!(outputs.is_empty());
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    fn node(&mut self, place: usize) -> &mut Node {
        self.nodes[place].as_mut().unwrap()
    }

    fn drive(&mut self, place: usize, event: Event) {
        let time = Timestamp(self.time);
        let outputs = self.node(place).driver.handle(event, time).unwrap();
        self.perform(place, outputs);
    }

    fn perform(&mut self, place: usize, outputs: Vec<Output>) {
        for output in outputs {
            let node = self.nodes[place].as_mut().unwrap();
            match output {
                Output::Send(to, message) => {
                    let from = node.key.public();
                    for other in (0..self.nodes.len()).filter(|other| *other != place) {
                        let key = key_of(other as u8).public();
                        if to == To::All || to == To::One(key) {
                            let message = Message::decode(&message.encode()).unwrap();
                            self.mail.push_back((from, other, message));
                        }
                    }
                }
                Output::Start(timer, after) => drop(node.timers.insert(timer, self.elapsed + after)),
                Output::Stop(timer) => drop(node.timers.remove(&timer)),
                Output::StopSteps => node.timers.retain(|timer, _| !matches!(timer, Timer::Step(..))),
                Output::Requests { .. } | Output::Passed(_) => {}
            }
        }
    }

    /// A replica loses power.
    fn stop(&mut self, place: usize) {
        self.nodes[place] = None;
    }

    /// A replica begins again, from its folder alone.
    fn start(&mut self, place: usize) {
        let (node, outputs) = Node::open(self.dirs[place].path(), key_of(place as u8), self.time);
        self.nodes[place] = Some(node);
        self.perform(place, outputs);
    }

    /// A replica reads what another tells of requests.
    fn hear(&mut self, from: PublicKey, to: usize, bundles: &[bytes::Bytes]) {
        let time = Timestamp(self.time);
        let machine = self.node(to).machine();
        for bundle in bundles {
            let heard = Heard::read(from, bundle, &machine.cluster).unwrap();
            machine.hear(heard, time);
        }
        self.drive(to, Event::Work(true));
    }

    /// Delivers everything, and lets timers go off while something is to be decided and no message is under way.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if let Some((from, to, message)) = self.mail.pop_front() {
                match message {
                    _ if self.nodes[to].is_none() => {}
                    Message::Requests(bundles) => self.hear(from, to, &bundles),
                    message => self.drive(to, Event::Received { from, message }),
                }
                continue;
            }
            let timers =
                self.nodes.iter().enumerate().filter_map(|(place, node)| Some((place, node.as_ref()?)));
            let due =
                timers.flat_map(|(place, node)| node.timers.iter().map(move |(t, at)| (*at, place, *t)));
            let Some((at, place, timer)) = due.min() else { return };
            self.elapsed = at;
            self.node(place).timers.remove(&timer);
            self.drive(place, Event::Elapsed(timer));
        }
        panic!("it does not come to rest");
    }

    /// A client asks one replica, which tells the others.
    fn ask(&mut self, place: usize, request: &Request) -> Answer {
        let time = Timestamp(self.time);
        let machine = self.node(place).machine();
        let answer = submit(machine, request.clone());
        let bundles = machine.tell(time);
        for bundle in bundles {
            let message = Message::Requests(vec![bundle.encode().into()]);
            self.perform(place, vec![Output::Send(To::All, message)]);
        }
        self.drive(place, Event::Work(true));
        answer
    }

    fn signed(&mut self, method: Method, target: &str, media: Media, body: &Value, nonce: u64) -> Request {
        self.time += SECOND;
        signed(ask(method, target, media, body, nonce, self.time), nonce, self.time)
    }

    fn create(&mut self, name: &str, nonce: u64) -> Request {
        let body = json!({"metadata": {"name": name}, "data": {"key": name}});
        self.signed(Method::Post, CONFIG_MAPS, Media::Json, &body, nonce)
    }

    /// All that are up have the same chain and state.
    fn agreed(&mut self) -> u64 {
        let of = |node: &mut Node| (node.machine().head(), node.machine().tree.root());
        let all: Vec<_> = self.nodes.iter_mut().flatten().map(of).collect();
        assert!(all.iter().all(|state| *state == all[0]), "{all:?}");
        all[0].0.0.0
    }
}

#[test]
fn four_replicas_agree_on_what_clients_ask_any_of_them() {
    let mut cluster = Cluster::new();
    for place in 0..4 {
        let name = format!("entry-{place}");
        let request = cluster.create(&name, place as u64);
        let answer = cluster.ask(place, &request);
        cluster.settle();
        assert_eq!(outcome(answer).code, 201, "whoever was asked answers, whoever proposed");
        assert_eq!(cluster.agreed(), place as u64 + 1);
    }
    let patch = json!({"data": {"key": "other"}});
    let target = format!("{CONFIG_MAPS}/entry-0");
    let request = cluster.signed(Method::Patch, &target, Media::MergePatch, &patch, 9);
    let answer = cluster.ask(2, &request);
    cluster.settle();
    assert_eq!(outcome(answer).code, 200);
    let request = cluster.signed(Method::Delete, &target, Media::None, &Value::Null, 10);
    let answer = cluster.ask(1, &request);
    cluster.settle();
    assert_eq!(outcome(answer).code, 200);
    assert_eq!(cluster.agreed(), 6);
    // Every block is certified by a quorum of the four, and each store holds it.
    let validators = genesis_of_four().validators;
    for node in cluster.nodes.iter_mut().flatten() {
        let machine = node.machine();
        let blocks = machine.blocks(Height(1), 100).unwrap();
        assert_eq!(blocks.len(), 6);
        for (bytes, certificate) in blocks {
            certificate.verify(&validators, &machine.cluster).unwrap();
            let block = Block::decode(&bytes).unwrap();
            assert_eq!(block.header.id(&machine.cluster), certificate.block);
        }
    }
}

#[test]
fn nothing_is_said_while_nothing_is_to_be_decided() {
    let mut cluster = Cluster::new();
    let request = cluster.create("entry", 1);
    drop(cluster.ask(0, &request));
    cluster.settle();
    assert_eq!(cluster.agreed(), 1);
    for node in cluster.nodes.iter_mut().flatten() {
        let waiting = node.machine().pool.len();
        let quiet = node.timers.is_empty() && node.driver.engine().round().is_none() && waiting == 0;
        assert!(quiet, "{:?} {:?} {waiting}", node.timers, node.driver.engine());
    }
}

#[test]
fn one_replica_may_be_dead_and_catches_up() {
    let mut cluster = Cluster::new();
    let request = cluster.create("first", 1);
    drop(cluster.ask(0, &request));
    cluster.settle();
    // Whoever proposes is the one that dies.
    let proposer = cluster.node(0).machine().proposer();
    let dead = (0..4).find(|place| key_of(*place as u8).public() == proposer).unwrap();
    cluster.stop(dead);
    for number in 0..3 {
        let request = cluster.create(&format!("without-{number}"), 10 + number);
        let answer = cluster.ask((dead + 1) % 4, &request);
        cluster.settle();
        assert_eq!(outcome(answer).code, 201);
    }
    assert_eq!(cluster.agreed(), 4);
    cluster.start(dead);
    for other in (0..4).filter(|other| *other != dead) {
        cluster.drive(other, Event::Connected(key_of(dead as u8).public()));
    }
    cluster.settle();
    assert_eq!(cluster.agreed(), 4);
}

#[test]
fn all_may_lose_power_between_voting_and_deciding() {
    let mut cluster = Cluster::new();
    let request = cluster.create("entry", 1);
    drop(cluster.ask(0, &request));
    // Until somebody has precommitted: the block is locked, and nowhere decided.
    while let Some((from, to, message)) = cluster.mail.pop_front() {
        if let Message::Requests(bundles) = &message {
            cluster.hear(from, to, bundles);
            continue;
        }
        let precommit = matches!(&message, Message::Vote(signed)
            if signed.vote.kind == hypermesh_chain::VoteKind::Precommit && signed.vote.block.is_some());
        if !precommit {
            cluster.drive(to, Event::Received { from, message });
        }
    }
    cluster.mail.clear();
    assert_eq!(cluster.agreed(), 0);
    (0..4).for_each(|place| cluster.stop(place));
    (0..4).for_each(|place| cluster.start(place));
    cluster.settle();
    assert_eq!(cluster.agreed(), 1, "the block that was locked is decided, from logs alone");
}

/// A disk whose flushes fail.
struct Broken(Folder);

impl Disk for Broken {
    fn list(&mut self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn read(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        self.0.read(name, most)
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.create(name, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.append(name, bytes)
    }

    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Err(io::Error::other("I/O error"))
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.0.cut(name, length)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn salt(&mut self) -> io::Result<[u8; 16]> {
        self.0.salt()
    }
}

#[test]
fn a_replica_whose_log_cannot_be_flushed_falls_silent() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis_of_four();
    let proposer = genesis.validators.validators()[0].key;
    let key = (0..REPLICAS).map(key_of).find(|key| key.public() == proposer).unwrap();
    let config =
        Config { dir: dir.path().to_owned(), store: options(), key: key.clone(), definitions: definitions() };
    let machine = Machine::open(config, &genesis).unwrap();
    let identity = Identity { key, cluster: machine.cluster, group: GroupId(0) };
    let disk = Broken(Folder::open(&dir.path().join("log")).unwrap());
    let time = Timestamp(START + SECOND);
    let sealer = Box::new(LogSealer::new(&machine.store).unwrap());
    let mut driver =
        Driver::open(machine, disk, sealer, identity, Timing::default(), NoLog::New, time).unwrap().driver;
    let mut answer = submit(driver.machine(), signed(create("entry", 1, time.0), 1, time.0));
    driver.machine().tell(time);
    let error = driver.handle(Event::Work(true), time).unwrap_err();
    assert_eq!(error.to_string(), "the replica stops: its log failed");
    assert!(matches!(driver.handle(Event::Work(true), time), Err(DriverError::Stopped)));
    assert!(answer.try_recv().is_err(), "nobody was told anything");
    assert_eq!(driver.machine().head().0, Height(0));
}
