//! Who leads: a pure state machine. Time is how long ago the candidate's own clock started, and never leaves it.

use std::time::Duration;

/// What a candidate has seen in the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; `None` once it was released.
    pub holder: Option<String>,
    /// How long its holder may go without renewing.
    pub duration: Duration,
    /// `resourceVersion`: it changes with every write.
    pub version: String,
    /// How often it has changed hands.
    pub transitions: i32,
}

/// How a Lease is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait before they take over from a holder that is silent.
    pub duration: Duration,
}

impl Timing {
    /// After how long a holder that could not renew stops working.
    pub fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// How often a holder renews. Once in this time the Lease is written, and an idle cluster orders that block alone.
    pub fn renewal(&self) -> Duration {
        self.duration * 2 / 5
    }

    /// How long a holder waits before it tries a failed renewal again.
    pub fn retry(&self) -> Duration {
        self.duration / 15
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the Lease: there is none.
    Create,
    /// Write ourselves into the Lease of this version.
    Take {
        /// The version that the write must meet.
        version: String,
        /// How often it will have changed hands.
        transitions: i32,
    },
    /// Nothing before this moment, unless the Lease changes.
    Wait(Duration),
}

/// One candidate's view.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    /// What was last seen, and when it was first seen so. A Lease that was deleted is remembered as it was: who held
    /// it may still work.
    seen: Option<Seen>,
    /// When the renewal was sent by which we hold the Lease.
    held_since: Option<Duration>,
}

#[derive(Debug)]
struct Seen {
    lease: Lease,
    at: Duration,
    deleted: bool,
}

impl Election {
    /// A candidate that has seen nothing.
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, seen: None, held_since: None }
    }

    /// The Lease is `lease` (or there is none), as seen at `now`.
    pub fn observe(&mut self, lease: Option<Lease>, now: Duration) {
        match lease {
            Some(lease) => {
                let known = self
                    .seen
                    .as_ref()
                    .is_some_and(|seen| !seen.deleted && seen.lease.version == lease.version);
                if known {
                    return;
                }
                if lease.holder.as_deref() != Some(self.identity.as_str()) {
                    self.held_since = None;
                }
                self.seen = Some(Seen { lease, at: now, deleted: false });
            }
            None => {
                self.held_since = None;
                if let Some(seen) = self.seen.as_mut().filter(|seen| !seen.deleted) {
                    seen.deleted = true;
                    seen.at = now;
                }
            }
        }
    }

    /// A write of ours that was sent at `sent` has succeeded and made the Lease `lease`.
    pub fn wrote(&mut self, lease: Lease, sent: Duration, now: Duration) {
        let ours = lease.holder.as_deref() == Some(self.identity.as_str());
        self.held_since = ours.then_some(sent);
        self.seen = Some(Seen { lease, at: now, deleted: false });
    }

    /// Until when we may work; `None` when we do not lead.
    pub fn leads_until(&self) -> Option<Duration> {
        self.held_since.map(|since| since + self.timing.deadline())
    }

    /// Whether we lead at `now`.
    pub fn leads(&self, now: Duration) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// When our hold of the Lease is to be renewed; `None` when we do not lead.
    pub fn renews_at(&self) -> Option<Duration> {
        self.held_since.map(|since| since + self.timing.renewal())
    }

    /// The version that a renewal or release of ours must meet.
    pub fn version(&self) -> Option<(&str, i32)> {
        self.seen.as_ref().map(|seen| (seen.lease.version.as_str(), seen.lease.transitions))
    }

    /// Who held it when last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().filter(|seen| !seen.deleted)?.lease.holder.as_deref()
    }

    /// What a candidate that does not lead does at `now`.
    pub fn step(&self, now: Duration) -> Step {
        let Some(seen) = &self.seen else { return Step::Create };
        let take = || {
            if seen.deleted {
                return Step::Create;
            }
            Step::Take {
                version: seen.lease.version.clone(),
                transitions: seen.lease.transitions.saturating_add(1),
            }
        };
        // A holder of our own name is a process before us, or a term of ours that ran out: nobody else works under it.
        let free =
            seen.lease.holder.as_deref().is_none_or(|holder| holder.is_empty() || holder == self.identity);
        if free {
            return take();
        }
        // A holder that says nothing of a duration is given ours.
        let patience = if seen.lease.duration.is_zero() { self.timing.duration } else { seen.lease.duration };
        let free_at = seen.at + patience;
        if now >= free_at { take() } else { Step::Wait(free_at) }
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
