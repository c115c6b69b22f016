//! Signals that ask an apply to end.

use crate::error::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a terminal, a supervisor and a lost connection send.
pub(super) struct Stop {
    interrupts: Signal,
    ends: Signal,
    /// None where whoever started this program wants it to outlive the terminal, as `nohup` does.
    hangups: Option<Signal>,
}

impl Stop {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::Message(format!("cannot listen for interruptions: {error}")))
        };
        let hangup = SignalKind::hangup();
        let ignored = std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| is_ignored(&status, hangup.as_raw_value()));
        Ok(Self {
            interrupts: listen(SignalKind::interrupt())?,
            ends: listen(SignalKind::terminate())?,
            hangups: if ignored { None } else { Some(listen(hangup)?) },
        })
    }

    /// Waits for one of them.
    pub(super) async fn asked(&mut self) {
        let hangup = async {
            match &mut self.hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.ends.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether a `status` of proc(5) says that a signal is ignored: a bit of `SigIgn`, the first signal's the lowest.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let bit = u32::try_from(signal - 1).ok().and_then(|shift| 1_u64.checked_shl(shift));
    bit.is_some_and(|bit| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn what_nohup_asks_for_is_seen() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, 1) && is_ignored(status, 13) && !is_ignored(status, 2));
        assert!(!is_ignored("", 1) && !is_ignored(status, 0) && !is_ignored(status, 70));
    }
}
