//! Which Events go now, and when to look again.

use super::BATCH;
use super::dereference::Aged;
use super::validate::Valid;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::time::Duration;

/// How soon the rest is looked at when more than a batch is due.
const SOON: Duration = Duration::from_millis(200);

/// What is done about the Events of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Those that go.
    pub delete: Vec<Aged>,
    /// When to look again.
    pub again: Option<Duration>,
    /// For how long they are kept.
    pub retention: Duration,
}

pub(super) fn build(valid: Valid, grain: Duration) -> Plan {
    let Valid { retention, observed, leaving } = valid;
    if leaving {
        return Plan { delete: Vec::new(), again: None, retention };
    }
    let now = observed.now;
    let mut delete = observed.oldest;
    // Ordered by age: what is not due yet is the rest.
    let rest = delete.split_off(delete.partition_point(|aged| due(aged, retention) <= now).min(BATCH));
    let again = match rest.first() {
        Some(next) if due(next, retention) <= now => SOON,
        // An Event that is written from now on falls due no sooner than a whole retention from now.
        next => {
            next.map_or(retention, |next| until(now, due(next, retention))).clamp(grain, retention.max(grain))
        }
    };
    Plan { delete, again: Some(again), retention }
}

fn due(aged: &Aged, retention: Duration) -> Timestamp {
    let retention = SignedDuration::try_from(retention).unwrap_or(SignedDuration::MAX);
    aged.written.checked_add(retention).unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.again.is_none() {
            return f.write_str("the namespace is being deleted, and its events with it");
        }
        let kept = self.retention.as_secs();
        match self.delete.as_slice() {
            [] => write!(f, "no event has been as it is for {kept} s"),
            events => write!(f, "delete {} events that have been as they are for {kept} s", events.len()),
        }
    }
}
