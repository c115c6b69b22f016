//! How many files the process may have open: a connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are not connections: the store's tables and logs, keys, pipes.
const OTHERS: u64 = 1024;

/// Raises the limit of open files as far as it goes without a privilege, and tells how many connections it leaves room
/// for. The usual soft limit of 1,024 is there for programs that use select(2).
pub(crate) fn for_connections() -> usize {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be told");
            return usize::MAX;
        }
    };
    let limit =
        if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    // Half of a small limit still serves.
    usize::try_from(limit.saturating_sub(OTHERS).max(limit / 2)).unwrap_or(usize::MAX)
}
