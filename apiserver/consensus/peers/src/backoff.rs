//! How long to wait after a failure: twice as long each time, less up to half of it by chance, so that replicas that began
//! together do not dial together.

use std::time::Duration;

/// A row of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// It went well: the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause. `chance` is any number.
    pub(crate) fn next(&mut self, chance: u64) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let off = u32::try_from(chance % 1024).unwrap_or(0);
        whole - (whole / 2).saturating_mul(off) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ_by_chance() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new((first, longest));
        assert_eq!(backoff.next(0), first);
        assert_eq!(backoff.next(0), first * 2);
        let less = backoff.next(1023);
        assert!(less > first * 2 && less < first * 3, "{less:?}");
        for _ in 0..100 {
            assert!(backoff.next(u64::MAX) <= longest);
        }
        assert_eq!(backoff.next(1024), longest);
        backoff.reset();
        assert_eq!(backoff.next(0), first);
    }
}
