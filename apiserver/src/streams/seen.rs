//! Signatures that opened a stream. Nothing orders streams, so that each is used once is this server's to see to, and the
//! agent's.

use hypermesh_chain::Hash;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Signatures that are remembered at a time: a user's program that signs a thousand streams a second stays below.
const MOST: usize = 1 << 20;

/// Signatures that were used, and until when they would be taken, in seconds since the epoch.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Hash, u64>>);

impl Seen {
    /// Whether a signature is used for the first time. It is remembered until `until`; `now` is in seconds, too. Where no
    /// more can be remembered, none counts as the first.
    pub fn is_first(&self, signature: Hash, now: u64, until: u64) -> bool {
        let mut seen = self.0.lock();
        if seen.len() >= MOST {
            seen.retain(|_, until| *until >= now);
        }
        let room = seen.len() < MOST;
        room && seen.insert(signature, until).is_none_or(|until| until < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_once_as_long_as_it_holds() {
        let seen = Seen::default();
        let one = Hash::of(&[b"one"]);
        assert!(seen.is_first(one, 10, 20));
        assert!(!seen.is_first(one, 20, 20));
        assert!(seen.is_first(Hash::of(&[b"two"]), 10, 20));
    }
}
