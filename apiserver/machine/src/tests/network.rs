//! Several running replicas over a network in memory, which loses, doubles and delays as it is told to.

use super::support::*;
use crate::{Config, Incoming, Others, Replica, Transport, Unavailable};
use crossbeam_channel::Sender;
use hypermesh_bft::{Message, Timing, To};
use hypermesh_chain::request::{Authority, Request};
use hypermesh_chain::{Genesis, PublicKey, SigningKey, Validator, ValidatorSet};
use hypermesh_driver::NoLog;
use hypermesh_pipeline::{Call, Outcome};
use hypermesh_store::Options;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const REPLICAS: u8 = 4;

pub fn key_of(replica: usize) -> SigningKey {
    SigningKey::from_seed(&[replica as u8 + 10; 32])
}

pub fn genesis_of_four() -> Genesis {
    let key = |i| key_of(usize::from(i)).public();
    let validators = (0..REPLICAS).map(|i| Validator { key: key(i), power: 1 }).collect();
    Genesis { validators: ValidatorSet::new(validators).unwrap(), ..genesis() }
}

/// What becomes of messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a thousand, so many are lost.
    pub lost: u64,
    /// So many come twice.
    pub doubled: u64,
    /// So many come after later ones.
    pub late: u64,
    /// Nobody says what it left out.
    pub mute: bool,
    /// Nothing arrives.
    pub down: bool,
}

struct Air {
    ports: BTreeMap<PublicKey, Sender<Incoming>>,
    weather: Weather,
    late: Vec<(PublicKey, PublicKey, Message)>,
    dice: u64,
    /// Whoever sends something comes to an end.
    broken: bool,
    /// How often each replica told of requests.
    told: BTreeMap<PublicKey, usize>,
}

pub struct Network {
    air: Mutex<Air>,
    sent: Condvar,
}

/// A replica's way to the others.
struct Line {
    from: PublicKey,
    network: Arc<Network>,
}

impl Transport for Line {
    fn send(&self, to: To, message: Message) {
        self.network.send(self.from, to, &message);
    }
}

impl Air {
    fn roll(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % 1000
    }

    fn deliver(&self, from: PublicKey, to: PublicKey, message: &Message) {
        if let Some(port) = self.ports.get(&to) {
            let message = Message::decode(&message.encode()).unwrap();
            let _ = port.send(Incoming::Received { from, message, hold: None });
        }
    }

    fn carry(&mut self, from: PublicKey, to: PublicKey, message: &Message) {
        let weather = self.weather;
        let muted = weather.mute && matches!(message, Message::LeftOut { .. });
        if weather.down || muted || self.roll() < weather.lost {
            return;
        }
        if self.roll() < weather.late {
            return self.late.push((from, to, message.clone()));
        }
        self.deliver(from, to, message);
        if self.roll() < weather.doubled {
            self.deliver(from, to, message);
        }
        if !self.late.is_empty() && self.roll() < 500 {
            let place = self.roll() as usize % self.late.len();
            let (from, to, message) = self.late.swap_remove(place);
            self.deliver(from, to, &message);
        }
    }
}

impl Network {
    fn new() -> Arc<Self> {
        let (ports, told) = (BTreeMap::new(), BTreeMap::new());
        let air = Air {
            ports,
            weather: Weather::default(),
            late: Vec::new(),
            dice: 0x9e37_79b9,
            broken: false,
            told,
        };
        Arc::new(Self { air: Mutex::new(air), sent: Condvar::new() })
    }

    fn send(&self, from: PublicKey, to: To, message: &Message) {
        let mut air = self.air.lock();
        assert!(!air.broken, "a fault that the test wants");
        let all: Vec<PublicKey> = air.ports.keys().copied().filter(|key| *key != from).collect();
        for key in all {
            if to == To::All || to == To::One(key) {
                air.carry(from, key, message);
            }
        }
        if matches!(message, Message::Requests(_)) {
            *air.told.entry(from).or_default() += 1;
            self.sent.notify_all();
        }
    }

    pub fn set(&self, weather: Weather) {
        self.air.lock().weather = weather;
    }

    /// Makes the thread of whoever sends something panic.
    pub fn break_senders(&self) {
        self.air.lock().broken = true;
    }

    /// Waits until a replica has told of requests that often since the beginning.
    pub fn wait_until_told(&self, from: PublicKey, times: usize) {
        let mut air = self.air.lock();
        self.sent.wait_while(&mut air, |air| air.told.get(&from).copied().unwrap_or(0) < times);
    }

    /// Says something in a replica's name.
    pub fn forge(&self, from: PublicKey, to: PublicKey, message: &Message) {
        self.air.lock().deliver(from, to, message);
    }
}

pub struct Cluster {
    pub network: Arc<Network>,
    pub replicas: Vec<Option<Replica>>,
    dirs: Vec<tempfile::TempDir>,
    no_log: NoLog,
}

impl Cluster {
    pub fn new() -> Self {
        Self::of((0..REPLICAS).map(|_| tempfile::tempdir().unwrap()).collect(), NoLog::Lost)
    }

    /// Replicas that begin with what is in their folders.
    pub fn of(dirs: Vec<tempfile::TempDir>, no_log: NoLog) -> Self {
        let replicas = dirs.iter().map(|_| None).collect();
        let mut cluster = Self { network: Network::new(), replicas, dirs, no_log };
        (0..usize::from(REPLICAS)).for_each(|place| cluster.start(place));
        cluster
    }

    pub fn start(&mut self, place: usize) {
        self.start_with(place, options());
    }

    pub fn start_with(&mut self, place: usize, store: Options) {
        let (dir, key) = (self.dirs[place].path().to_owned(), key_of(place));
        let (sender, incoming) = crossbeam_channel::unbounded();
        let me = key.public();
        let transport = Box::new(Line { from: me, network: Arc::clone(&self.network) });
        let config = Config { dir, store, key, definitions: definitions() };
        let others = Others { timing: Timing::default(), transport, incoming, no_log: self.no_log };
        {
            let mut air = self.network.air.lock();
            for (other, port) in &air.ports {
                let _ = port.send(Incoming::Connected(me));
                let _ = sender.send(Incoming::Connected(*other));
            }
            air.ports.insert(me, sender);
        }
        self.replicas[place] = Some(Replica::start_among(config, &genesis_of_four(), others).unwrap());
    }

    /// A replica ends. Whoever waits for it at other replicas goes on doing so.
    pub fn stop(&mut self, place: usize) {
        self.network.air.lock().ports.remove(&key_of(place).public());
        self.replicas[place] = None;
    }

    /// All reach each other again.
    pub fn heal(&self) {
        let mut air = self.network.air.lock();
        air.weather = Weather::default();
        for (me, port) in &air.ports {
            for other in air.ports.keys().filter(|other| *other != me) {
                let _ = port.send(Incoming::Connected(*other));
            }
        }
    }

    /// The folder of a replica's log.
    pub fn log_of(&self, place: usize) -> std::path::PathBuf {
        self.dirs[place].path().join(crate::LOG_FOLDER)
    }

    pub fn replica(&self, place: usize) -> &Replica {
        self.replicas[place].as_ref().unwrap()
    }

    /// A request as a replica takes it from a client that does not sign.
    pub fn endorsed(&self, place: usize, mut request: Request) -> Request {
        let replica = self.replica(place);
        let Authority::Endorsed(endorsement) = &mut request.authority else { panic!("it is signed") };
        endorsement.replica = replica.key();
        (endorsement.received, endorsement.nonce) = (replica.request_time(), replica.next_nonce());
        request
    }

    pub fn create(&self, place: usize, name: &str) -> Request {
        self.endorsed(place, create(name, 0, 0))
    }

    pub fn submit(&self, place: usize, request: Request) -> Result<Outcome, Unavailable> {
        let call = Call::decode(&request).unwrap();
        block_on(self.replica(place).submit(request, call))
    }

    /// The code of what a request comes to.
    pub fn ask(&self, place: usize, request: Request) -> u16 {
        self.submit(place, request).unwrap().code
    }

    /// Whether an object is there, as a consistent read at a replica says.
    pub fn has(&self, place: usize, name: &str) -> bool {
        block_on(self.replica(place).barrier()).unwrap();
        let key = hypermesh_chain::ObjectKey::new("/configmaps", "default", name).unwrap();
        self.replica(place).reading().get(&key).unwrap().is_some()
    }

    /// The height that a consistent read at a replica sees.
    pub fn height(&self, place: usize) -> u64 {
        block_on(self.replica(place).barrier()).unwrap();
        self.replica(place).reading().view.head().unwrap().height.0
    }

    /// After a consistent read everywhere, all that are up hold the same block.
    pub fn agreed(&self) -> u64 {
        let up: Vec<usize> =
            (0..self.replicas.len()).filter(|place| self.replicas[*place].is_some()).collect();
        let heights: Vec<u64> = up.iter().map(|place| self.height(*place)).collect();
        let newest = *heights.iter().max().unwrap();
        // The first was asked when the last block of a later write may not have been decided: nobody writes now.
        let heads: Vec<_> = up
            .iter()
            .map(|place| {
                self.height(*place);
                self.replica(*place).reading().view.head().unwrap()
            })
            .collect();
        assert!(heads.iter().all(|head| head.block_id == heads[0].block_id), "{heads:?}");
        newest
    }
}
