//! How long to wait before what failed is tried again: kubelet's figures, which people know.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The first wait.
pub const FIRST: Duration = Duration::from_secs(10);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long has recovered: its next failure is its first again.
pub const RECOVERED: Duration = Duration::from_secs(600);
/// The longest wait for something that somebody may create at any moment, such as a Secret.
pub const LONGEST_FOR_OBJECTS: Duration = Duration::from_secs(60);

/// The wait after so many failures in a row: 10 s, doubled each time, 300 s at most.
#[must_use]
pub fn wait(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST)
}

/// The wait before a container that has ended so many times in a row is started again: none after the first time.
#[must_use]
pub fn wait_to_restart(exits: u32) -> Duration {
    wait(exits.saturating_sub(1))
}

/// A time and a duration after it; the end of time where there is none.
#[must_use]
pub fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long it is from one time to a later one; nothing if it is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..9).map(|exits| wait_to_restart(exits).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }
}
