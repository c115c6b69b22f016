//! The world: what happens next, until nothing is left to happen.

mod clients;
mod network;
mod perform;
mod power;
mod tell;

use crate::coverage::Coverage;
use crate::disk::VirtualDisk;
use crate::invariant::{self, Invariant, Observation, Setting};
use crate::ledger::Ledger;
use crate::random::Random;
use crate::replica::{Incoming, Replica};
use crate::scenario::{SECOND, Scenario};
use clients::Client;
use hypermesh_bft::{Event, Identity, Timer};
use hypermesh_chain::{ClusterId, GroupId, Hash, PublicKey, SigningKey, Validator, ValidatorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Once the troubles are over, nobody waits for an answer longer than this, and no honest replica is behind for longer.
const PATIENCE: u64 = 20 * SECOND;
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
    /// A disk has done what it was asked for, if its replica is still in the life that asked.
    Disk { replica: usize, number: u64 },
    /// A client does something, or comes again with it.
    Client { client: usize, attempt: u64 },
    /// A replica tells the others of requests that wait at it.
    Gossip(usize),
    /// A replica that is down comes up.
    Up(usize),
    /// All replicas lose power.
    Outage,
    /// A link is cut, for a time, in one direction or both.
    Cut,
    /// The replicas are parted into two groups, for a time, in one direction or both.
    Split,
    /// A link works again.
    Mended { from: usize, to: usize },
    /// Some disk has no room.
    Full,
    /// It has room again.
    Room(usize),
    /// Some clock is set anew.
    Jump,
    /// All troubles end.
    Peace,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The height that was reached.
    pub height: u64,
    /// Happenings.
    pub happenings: u64,
    /// Simulated time, in microseconds.
    pub time: u64,
    /// The longest that a client waited for an answer after the troubles, in microseconds.
    pub longest: u64,
    /// The most heights that were decided while one request waited at an honest replica.
    pub waited: u64,
    /// The most actions that a replica has begun.
    pub actions: u64,
    /// What happened, and how often.
    pub coverage: Coverage,
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
    peace: bool,
    replicas: Vec<Replica>,
    /// How often each replica went down.
    lives: Vec<u64>,
    places: BTreeMap<PublicKey, usize>,
    /// Links that do not work: from, to.
    cut: BTreeSet<(usize, usize)>,
    clients: Vec<Client>,
    /// Operations that clients have begun.
    begun: u64,
    /// The height at which an honest replica first had a request.
    issued: BTreeMap<Hash, u64>,
    waited: u64,
    /// The longest that a client waited after the troubles.
    longest: u64,
    /// When a client was answered last.
    answered: u64,
    /// The highest height that some replica keeps.
    height: u64,
    invariants: Vec<Box<dyn Invariant>>,
    coverage: Coverage,
    traced: bool,
    trace: Hash,
}

impl World {
    /// A world in which a scenario is about to happen.
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let cluster = ClusterId(Hash::of(&[b"simulated cluster"]));
        let mut keys: Vec<SigningKey> =
            (0..scenario.replicas).map(|place| SigningKey::from_seed(&[place as u8 + 1; 32])).collect();
        // As validators stand in their set: the first of them proposes first.
        keys.sort_by_key(SigningKey::public);
        let validators: Vec<Validator> =
            keys.iter().map(|key| Validator { key: key.public(), power: 1 }).collect();
        // Distinct keys, each with the power of one, are a set.
        let validators = ValidatorSet::new(validators).unwrap_or_default();
        let places = keys.iter().enumerate().map(|(place, key)| (key.public(), place)).collect();
        let replicas: Vec<Replica> = keys
            .into_iter()
            .enumerate()
            .map(|(place, key)| replica(&scenario, place, key, cluster, &validators, &mut random))
            .collect();
        let key_of = |replica: &Replica| replica.identity.key.public();
        let setting = Setting {
            cluster,
            validators,
            keys: replicas.iter().map(key_of).collect(),
            liars: replicas.iter().filter(|replica| !replica.is_honest()).map(key_of).collect(),
            skew: scenario.skew,
            wrong_clock: scenario.wrong_clock.and_then(|(place, _)| replicas.get(place)).map(key_of),
        };
        let mut coverage = Coverage::default();
        scenario.liars.iter().for_each(|liar| coverage.count(liar.kind.name()));
        coverage.add("clocks that were wrong", u64::from(scenario.wrong_clock.is_some()));
        let clients = clients::all(&scenario);
        let lives = vec![0; replicas.len()];
        Self {
            scenario,
            random,
            now: 0,
            queue: BTreeMap::new(),
            number: 0,
            happenings: 0,
            peace: false,
            replicas,
            lives,
            places,
            cut: BTreeSet::new(),
            clients,
            begun: 0,
            issued: BTreeMap::new(),
            waited: 0,
            longest: 0,
            answered: 0,
            height: 0,
            invariants: invariant::all(&setting),
            coverage,
            traced: false,
            trace: Hash::default(),
        }
    }

    /// The same, told on the standard output, a line for everything that happens.
    pub fn traced(self) -> Self {
        Self { traced: true, ..self }
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
        let heights: Vec<u64> = honest().map(|replica| replica.ledger.height()).collect();
        let unanswered = self.clients.iter().map(Client::unanswered).sum();
        self.observe(&Observation::Ended { unanswered, heights: &heights })?;
        Ok(Report {
            height: heights.into_iter().max().unwrap_or(0),
            happenings: self.happenings,
            time: self.now,
            longest: self.longest,
            waited: self.waited,
            actions: self.replicas.iter().map(|replica| replica.actions).max().unwrap_or(0),
            coverage: self.coverage,
            trace: self.trace,
        })
    }

    /// Honest replicas that have nothing to decide say nothing.
    fn fall_silent(&mut self) -> Result<(), Failure> {
        if !self.scenario.liars.is_empty() || !self.is_answered() {
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
            let after = self.random.below(self.scenario.pause);
            self.later(after, Happening::Client { client, attempt: 0 });
        }
        let Scenario { outages, splits, jumps, trouble, .. } = self.scenario;
        let often = [
            (outages, Happening::Outage),
            (splits, Happening::Split),
            (self.scenario.disks.full, Happening::Full),
            (jumps, Happening::Jump),
        ];
        for (times, happening) in often {
            for _ in 0..times {
                let after = self.random.below(trouble);
                self.later(after, happening.clone());
            }
        }
        if self.scenario.cuts > 0 {
            self.later(self.scenario.cuts, Happening::Cut);
        }
        self.later(trouble, Happening::Peace);
        Ok(())
    }

    fn is_answered(&self) -> bool {
        self.clients.iter().all(|client| client.unanswered() == 0)
    }

    /// Whether nobody waits for anything any more, or has waited too long.
    fn is_over(&self) -> bool {
        if !self.peace {
            return false;
        }
        let mut honest =
            self.replicas.iter().filter(|replica| replica.is_honest()).map(|replica| replica.ledger.height());
        let first = honest.next();
        let level = honest.all(|height| Some(height) == first);
        let since = self.clients.iter().filter_map(Client::since).min();
        let since = since.or((!level).then_some(self.answered)).unwrap_or(self.now);
        (level && self.is_answered()) || self.waited_since(since) > PATIENCE
    }

    /// How long somebody has waited since then, without what the troubles took of it.
    fn waited_since(&self, since: u64) -> u64 {
        self.now.saturating_sub(since.max(self.scenario.trouble))
    }

    fn later(&mut self, after: u64, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + after, self.number), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Arrival { from, to, bytes } => self.arrive(from, to, &bytes),
            Happening::Timer { replica, timer, number } => {
                self.drive(replica, Incoming::Timer(timer, number))
            }
            Happening::Disk { replica, number } => self.disk_done(replica, number),
            Happening::Client { client, attempt } => self.act_as(client, attempt),
            Happening::Gossip(replica) => self.gossip(replica),
            Happening::Up(replica) => self.up(replica),
            Happening::Outage => self.outage(),
            Happening::Cut => {
                self.cut_link();
                Ok(())
            }
            Happening::Split => {
                self.split();
                Ok(())
            }
            Happening::Mended { from, to } => {
                if self.cut.remove(&(from, to)) {
                    self.meet(from, to)
                } else {
                    Ok(())
                }
            }
            Happening::Full => {
                self.fill_disk();
                Ok(())
            }
            Happening::Room(replica) => self.make_room(replica),
            Happening::Jump => {
                self.set_clock();
                Ok(())
            }
            Happening::Peace => self.end_troubles(),
        }
    }

    fn end_troubles(&mut self) -> Result<(), Failure> {
        self.tell(|| "the troubles are over".to_owned());
        self.peace = true;
        self.cut.clear();
        for place in 0..self.replicas.len() {
            self.make_room(place)?;
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
                self.drive(one, Incoming::Event(Event::Connected(key)))?;
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
}

fn replica(
    scenario: &Scenario,
    place: usize,
    key: SigningKey,
    cluster: ClusterId,
    validators: &ValidatorSet,
    random: &mut Random,
) -> Replica {
    let liar = scenario.liars.iter().find(|liar| liar.replica == place);
    let planted = scenario.planted.filter(|_| liar.is_none());
    let ledger = Ledger::new(cluster, key.public(), validators.clone(), planted);
    let skew = random.below(2 * scenario.skew + 1) as i64 - scenario.skew as i64;
    let wrong = scenario.wrong_clock.filter(|(wrong, _)| *wrong == place).map(|(_, by)| by);
    Replica {
        identity: Identity { key, cluster, group: GroupId(0) },
        disk: VirtualDisk::default(),
        ledger,
        life: None,
        skew: wrong.unwrap_or(skew),
        behaviour: liar.map(|liar| liar.kind.start()),
        planted,
        loses_log: scenario.lost_log == Some(place),
        began: false,
        actions: 0,
        barriers: 0,
    }
}
