//! The world: what happens next, until nothing is left to happen.

mod clients;
mod network;
mod perform;

use crate::disk::VirtualDisk;
use crate::invariant::{self, Invariant, Observation};
use crate::ledger::Ledger;
use crate::random::Random;
use crate::replica::Replica;
use crate::scenario::{Planted, SECOND, Scenario};
use clients::Client;
use hypermesh_bft::{Event, Identity, Timer};
use hypermesh_chain::{ClusterId, GroupId, Hash, PublicKey, SigningKey, Validator, ValidatorSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// After the troubles, everybody must be answered within this time.
const PATIENCE: u64 = 120 * SECOND;
/// So long after the last answer nothing is said any more, and for as long it is listened.
const SILENCE: u64 = 20 * SECOND;
/// More happenings than any sound run has.
const MOST_HAPPENINGS: u64 = 3_000_000;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Happening {
    /// A message arrives.
    Arrival { from: usize, to: usize, bytes: Rc<[u8]> },
    /// A timer goes off, if it is still the one that was started.
    Timer { replica: usize, timer: Timer, number: u64 },
    /// A client makes a request, or comes again with it.
    Client(usize),
    /// A replica tells the others of requests that wait at it.
    Gossip(usize),
    /// A replica that is down comes up.
    Up(usize),
    /// All replicas lose power.
    Outage,
    /// A link is cut, for a time, in one direction or both.
    Cut,
    /// A link works again.
    Mended { from: usize, to: usize },
    /// All troubles end.
    Peace,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The height that was reached.
    pub height: u64,
    /// Happenings.
    pub happenings: u64,
    /// Crashes.
    pub crashes: u64,
    /// Proof of contradictions that honest replicas have.
    pub evidence: u64,
    /// Simulated time, in microseconds.
    pub time: u64,
    /// A digest of all that happened: two runs of one seed have the same.
    pub trace: Hash,
}

/// What must hold did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, after {time} µs: {invariant}: {detail}")]
pub struct Failure {
    /// The seed that leads to it.
    pub seed: u64,
    /// When, in simulated microseconds.
    pub time: u64,
    /// What did not hold.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
}

/// Replicas, clients, and everything between them.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    random: Random,
    now: u64,
    /// By time, and by order of coming to be.
    queue: BTreeMap<(u64, u64), Happening>,
    number: u64,
    happenings: u64,
    crashes: u64,
    evidence: u64,
    peace: bool,
    replicas: Vec<Replica>,
    places: BTreeMap<PublicKey, usize>,
    /// Links that do not work: from, to.
    cut: BTreeSet<(usize, usize)>,
    clients: Vec<Client>,
    invariants: Vec<Box<dyn Invariant>>,
    trace: Hash,
}

impl World {
    /// A world in which a scenario is about to happen.
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let cluster = ClusterId(Hash::of(&[b"simulated cluster"]));
        let keys: Vec<SigningKey> =
            (0..scenario.replicas).map(|place| SigningKey::from_seed(&[place as u8 + 1; 32])).collect();
        let validators: Vec<Validator> =
            keys.iter().map(|key| Validator { key: key.public(), power: 1 }).collect();
        // Distinct keys, each with the power of one, are a set.
        let validators = ValidatorSet::new(validators).unwrap_or_default();
        let places = keys.iter().enumerate().map(|(place, key)| (key.public(), place)).collect();
        let replicas = keys.into_iter().enumerate().map(|(place, key)| {
            let liar = scenario.liars.iter().find(|liar| liar.replica == place);
            let planted = scenario.planted.filter(|_| liar.is_none());
            let mut ledger = Ledger::new(cluster, key.public(), validators.clone());
            ledger.ignores_roots = planted == Some(Planted::IgnoredRoots);
            Replica {
                identity: Identity { key, cluster, group: GroupId(0) },
                disk: VirtualDisk::default(),
                ledger,
                life: None,
                skew: random.between(0..4_000_000) as i64 - 2_000_000,
                behaviour: liar.map(|liar| liar.kind.start()),
                timers: BTreeMap::new(),
                planted,
            }
        });
        let replicas = replicas.collect();
        let clients = (0..scenario.requests).map(Client::new).collect();
        Self {
            scenario,
            random,
            now: 0,
            queue: BTreeMap::new(),
            number: 0,
            happenings: 0,
            crashes: 0,
            evidence: 0,
            peace: false,
            replicas,
            places,
            cut: BTreeSet::new(),
            clients,
            invariants: invariant::all(),
            trace: Hash::default(),
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// The first thing that must hold and did not.
    pub fn run(mut self) -> Result<Report, Failure> {
        self.begin()?;
        while let Some(((time, _), happening)) = self.queue.pop_first() {
            self.now = time;
            self.happenings += 1;
            if self.is_over() || self.happenings > MOST_HAPPENINGS {
                break;
            }
            self.happen(happening)?;
        }
        self.fall_silent()?;
        let honest = || self.replicas.iter().filter(|replica| replica.is_honest());
        let heights: Vec<u64> = honest().map(|replica| replica.ledger.head().height.0).collect();
        let unanswered = self.clients.iter().filter(|client| !client.is_answered()).count();
        self.observe(&Observation::Ended { unanswered, heights: &heights })?;
        Ok(Report {
            height: heights.into_iter().max().unwrap_or(0),
            happenings: self.happenings,
            crashes: self.crashes,
            evidence: self.evidence,
            time: self.now,
            trace: self.trace,
        })
    }

    /// Honest replicas that have nothing to decide say nothing.
    fn fall_silent(&mut self) -> Result<(), Failure> {
        let answered = self.clients.iter().all(Client::is_answered);
        if !self.scenario.liars.is_empty() || !answered {
            return Ok(());
        }
        let (begin, mut said) = (self.now, 0);
        while let Some(((time, _), happening)) = self.queue.pop_first() {
            if time > begin + 2 * SILENCE {
                break;
            }
            self.now = time;
            said += u64::from(time > begin + SILENCE && matches!(happening, Happening::Arrival { .. }));
            self.happen(happening)?;
        }
        if said == 0 {
            Ok(())
        } else {
            Err(self.failure("silence", format!("{said} messages about nothing")))
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        for place in 0..self.replicas.len() {
            self.up(place)?;
            self.later(SECOND / 4, Happening::Gossip(place));
        }
        for client in 0..self.clients.len() {
            let after = self.random.below(self.scenario.trouble);
            self.later(after, Happening::Client(client));
        }
        for _ in 0..self.scenario.outages {
            let after = self.random.below(self.scenario.trouble);
            self.later(after, Happening::Outage);
        }
        if self.scenario.cuts > 0 {
            self.later(self.scenario.cuts, Happening::Cut);
        }
        self.later(self.scenario.trouble, Happening::Peace);
        Ok(())
    }

    /// Whether nobody waits for anything any more, or has waited too long.
    fn is_over(&self) -> bool {
        let deadline = self.scenario.trouble + PATIENCE;
        let height = |replica: &Replica| replica.ledger.head().height;
        let mut honest = self.replicas.iter().filter(|replica| replica.is_honest()).map(height);
        let first = honest.next();
        let level = honest.all(|height| Some(height) == first);
        let answered = self.clients.iter().all(Client::is_answered);
        self.now > deadline || (self.peace && answered && level)
    }

    fn later(&mut self, after: u64, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + after, self.number), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Arrival { from, to, bytes } => self.arrive(from, to, &bytes),
            Happening::Timer { replica, timer, number } => {
                let runs = self.replicas.get(replica).and_then(|replica| replica.timers.get(&timer));
                if runs != Some(&number) {
                    return Ok(());
                }
                if let Some(replica) = self.replicas.get_mut(replica) {
                    replica.timers.remove(&timer);
                }
                self.drive(replica, Event::Elapsed(timer))
            }
            Happening::Client(client) => self.ask(client),
            Happening::Gossip(replica) => {
                self.gossip(replica);
                Ok(())
            }
            Happening::Up(replica) => self.up(replica),
            Happening::Outage => {
                self.outage();
                Ok(())
            }
            Happening::Cut => {
                self.cut_link();
                Ok(())
            }
            Happening::Mended { from, to } => {
                self.cut.remove(&(from, to));
                self.meet(from, to)
            }
            Happening::Peace => self.end_troubles(),
        }
    }

    fn end_troubles(&mut self) -> Result<(), Failure> {
        self.peace = true;
        self.cut.clear();
        for place in 0..self.replicas.len() {
            self.up(place)?;
        }
        let pairs = (0..self.replicas.len()).flat_map(|a| (0..self.replicas.len()).map(move |b| (a, b)));
        let pairs: Vec<_> = pairs.filter(|(a, b)| a < b).collect();
        pairs.into_iter().try_for_each(|(a, b)| self.meet(a, b))
    }

    /// Two replicas can reach each other again.
    fn meet(&mut self, a: usize, b: usize) -> Result<(), Failure> {
        for (one, other) in [(a, b), (b, a)] {
            let key = self.replicas.get(other).map(|replica| replica.identity.key.public());
            if let Some(key) = key {
                self.drive(one, Event::Connected(key))?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Failure> {
        let (seed, time) = (self.scenario.seed, self.now);
        for invariant in &mut self.invariants {
            let name = invariant.name();
            let failure = |detail| Failure { seed, time, invariant: name, detail };
            invariant.observe(observation).map_err(failure)?;
        }
        Ok(())
    }

    fn failure(&self, invariant: &'static str, detail: String) -> Failure {
        Failure { seed: self.scenario.seed, time: self.now, invariant, detail }
    }

    /// Everything that was said and kept is part of the run's digest.
    fn record(&mut self, what: &[u8]) {
        let time = self.now.to_le_bytes();
        self.trace = Hash::of(&[&self.trace.0, &time, what]);
    }

    /// Hands an event to a replica, and does what that leads to. A replica that is down sees nothing.
    fn drive(&mut self, place: usize, event: Event) -> Result<(), Failure> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
            let Some(life) = &mut replica.life else { return Ok(()) };
            match life.engine.handle(event) {
                Ok(actions) => self.perform(place, actions, &mut events)?,
                Err(error) => return self.stopped(place, &error.to_string()),
            }
        }
        Ok(())
    }

    /// An honest replica that stops is a fault; a liar may.
    fn stopped(&mut self, place: usize, why: &str) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        replica.stop();
        if replica.is_honest() {
            return Err(self.failure("nobody stops", format!("replica {place}: {why}")));
        }
        Ok(())
    }
}
