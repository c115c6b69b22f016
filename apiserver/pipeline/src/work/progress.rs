//! How far a job has come, and what it could not do.
//!
//! An object whose part of a job is refused keeps its reason here and holds up no other. Once every object was looked
//! at, the job waits for a later height and begins anew: what is refused depends on the state, so that there is no use in
//! trying again before blocks have changed it. Waits double, up to a limit.

use super::job::Place;
use hypermesh_api::Status;
use hypermesh_chain::ObjectKey;
use serde::{Deserialize, Serialize};

/// Refusals that are told with their reasons; the others are counted.
const MOST_TOLD: usize = 8;
/// Characters of a reason that are kept.
const MOST_REASON: usize = 200;
/// Heights that a job waits at most before it tries again.
const MOST_WAIT: u64 = 1024;

/// One object whose part was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub place: Place,
    pub reason: String,
}

/// All that were refused since the job began, or began anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusals {
    pub count: u64,
    pub told: Vec<Refusal>,
}

impl Refusals {
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.told.is_empty()
    }
}

/// How far a job has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last object that was looked at.
    pub after: Option<Place>,
    /// Every object was looked at once; what is left is waited for.
    pub marked: bool,
    /// What was refused on the way.
    pub refused: Refusals,
    /// How often the job began anew because of refusals.
    pub tries: u32,
    /// The height from which on it begins anew; 0 without refusals.
    pub retry: u64,
}

impl Progress {
    /// From after `key` on.
    pub fn beyond(key: &ObjectKey) -> Self {
        Self { after: Some(key.into()), ..Self::default() }
    }

    /// Goes on after `key`.
    pub fn pass(&mut self, key: &ObjectKey) {
        self.after = Some(key.into());
    }

    /// Begins again from the start, to see what is left.
    pub fn mark(&mut self) {
        (self.after, self.marked) = (None, true);
    }

    /// The last object that was looked at.
    pub fn key(&self) -> Option<ObjectKey> {
        self.after.as_ref().and_then(Place::key)
    }

    /// Remembers why the part of `key` was not done.
    pub fn refuse(&mut self, key: &ObjectKey, why: &Status) {
        let place = Place::from(key);
        if self.refused.told.iter().any(|told| told.place == place) {
            return;
        }
        self.refused.count = self.refused.count.saturating_add(1);
        if self.refused.told.len() < MOST_TOLD {
            let reason = why.message.chars().take(MOST_REASON).collect();
            self.refused.told.push(Refusal { place, reason });
        }
    }

    /// Settles when to try again, if something was refused and that is not settled yet.
    pub fn wait(&mut self, height: u64) {
        if !self.refused.is_empty() && self.retry <= height {
            let wait = 1_u64.checked_shl(self.tries).unwrap_or(MOST_WAIT).min(MOST_WAIT);
            (self.tries, self.retry) = (self.tries.saturating_add(1), height.saturating_add(wait));
        }
    }

    /// Begins anew if its time has come.
    pub fn renew(&mut self, height: u64) {
        if self.retry != 0 && self.retry <= height {
            *self = Self { tries: self.tries, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let key = ObjectKey::new("/c", "n", "o").unwrap();
        let (mut progress, mut height) = (Progress::default(), 10);
        progress.wait(height);
        assert_eq!(progress, Progress::default(), "nothing was refused");
        let mut waits = Vec::new();
        for _ in 0..70 {
            progress.refuse(&key, &Status::internal("x".repeat(1000)));
            progress.wait(height);
            let settled = progress.clone();
            progress.wait(height);
            assert_eq!(progress, settled, "a job that is woken in between keeps its time");
            waits.push(progress.retry - height);
            progress.renew(progress.retry - 1);
            assert_eq!(progress, settled);
            height = progress.retry;
            progress.renew(height);
            assert!(progress.refused.is_empty() && progress.retry == 0);
        }
        assert_eq!(waits[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]);
        assert!(waits[11..].iter().all(|wait| *wait == 1024));
    }

    #[test]
    fn reasons_are_bounded_and_all_are_counted() {
        let mut progress = Progress::default();
        for i in 0..100 {
            let key = ObjectKey::new("/c", "n", format!("o{i}")).unwrap();
            progress.refuse(&key, &Status::internal("é".repeat(1000)));
        }
        assert_eq!((progress.refused.count, progress.refused.told.len()), (100, MOST_TOLD));
        assert!(progress.refused.told.iter().all(|told| told.reason.chars().count() <= MOST_REASON));
    }
}
