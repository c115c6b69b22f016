//! How long a failing object waits before it is tried again. Pure: time and randomness are arguments.
//!
//! Only objects that fail are remembered, and they are forgotten by their first success or when they are gone.

use super::key::Key;
use std::collections::HashMap;
use std::time::Duration;

/// Exponential delays with a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try.
    pub first: Duration,
    /// No delay is longer.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The delay after `failures` failures in a row (at least 1). `random`, in 0..1, spreads it over the upper half, so
    /// that objects that failed together do not come back together.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1_u32 << doublings).min(self.longest);
        whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Objects that fail, and how often in a row.
#[derive(Debug, Default)]
pub struct Failing {
    failures: HashMap<Key, u32>,
}

impl Failing {
    /// Counts a failure: how many in a row it makes.
    pub fn failed(&mut self, key: &Key) -> u32 {
        let count = self.failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// How often in a row an object has failed.
    pub fn of(&self, key: &Key) -> u32 {
        self.failures.get(key).copied().unwrap_or_default()
    }

    /// Forgets an object that came to an end.
    pub fn ended(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// How many objects fail.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether none fails.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_grow_to_the_cap_and_never_over_it(failures in 1_u32..100_000, random in 0.0_f64..1.0) {
            let backoff = Backoff::default();
            let delay = backoff.delay(failures, random);
            prop_assert!(delay >= backoff.first / 2 && delay <= backoff.longest);
            // The least of a later try is at least half the most of an earlier one.
            prop_assert!(backoff.delay(failures + 1, 0.0) >= backoff.delay(failures, 1.0) / 2);
        }
    }

    #[test]
    fn delays_double() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(5) };
        let delays: Vec<u64> = (1..6).map(|n| backoff.delay(n, 1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn a_success_forgets() {
        let mut failing = Failing::default();
        let key = Key::cluster("a");
        assert_eq!((failing.failed(&key), failing.failed(&key), failing.len()), (1, 2, 1));
        failing.ended(&key);
        assert!(failing.is_empty());
        assert_eq!(failing.failed(&key), 1);
    }
}
