//! Four machines, each with a store of its own, agree on blocks of real requests under the engine of many.
//!
//! Messages arrive in the order in which they were sent; timers go off only when nothing else happens. What a hostile
//! network does is simulated elsewhere, with a smaller machine.

use super::support::*;
use crate::replica::Answer;
use crate::{Config, Machine};
use hypermesh_bft::{Action, Engine, Event, Head, Identity, Message, Timer, Timing, To};
use hypermesh_chain::request::{Media, Method, Request};
use hypermesh_chain::{
    Authority, Block, Canonical, Certificate, Genesis, GroupId, PublicKey, SigningKey, Timestamp, Validator,
    ValidatorSet, signature,
};
use hypermesh_consensus::{Limits, Proposal, StateMachine, Verdict};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    machine: Machine,
    engine: Engine,
    log: Vec<Vec<u8>>,
    /// When they go off.
    timers: BTreeMap<Timer, Duration>,
}

impl Node {
    fn open(dir: &Path, key: SigningKey, log: Vec<Vec<u8>>) -> (Self, Vec<Action>) {
        let config =
            Config { dir: dir.to_owned(), store: options(), key: key.clone(), definitions: definitions() };
        let machine = Machine::open(config, &genesis_of_four()).unwrap();
        let identity = Identity { key: key.clone(), cluster: machine.cluster, group: GroupId(0) };
        let mut engine = Engine::new(identity, head(&machine), Timing::default()).unwrap();
        let actions = engine.recover(&log, false).unwrap();
        (Self { key, machine, engine, log, timers: BTreeMap::new() }, actions)
    }
}

fn head(machine: &Machine) -> Head {
    Head {
        height: machine.head.header.height,
        block: machine.head.id,
        proposer: machine.head.header.proposer,
        validators: machine.validators.clone(),
    }
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
            let (node, actions) =
                Node::open(cluster.dirs[replica as usize].path(), key_of(replica), Vec::new());
            assert!(actions.is_empty());
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    fn node(&mut self, place: usize) -> &mut Node {
        self.nodes[place].as_mut().unwrap()
    }

    fn drive(&mut self, place: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let actions = self.node(place).engine.handle(event).unwrap();
            self.perform(place, actions, &mut events);
        }
    }

    fn perform(&mut self, place: usize, actions: Vec<Action>, events: &mut VecDeque<Event>) {
        let time = Timestamp(self.time);
        for action in actions {
            let node = self.nodes[place].as_mut().unwrap();
            match action {
                Action::Log(entry) => node.log.push(entry),
                Action::Sync | Action::Restart | Action::Evidence(_) => {}
                Action::Send(to, message) => {
                    let from = node.key.public();
                    for other in (0..self.nodes.len()).filter(|other| *other != place) {
                        let key = key_of(other as u8).public();
                        if to == To::All || to == To::One(key) {
                            let message = Message::decode(&message.encode()).unwrap();
                            self.mail.push_back((from, other, message));
                        }
                    }
                }
                Action::Start(timer, after) => drop(node.timers.insert(timer, self.elapsed + after)),
                Action::Stop(timer) => drop(node.timers.remove(&timer)),
                Action::StopSteps => node.timers.retain(|timer, _| !matches!(timer, Timer::Step(..))),
                Action::Prepare => {
                    let block = node.machine.prepare(&Limits::default(), time).unwrap();
                    events.push_back(Event::Prepared(block));
                }
                Action::Judge { block, fresh } => {
                    let proposal = if fresh { Proposal::Fresh(time) } else { Proposal::Known };
                    let verdict = match node.machine.validate(&block, proposal).unwrap() {
                        Verdict::Valid => Ok(()),
                        Verdict::Invalid(why) => Err(why),
                    };
                    let block = block.header.id(&node.machine.cluster);
                    events.push_back(Event::Judged { block, verdict });
                }
                Action::Commit { block, certificate } => {
                    node.machine.commit(&block, &certificate).unwrap();
                    let (head, work) = (head(&node.machine), node.machine.has_work());
                    events.push_back(Event::Committed { head, work });
                }
                Action::Forget(block) => node.machine.abandon(&block),
                Action::Load { from, most, to } => {
                    let stored = (from.0..).map_while(|height| {
                        node.machine.store.block(hypermesh_chain::Height(height)).unwrap()
                    });
                    let pair = |stored: hypermesh_store::Block| {
                        (stored.block.into(), Certificate::decode(&stored.certificate).unwrap())
                    };
                    let blocks = stored.take(most).map(pair).collect();
                    events.push_back(Event::Loaded { to, blocks });
                }
                Action::Requests { .. } => {}
            }
        }
    }

    /// Delivers everything, and lets timers go off while something is to be decided and no message is under way.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if let Some((from, to, message)) = self.mail.pop_front() {
                if self.nodes[to].is_some() {
                    self.drive(to, Event::Received { from, message });
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
        let mut answer = None;
        for other in 0..self.nodes.len() {
            if let Some(node) = &mut self.nodes[other] {
                let waits = submit(&mut node.machine, request.clone());
                if other == place {
                    answer = Some(waits);
                }
            }
        }
        for other in 0..self.nodes.len() {
            if self.nodes[other].is_some() {
                self.drive(other, Event::Work(true));
            }
        }
        answer.unwrap()
    }

    fn signed(&mut self, method: Method, target: &str, media: Media, body: &Value, nonce: u64) -> Request {
        self.time += SECOND;
        let (time, cluster) = (self.time, self.nodes.iter().flatten().next().unwrap().machine.cluster);
        let mut request = ask(method, target, media, body, nonce, time);
        request.authority = Authority::Signed { signatures: Vec::new() };
        let message = signature::Message::of(&request);
        let signature = signature::sign(&administrator(), &cluster, &message, time / SECOND, None, nonce);
        request.authority = Authority::Signed { signatures: vec![signature] };
        request
    }

    fn create(&mut self, name: &str, nonce: u64) -> Request {
        let body = json!({"metadata": {"name": name}, "data": {"key": name}});
        self.signed(Method::Post, CONFIG_MAPS, Media::Json, &body, nonce)
    }

    /// All that are up have the same chain and state.
    fn agreed(&self) -> u64 {
        let heads: Vec<_> = self.nodes.iter().flatten().map(|node| node.machine.head()).collect();
        let roots: BTreeSet<_> = self.nodes.iter().flatten().map(|node| node.machine.tree.root()).collect();
        assert!(heads.iter().all(|head| head == &heads[0]), "{heads:?}");
        assert_eq!(roots.len(), 1);
        heads[0].0.0
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
    for node in cluster.nodes.iter().flatten() {
        for height in 1..=6 {
            let stored = node.machine.store.block(hypermesh_chain::Height(height)).unwrap().unwrap();
            let certificate = Certificate::decode(&stored.certificate).unwrap();
            certificate.verify(&validators, &node.machine.cluster).unwrap();
            let block = Block::decode(&stored.block).unwrap();
            assert_eq!(block.header.id(&node.machine.cluster), certificate.block);
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
    for node in cluster.nodes.iter().flatten() {
        let quiet = node.timers.is_empty() && node.engine.round().is_none() && node.machine.queue.is_empty();
        assert!(quiet, "{:?} {:?} {}", node.timers, node.engine, node.machine.queue.len());
    }
}

#[test]
fn one_replica_may_be_dead_and_catches_up() {
    let mut cluster = Cluster::new();
    let request = cluster.create("first", 1);
    drop(cluster.ask(0, &request));
    cluster.settle();
    // Whoever proposes is the one that dies.
    let proposer = cluster.node(0).machine.head.header.proposer;
    let dead = (0..4).find(|place| key_of(*place as u8).public() == proposer).unwrap();
    let log = cluster.nodes[dead].take().unwrap().log;
    for number in 0..3 {
        let request = cluster.create(&format!("without-{number}"), 10 + number);
        let answer = cluster.ask((dead + 1) % 4, &request);
        cluster.settle();
        assert_eq!(outcome(answer).code, 201);
    }
    assert_eq!(cluster.agreed(), 4);
    let (node, actions) = Node::open(cluster.dirs[dead].path(), key_of(dead as u8), log);
    cluster.nodes[dead] = Some(node);
    let mut events = VecDeque::new();
    cluster.perform(dead, actions, &mut events);
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
        let precommit = matches!(&message, Message::Vote(signed)
            if signed.vote.kind == hypermesh_chain::VoteKind::Precommit && signed.vote.block.is_some());
        if !precommit {
            cluster.drive(to, Event::Received { from, message });
        }
    }
    cluster.mail.clear();
    assert_eq!(cluster.agreed(), 0);
    let logs: Vec<_> = (0..4).map(|place| cluster.nodes[place].take().unwrap().log).collect();
    for (place, log) in logs.into_iter().enumerate() {
        let (node, actions) = Node::open(cluster.dirs[place].path(), key_of(place as u8), log);
        cluster.nodes.insert(place, Some(node));
        cluster.nodes.remove(place + 1);
        cluster.perform(place, actions, &mut VecDeque::new());
    }
    cluster.settle();
    assert_eq!(cluster.agreed(), 1, "the block that was locked is decided, from logs alone");
}
