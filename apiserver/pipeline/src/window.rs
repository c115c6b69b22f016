//! The replay window: which requests were executed lately.
//!
//! A request is valid for a short time, so only that much has to be remembered. Of a client's own signed requests every
//! signature is remembered as used. Endorsed ones carry a replica's nonce, which that replica counts up, so that those of
//! one block are remembered as a few intervals.
//!
//! The window is a function of the blocks of the last minutes and of nothing else: a replica that has run for a year
//! and one that has just been restored remember the same, so nothing is remembered longer than it must be either.
//!
//! Under load it holds hundreds of thousands of entries, and a block comes every few milliseconds: what a block adds is
//! queued by its time, so that forgetting costs what is forgotten and not what is remembered.

use crate::call::Authority;
use hypermesh_chain::{Hash, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Requests that were executed, by who vouched for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    signed: BTreeMap<Hash, Timestamp>,
    endorsed: BTreeMap<[u8; 32], Nonces>,
    /// What the blocks that were absorbed added, the oldest block first. A window that is still being filled by
    /// [`Window::insert`] has none.
    blocks: VecDeque<Added>,
}

/// What one block added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Added {
    time: Timestamp,
    signed: Vec<Hash>,
    /// Replicas, and where an interval of their nonces begins.
    endorsed: Vec<([u8; 32], u64)>,
}

/// Disjoint intervals of nonces (first → last, time of their block). Neighbours are one interval if they are of one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Nonces(BTreeMap<u64, (u64, Timestamp)>);

impl Nonces {
    fn contains(&self, nonce: u64) -> bool {
        self.0.range(..=nonce).next_back().is_some_and(|(_, (last, _))| *last >= nonce)
    }

    fn insert(&mut self, nonce: u64, time: Timestamp) {
        if !self.contains(nonce) {
            self.put(nonce, nonce, time);
        }
    }

    /// Adds an interval, of which nothing is known yet.
    fn put(&mut self, mut first: u64, mut last: u64, time: Timestamp) {
        if let Some((&f, &(l, t))) = self.0.range(..first).next_back()
            && t == time
            && l.checked_add(1) == Some(first)
        {
            first = f;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(&(l, t)) = self.0.get(&next)
            && t == time
        {
            self.0.remove(&next);
            last = l;
        }
        self.0.insert(first, (last, time));
    }

    /// Whether nothing from `first` to `last` is known.
    fn is_free(&self, first: u64, last: u64) -> bool {
        self.0.range(..=last).next_back().is_none_or(|(_, (l, _))| *l < first)
    }

    /// Takes over intervals; says when and where those begin that may be new.
    fn absorb(&mut self, block: Self) -> Vec<(Timestamp, u64)> {
        let mut begun = Vec::with_capacity(block.0.len());
        for (first, (last, time)) in block.0 {
            if self.is_free(first, last) {
                self.put(first, last, time);
                begun.push((time, first));
            } else {
                for nonce in first..=last {
                    self.insert(nonce, time);
                    begun.push((time, nonce));
                }
            }
        }
        begun
    }

    /// Forgets the interval that begins at `first`, if there is one of a time before `horizon`.
    fn forget(&mut self, first: u64, horizon: Timestamp) {
        if self.0.get(&first).is_some_and(|(_, time)| *time < horizon) {
            self.0.remove(&first);
        }
    }
}

impl Window {
    /// Whether the request was executed, or a right of it was used up by another.
    pub fn contains(&self, authority: &Authority) -> bool {
        match authority {
            Authority::Signed { uses, .. } => uses.iter().any(|used| self.signed.contains_key(used)),
            Authority::Endorsed { replica, nonce, .. } => {
                self.endorsed.get(replica).is_some_and(|seen| seen.contains(*nonce))
            }
        }
    }

    /// The highest nonce of a replica that is remembered: those that it uses next must be above.
    pub fn highest_nonce(&self, replica: &[u8; 32]) -> Option<u64> {
        self.endorsed.get(replica)?.0.last_key_value().map(|(_, (last, _))| *last)
    }

    /// Remembers a request.
    pub fn insert(&mut self, authority: &Authority, time: Timestamp) {
        match authority {
            Authority::Signed { uses, .. } => {
                self.signed.extend(uses.iter().map(|used| (*used, time)));
            }
            Authority::Endorsed { replica, nonce, .. } => {
                self.endorsed.entry(*replica).or_default().insert(*nonce, time);
            }
        }
    }

    /// Takes over what committed blocks executed, and forgets what can no longer be valid at `time`, the newest one's.
    /// Blocks come in the order of their times.
    pub fn absorb(&mut self, blocks: Self, time: Timestamp, validity_seconds: u32) {
        let mut added: BTreeMap<Timestamp, Added> = BTreeMap::new();
        for (used, seen) in blocks.signed {
            self.signed.insert(used, seen);
            added.entry(seen).or_default().signed.push(used);
        }
        for (replica, nonces) in blocks.endorsed {
            for (time, first) in self.endorsed.entry(replica).or_default().absorb(nonces) {
                added.entry(time).or_default().endorsed.push((replica, first));
            }
        }
        self.blocks.extend(added.into_iter().map(|(time, added)| Added { time, ..added }));
        // Twice the validity: a request may be dated ahead of block time by as much as it may lag behind.
        self.forget(Timestamp(time.0.saturating_sub(u64::from(validity_seconds) * 2_000_000)));
    }

    fn forget(&mut self, horizon: Timestamp) {
        while let Some(block) = self.blocks.pop_front_if(|block| block.time < horizon) {
            for used in &block.signed {
                // It may have been used again since, by a block that is still remembered.
                if self.signed.get(used).is_some_and(|seen| *seen < horizon) {
                    self.signed.remove(used);
                }
            }
            for (replica, first) in &block.endorsed {
                let Some(nonces) = self.endorsed.get_mut(replica) else { continue };
                nonces.forget(*first, horizon);
                if nonces.0.is_empty() {
                    self.endorsed.remove(replica);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn endorsed(nonce: u64) -> Authority {
        Authority::Endorsed { replica: [7; 32], nonce, received: Timestamp(0), user: Default::default() }
    }

    proptest! {
        #[test]
        fn nonces_are_a_set(blocks in prop::collection::vec(prop::collection::vec(0_u64..60, 0..20), 0..8)) {
            let mut window = Window::default();
            let mut model = BTreeSet::new();
            for block in blocks {
                let mut seen = Window::default();
                for nonce in block {
                    seen.insert(&endorsed(nonce), Timestamp(5));
                    model.insert(nonce);
                }
                window.absorb(seen, Timestamp(5), 60);
            }
            for nonce in 0..61 {
                prop_assert_eq!(window.contains(&endorsed(nonce)), model.contains(&nonce));
            }
        }
    }

    #[test]
    fn a_run_of_nonces_is_one_interval() {
        let mut window = Window::default();
        for nonce in 0..10_000 {
            window.insert(&endorsed(nonce), Timestamp(1));
        }
        assert_eq!(window.endorsed[&[7; 32]].0.len(), 1);
    }

    #[test]
    fn what_cannot_be_valid_any_more_is_forgotten() {
        let mut window = Window::default();
        let mut seen = Window::default();
        seen.insert(&endorsed(1), Timestamp(1_000_000));
        window.absorb(seen, Timestamp(1_000_000), 60);
        assert!(window.contains(&endorsed(1)));
        assert_eq!(window.highest_nonce(&[7; 32]), Some(1));
        window.absorb(Window::default(), Timestamp(200_000_000), 60);
        assert!(!window.contains(&endorsed(1)));
        assert_eq!(window, Window::default(), "nothing is left behind");
    }

    fn signed(used: u8) -> Authority {
        let none = Timestamp(0);
        Authority::Signed {
            keys: Vec::new(),
            created: none,
            newest: none,
            expires: None,
            uses: vec![Hash([used; 32])],
        }
    }

    proptest! {
        /// The window is a function of the blocks that can still matter: the queue forgets exactly what a look at
        /// everything would.
        #[test]
        fn what_is_forgotten_follows_from_the_times_alone(
            blocks in prop::collection::vec((1_u64..40, prop::collection::vec((any::<bool>(), 0_u8..24), 0..12)), 0..24),
        ) {
            let (mut window, mut now) = (Window::default(), 0);
            let mut kept: Vec<(u64, bool, u8)> = Vec::new();
            for (step, uses) in blocks {
                now += step * 1_000_000;
                let mut seen = Window::default();
                for (by_key, used) in uses {
                    let authority = if by_key { signed(used) } else { endorsed(used.into()) };
                    seen.insert(&authority, Timestamp(now));
                    // What is known of a nonce stays as it is; a signature's use counts anew.
                    if by_key || !kept.iter().any(|(_, key, other)| !key && *other == used) {
                        kept.push((now, by_key, used));
                    }
                }
                window.absorb(seen, Timestamp(now), 30);
                kept.retain(|(time, _, _)| *time >= now.saturating_sub(60_000_000));
                for used in 0..24 {
                    for (by_key, authority) in [(true, signed(used)), (false, endorsed(used.into()))] {
                        let known = kept.iter().any(|(_, key, other)| *key == by_key && *other == used);
                        prop_assert_eq!(window.contains(&authority), known, "{} {} at {}", by_key, used, now);
                    }
                }
            }
            window.absorb(Window::default(), Timestamp(now + 61_000_000), 30);
            prop_assert_eq!(window, Window::default());
        }
    }
}
