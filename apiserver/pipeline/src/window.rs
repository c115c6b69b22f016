//! The replay window: which requests were executed lately.
//!
//! A request is valid for a short time, so only that much has to be remembered. Of a client's own signed requests every
//! signature is remembered as used. Endorsed ones carry a replica's nonce, which that replica counts up, so that those of
//! one block are remembered as a few intervals.
//!
//! The window is a function of the blocks of the last minutes and of nothing else: a replica that has run for a year
//! and one that has just been restored remember the same, so nothing is remembered longer than it must be either.

use crate::call::Authority;
use hypermesh_chain::{Hash, Timestamp};
use std::collections::BTreeMap;

/// Requests that were executed, by who vouched for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    signed: BTreeMap<Hash, Timestamp>,
    endorsed: BTreeMap<[u8; 32], Nonces>,
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

    fn absorb(&mut self, block: Self) {
        for (first, (last, time)) in block.0 {
            if self.is_free(first, last) {
                self.put(first, last, time);
            } else {
                (first..=last).for_each(|nonce| self.insert(nonce, time));
            }
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

    /// Takes over what a committed block executed, and forgets what can no longer be valid at its time.
    pub fn absorb(&mut self, block: Self, time: Timestamp, validity_seconds: u32) {
        self.signed.extend(block.signed);
        for (replica, nonces) in block.endorsed {
            self.endorsed.entry(replica).or_default().absorb(nonces);
        }
        // Twice the validity: a request may be dated ahead of block time by as much as it may lag behind.
        let horizon = Timestamp(time.0.saturating_sub(u64::from(validity_seconds) * 2_000_000));
        self.signed.retain(|_, seen| *seen >= horizon);
        for nonces in self.endorsed.values_mut() {
            nonces.0.retain(|_, (_, newest)| *newest >= horizon);
        }
        self.endorsed.retain(|_, nonces| !nonces.0.is_empty());
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
    }
}
