//! How often one object may be reconciled: a bucket of tokens for each. Pure: time is an argument.
//!
//! Two controllers that undo each other's work, or a client that writes in a loop, cost one reconcile a second and not
//! a core. An object that has been quiet long enough for its bucket to be full is forgotten.

use super::key::Key;
use std::collections::HashMap;
use std::time::Duration;

/// Above this many remembered objects, those with a full bucket are looked for.
const SWEEP_ABOVE: usize = 1_024;

/// Tokens of one object.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

/// A limit for each object.
#[derive(Debug)]
pub struct Pace {
    burst: f64,
    per_second: f64,
    buckets: HashMap<Key, Bucket>,
    sweep_at: usize,
}

impl Pace {
    /// `burst` reconciles at once, then `per_second`.
    pub fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: f64::from(burst), per_second, buckets: HashMap::new(), sweep_at: SWEEP_ABOVE }
    }

    /// Takes a token for `key` at `now` (since any fixed moment), or says how long to wait for one.
    pub fn admit(&mut self, key: &Key, now: Duration) -> Result<(), Duration> {
        if self.buckets.len() >= self.sweep_at {
            let (burst, rate) = (self.burst, self.per_second);
            self.buckets.retain(|_, bucket| filled(bucket, now, burst, rate) < burst);
            self.sweep_at = (self.buckets.len() * 2).max(SWEEP_ABOVE);
        }
        let full = Bucket { tokens: self.burst, at: now };
        let bucket = self.buckets.entry(key.clone()).or_insert(full);
        bucket.tokens = filled(bucket, now, self.burst, self.per_second);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        // Never nothing: what rounds to no time at all would be asked for again at once, for ever.
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second).max(Duration::from_millis(1)))
    }

    /// Forgets an object that is gone.
    pub fn forget(&mut self, key: &Key) {
        self.buckets.remove(key);
    }
}

fn filled(bucket: &Bucket, now: Duration, burst: f64, per_second: f64) -> f64 {
    (bucket.tokens + now.saturating_sub(bucket.at).as_secs_f64() * per_second).min(burst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits() {
        let (mut pace, key, now) = (Pace::new(3, 2.0), Key::cluster("a"), Duration::from_secs(10));
        assert!((0..3).all(|_| pace.admit(&key, now).is_ok()));
        let wait = pace.admit(&key, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(pace.admit(&Key::cluster("b"), now).is_ok(), "each object has its own");
        assert!(pace.admit(&key, now + wait).is_ok());
    }

    #[test]
    fn no_wait_is_nothing() {
        let (mut pace, key) = (Pace::new(1, 3.0), Key::cluster("a"));
        let mut now = Duration::ZERO;
        for _ in 0..1_000 {
            if let Err(wait) = pace.admit(&key, now) {
                assert!(wait >= Duration::from_millis(1), "{wait:?}");
                // Just too early by less than a clock can tell.
                now += wait.saturating_sub(Duration::from_nanos(1));
            }
        }
    }

    #[test]
    fn quiet_objects_are_forgotten() {
        let mut pace = Pace::new(2, 1.0);
        for n in 0..10_000_u64 {
            pace.admit(&Key::cluster(&n.to_string()), Duration::from_millis(n * 10)).unwrap();
        }
        assert!(pace.buckets.len() <= 2 * SWEEP_ABOVE, "{}", pace.buckets.len());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(steps in prop::collection::vec(0_u64..400, 1..200)) {
            let (mut pace, key) = (Pace::new(5, 4.0), Key::cluster("a"));
            let (mut now, mut admitted) = (0, 0_u32);
            for step in steps {
                now += step;
                admitted += u32::from(pace.admit(&key, Duration::from_millis(now)).is_ok());
                prop_assert!(f64::from(admitted) <= 5.0 + 4.0 * now as f64 / 1e3 + 1e-6);
            }
        }
    }
}
