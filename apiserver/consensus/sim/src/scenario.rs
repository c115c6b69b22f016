//! What happens in a run, drawn from a seed.

use crate::behaviour::Kind;
use crate::random::Random;

/// One second of simulated time, in its unit: microseconds.
pub(crate) const SECOND: u64 = 1_000_000;

/// A replica that lies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liar {
    /// Its place among the replicas; the first proposer is at 0.
    pub replica: usize,
    /// What it does.
    pub kind: Kind,
}

/// A fault that is planted in honest replicas, to see that a simulation finds it.
///
/// These are faults of what stands around engine and log; those inside of them are planted by
/// `hypermesh_chain::planted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The log is never flushed.
    UnflushedLog,
    /// What a header says of the state is taken at its word.
    IgnoredRoots,
    /// Whatever a block holds is executed, by whatever right it claims to be there.
    IgnoredAuthority,
    /// A block is taken whatever time it is dated at.
    UncheckedTime,
    /// A client that reads is told what is here, with no look at what others may have decided.
    LocalReads,
    /// After a crash the replica begins without its log.
    ForgottenLog,
    /// After a crash the replica knows what it has said, and nothing of why: no lock, no other's vote, no block.
    ForgottenLock,
}

/// How disks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disks {
    /// The least and most time that a flush takes, in microseconds.
    pub flush: (u64, u64),
    /// Flushes that stall, in thousandths.
    pub stalls: u64,
    /// How long a stall may take, in microseconds.
    pub stall: u64,
    /// Flushes that fail, in parts of a million.
    pub broken: u64,
    /// How often some disk has no room for a while.
    pub full: u64,
}

/// A crash at a chosen action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// The replica's place.
    pub replica: usize,
    /// Before which of its actions, from 0; where that is a flush, in the middle of it.
    pub action: u64,
    /// Whether all others lose power at the same moment.
    pub all: bool,
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything else is drawn from it.
    pub seed: u64,
    /// How many replicas there are.
    pub replicas: usize,
    /// Those that lie. With the one whose clock is wrong, or the one that loses its log, they are at most a third.
    pub liars: Vec<Liar>,
    /// Messages lost, in thousandths.
    pub loss: u64,
    /// Messages that arrive twice, in thousandths.
    pub doubled: u64,
    /// The least and most time that a message takes, in microseconds.
    pub delay: (u64, u64),
    /// A replica to which everything takes ten times as long.
    pub far: Option<usize>,
    /// Crashes, in parts of a million actions.
    pub crashes: u64,
    /// A crash at a chosen action.
    pub crash_at: Option<CrashAt>,
    /// Times at which all replicas lose power at once.
    pub outages: u64,
    /// How often a link is cut, in microseconds between cuts; 0 for never.
    pub cuts: u64,
    /// How often the replicas are parted into two groups, in one direction or both.
    pub splits: u64,
    /// How disks are.
    pub disks: Disks,
    /// How far a sound clock may be off, in microseconds.
    pub skew: u64,
    /// How often a sound clock is set anew, within those bounds.
    pub jumps: u64,
    /// A replica whose clock is off by more than anybody accepts, and by how much, in microseconds.
    pub wrong_clock: Option<(usize, i64)>,
    /// A replica that finds an empty disk in place of its log after every crash, and knows it.
    pub lost_log: Option<usize>,
    /// Clients; each does one thing after another.
    pub clients: u64,
    /// What all clients do together.
    pub requests: u64,
    /// How long a client waits before it does something else, in microseconds at most.
    pub pause: u64,
    /// How long there is trouble, in microseconds.
    pub trouble: u64,
    /// A fault of all honest replicas.
    pub planted: Option<Planted>,
}

/// A trouble that a scenario can be had without: its name, and what takes it away.
type Part = (&'static str, fn(&mut Scenario));

impl Scenario {
    /// All troubles by name, the largest first: see [`Scenario::without`].
    const PARTS: [Part; 17] = [
        ("liars", |scenario| scenario.liars.clear()),
        ("crashes", |scenario| scenario.crashes = 0),
        ("outages", |scenario| scenario.outages = 0),
        ("splits", |scenario| scenario.splits = 0),
        ("cuts", |scenario| scenario.cuts = 0),
        ("loss", |scenario| scenario.loss = 0),
        ("doubled", |scenario| scenario.doubled = 0),
        ("delay", |scenario| scenario.delay = (100, 2_000)),
        ("far", |scenario| scenario.far = None),
        ("stalls", |scenario| scenario.disks.stalls = 0),
        ("broken", |scenario| scenario.disks.broken = 0),
        ("full", |scenario| scenario.disks.full = 0),
        ("flush", |scenario| scenario.disks.flush = (0, 1)),
        ("jumps", |scenario| scenario.jumps = 0),
        ("wrong-clock", |scenario| scenario.wrong_clock = None),
        ("lost-log", |scenario| scenario.lost_log = None),
        ("skew", |scenario| scenario.skew = 0),
    ];

    /// What a seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x005c_e4a2_10d5_eed0);
        let replicas = random.one_of([4, 4, 4, 4, 4, 7, 1]);
        let most = (replicas - 1) / 3;
        let liars = liars(&mut random, seed, replicas, most);
        let wrong = random.below(replicas as u64) as usize;
        let by = random.between(20 * SECOND..3600 * SECOND) as i64;
        let (one_more, which) = (liars.len() < most, random.below(3));
        let by = if random.chance(500) { by } else { -by };
        let wrong_clock = (one_more && which == 0).then_some((wrong, by));
        let lost_log = (one_more && which == 1).then_some(wrong);
        let disks = Disks {
            flush: random.one_of([(20, 200), (20, 200), (500, 5_000), (5_000, 40_000)]),
            stalls: random.one_of([0, 0, 10, 50]),
            stall: random.one_of([300_000, 2 * SECOND]),
            broken: random.one_of([0, 0, 20_000]),
            full: random.one_of([0, 0, 0, 2]),
        };
        let far = random.chance(150).then(|| random.below(replicas as u64) as usize);
        let trouble = random.between(2..8) * SECOND;
        Self {
            seed,
            replicas,
            liars,
            loss: random.one_of([0, 0, 20, 100, 300]),
            doubled: random.one_of([0, 20, 100]),
            delay: (100, random.one_of([2_000, 10_000, 50_000, 200_000])),
            far,
            crashes: random.one_of([0, 500, 3_000, 10_000]),
            crash_at: None,
            outages: random.one_of([0, 0, 1, 3]),
            cuts: random.one_of([0, 0, 300_000, SECOND]),
            splits: random.one_of([0, 0, 1, 3]),
            disks,
            skew: random.one_of([0, 2 * SECOND, 2 * SECOND]),
            jumps: random.one_of([0, 0, 3]),
            wrong_clock,
            lost_log,
            clients: random.between(2..6),
            requests: random.between(8..30),
            pause: random.one_of([SECOND / 10, SECOND]),
            trouble,
            planted: None,
        }
    }

    /// Nothing goes wrong: four honest replicas near each other, and few requests.
    pub fn calm() -> Self {
        Self {
            seed: 0,
            replicas: 4,
            liars: Vec::new(),
            loss: 0,
            doubled: 0,
            delay: (100, 2_000),
            far: None,
            crashes: 0,
            crash_at: None,
            outages: 0,
            cuts: 0,
            splits: 0,
            disks: Disks { flush: (20, 200), stalls: 0, stall: 0, broken: 0, full: 0 },
            skew: 0,
            jumps: 0,
            wrong_clock: None,
            lost_log: None,
            clients: 2,
            requests: 4,
            pause: SECOND / 10,
            trouble: SECOND,
            planted: None,
        }
    }

    /// The same with a fault planted.
    pub fn with(self, planted: Planted) -> Self {
        Self { planted: Some(planted), ..self }
    }

    /// Names of all troubles.
    pub fn parts() -> impl Iterator<Item = &'static str> {
        Self::PARTS.iter().map(|(name, _)| *name)
    }

    /// The same without a trouble; `None` if there is none of this name.
    pub fn without(mut self, part: &str) -> Option<Self> {
        let (_, take) = Self::PARTS.iter().find(|(name, _)| *name == part)?;
        take(&mut self);
        Some(self)
    }
}

/// Who lies: seeds go through all kinds in turn, so that none is left out by chance.
fn liars(random: &mut Random, seed: u64, replicas: usize, most: usize) -> Vec<Liar> {
    let count = random.below(most as u64 + 1).max(u64::from(random.chance(700) && most > 0));
    let mut liars: Vec<Liar> = Vec::new();
    while liars.len() < count as usize {
        // The first proposer can do the most harm.
        let replica = if random.chance(300) { 0 } else { random.below(replicas as u64) as usize };
        let drawn = random.below(Kind::ALL.len() as u64) as usize;
        let place = if liars.is_empty() { seed as usize % Kind::ALL.len() } else { drawn };
        let kind = Kind::ALL.get(place).copied().unwrap_or(Kind::Silent);
        if liars.iter().all(|liar| liar.replica != replica) {
            liars.push(Liar { replica, kind });
        }
    }
    liars
}
