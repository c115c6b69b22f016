//! What happened in runs, to see that they are not trivial.

use crate::behaviour::Kind;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Everything that is counted beside what liars do ([`Kind::ALL`]), in the order in which it is shown.
    pub const ALL: [&'static str; 27] = [
        "heights",
        "heights decided in a later round",
        "rounds that were entered",
        "blocks that were found invalid",
        "blocks that were caught up with",
        "writes",
        "writes on a replica's word",
        "reads",
        "messages that were lost",
        "messages that came twice",
        "messages that do not decode",
        "links that were cut in one direction",
        "links that were cut in both",
        "partitions in one direction",
        "partitions in both",
        "crashes",
        "crashes while flushing",
        "crashes while keeping a block",
        "frames that were torn",
        "logs that were lost",
        "power failures of all",
        "stalls of a disk",
        "flushes that failed",
        "halts on a full disk",
        "clocks that were set anew",
        "clocks that were wrong",
        "contradictions that were proven",
    ];

    /// Counts something.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Counts something that happened so often.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// How often something happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = Self::ALL.into_iter().chain(Kind::ALL.map(Kind::name));
        all.filter(|what| self.of(what) == 0).collect()
    }
}

impl AddAssign<&Self> for Coverage {
    fn add_assign(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in Self::ALL {
            writeln!(f, "{:>10} {what}", self.of(what))?;
        }
        write!(f, "           runs with a replica that is")?;
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma} {} {}", kind.name(), self.of(kind.name()))?;
        }
        Ok(())
    }
}
