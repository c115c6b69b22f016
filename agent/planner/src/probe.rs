//! When containers are asked how they do, and what their answers mean together.

use crate::backoff::after;
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::probe::Probe;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Whether it has started; until then nothing else is asked.
    Startup,
    /// Whether it is alive.
    Liveness,
    /// Whether it may be sent traffic.
    Readiness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The word that people are told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// What a container has of this kind.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// The answers to one probe of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// An answer is awaited.
    #[serde(skip)]
    pub asking: bool,
    /// When the last one came.
    pub last: Option<Timestamp>,
    /// How many came in a row that were the same.
    pub row: u32,
    /// Whether those were successes.
    pub good: bool,
    /// What they mean: set by the first row that reached its threshold.
    pub verdict: Option<bool>,
    /// What the last failure said.
    pub message: String,
}

impl Answers {
    /// Takes an answer in; true when the verdict changed by it.
    pub fn take(&mut self, probe: &Probe, good: bool, message: &str, now: Timestamp) -> bool {
        self.asking = false;
        self.last = Some(now);
        self.row = if self.row > 0 && self.good == good { self.row.saturating_add(1) } else { 1 };
        self.good = good;
        if !good {
            message.clone_into(&mut self.message);
        }
        let threshold = if good { probe.success_threshold } else { probe.failure_threshold };
        if self.row < u32::try_from(threshold).unwrap_or(1) || self.verdict == Some(good) {
            return false;
        }
        self.verdict = Some(good);
        true
    }

    /// When it is asked next; none while an answer is awaited.
    #[must_use]
    pub fn due(&self, probe: &Probe, started: Timestamp) -> Option<Timestamp> {
        if self.asking {
            return None;
        }
        Some(match self.last {
            None => after(started, seconds(probe.initial_delay_seconds)),
            Some(last) => after(last, seconds(probe.period_seconds.max(1))),
        })
    }
}

/// How long an answer may take.
#[must_use]
pub fn timeout(probe: &Probe) -> Duration {
    seconds(probe.timeout_seconds.max(1))
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(success: i32, failure: i32) -> Probe {
        serde_json::from_value(serde_json::json!({
            "tcpSocket": {"port": 80}, "initialDelaySeconds": 5, "periodSeconds": 2,
            "successThreshold": success, "failureThreshold": failure,
        }))
        .unwrap()
    }

    #[test]
    fn thresholds_count_answers_in_a_row() {
        let (probe, now) = (probe(2, 3), Timestamp::UNIX_EPOCH);
        let mut answers = Answers::default();
        let mut take = |good| {
            answers.take(&probe, good, "no", now);
            answers.verdict
        };
        let verdicts: Vec<_> =
            [true, false, true, true, false, false, true, false, false, false].map(&mut take).into();
        let (no, yes) = (Some(false), Some(true));
        assert_eq!(verdicts, [None, None, None, yes, yes, yes, yes, yes, yes, no]);
    }

    #[test]
    fn it_is_asked_after_the_delay_and_then_each_period() {
        let (probe, start) = (probe(1, 1), Timestamp::UNIX_EPOCH);
        let mut answers = Answers::default();
        let first = answers.due(&probe, start).unwrap();
        assert_eq!(first, after(start, Duration::from_secs(5)));
        answers.asking = true;
        assert_eq!(answers.due(&probe, start), None);
        answers.take(&probe, true, "", first);
        assert_eq!(answers.due(&probe, start), Some(after(first, Duration::from_secs(2))));
    }
}
