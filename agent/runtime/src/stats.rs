//! What a container or an Instance uses.

use std::time::SystemTime;

/// What is used, as the kernel counts it. What it does not count here is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// When it was read.
    pub at: Option<SystemTime>,
    /// CPU time since the beginning, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Of it, in user mode.
    pub cpu_user_ns: Option<u64>,
    /// How long it was held back by its quota, in nanoseconds.
    pub throttled_ns: Option<u64>,
    /// Periods in which it was held back.
    pub throttled_periods: Option<u64>,
    /// All memory charged to it, in bytes, page cache included.
    pub memory: Option<u64>,
    /// Memory without file pages that have not been used for long, in bytes: what kubelet calls the working set.
    pub memory_working_set: Option<u64>,
    /// Anonymous memory, in bytes.
    pub memory_rss: Option<u64>,
    /// How often a page was not at hand and had to be read.
    pub major_faults: Option<u64>,
    /// Its limit of memory, in bytes; none if there is none.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How often a process or thread was refused because there were as many as it may have.
    pub forks_refused: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub written_bytes: Option<u64>,
    /// Processes that were killed for memory.
    pub oom_kills: Option<u64>,
}
