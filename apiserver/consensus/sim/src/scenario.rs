//! What happens in a run, drawn from a seed.

use crate::behaviour::Kind;
use crate::random::Random;

/// One second of simulated time, in its unit: microseconds.
pub(crate) const SECOND: u64 = 1_000_000;

/// A replica that lies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liar {
    /// Its place among the replicas.
    pub replica: usize,
    /// What it does.
    pub kind: Kind,
}

/// A fault that is planted in honest replicas, to see that a simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The log is never flushed.
    UnflushedLog,
    /// What a header says of the state is taken at its word.
    IgnoredRoots,
    /// After a crash the replica begins without its log.
    ForgottenLog,
    /// After a crash the replica knows what it has said, and nothing of why: no lock, no other's vote, no block.
    ForgottenLock,
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything else is drawn from it.
    pub seed: u64,
    /// How many replicas there are.
    pub replicas: usize,
    /// Those that lie: at most a third.
    pub liars: Vec<Liar>,
    /// Messages lost, in thousandths.
    pub loss: u64,
    /// Messages that arrive twice, in thousandths.
    pub doubled: u64,
    /// The least and most time that a message takes, in microseconds.
    pub delay: (u64, u64),
    /// Crashes, in parts of a million actions.
    pub crashes: u64,
    /// Times at which all replicas lose power at once.
    pub outages: u64,
    /// How often a link is cut, in microseconds between cuts; 0 for never.
    pub cuts: u64,
    /// Requests of clients.
    pub requests: u64,
    /// How long there is trouble, in microseconds.
    pub trouble: u64,
    /// A fault of all honest replicas.
    pub planted: Option<Planted>,
}

impl Scenario {
    /// What a seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x005c_e4a2_10d5_eed0);
        let replicas = *random.pick(&[4, 4, 4, 4, 4, 7, 1]).unwrap_or(&4);
        let most = (replicas - 1) / 3;
        let count = random.below(most as u64 + 1).max(u64::from(random.chance(700) && most > 0));
        let mut liars: Vec<Liar> = Vec::new();
        while liars.len() < count as usize {
            let replica = random.below(replicas as u64) as usize;
            let kind = *random.pick(&Kind::ALL).unwrap_or(&Kind::Silent);
            if liars.iter().all(|liar| liar.replica != replica) {
                liars.push(Liar { replica, kind });
            }
        }
        let slow = *random.pick(&[2_000, 10_000, 50_000, 200_000]).unwrap_or(&2_000);
        Self {
            seed,
            replicas,
            liars,
            loss: *random.pick(&[0, 0, 20, 100, 300]).unwrap_or(&0),
            doubled: *random.pick(&[0, 20, 100]).unwrap_or(&0),
            delay: (100, slow),
            crashes: *random.pick(&[0, 500, 3_000, 10_000]).unwrap_or(&0),
            outages: *random.pick(&[0, 0, 1, 3]).unwrap_or(&0),
            cuts: *random.pick(&[0, 0, 300_000, 1_000_000]).unwrap_or(&0),
            requests: random.between(5..30),
            trouble: random.between(2..8) * SECOND,
            planted: None,
        }
    }

    /// The same with a fault planted.
    pub fn with(self, planted: Planted) -> Self {
        Self { planted: Some(planted), ..self }
    }
}
