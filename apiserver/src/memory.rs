//! How the process' allocators give memory back.
//!
//! mimalloc commits its arenas eagerly and keeps what is freed for a while; glibc, which RocksDB allocates from, makes an
//! arena a thread. For a server that is idle most of the time this doubles its resident memory and saves nothing that
//! could be measured (50,000 objects took 150 MiB with the defaults and 124 MiB without). What is freed is given back after
//! a tenth of a second: at once, a block's memory was given back and faulted in again for every block, which was 14 % of the
//! writer under load (PUT 140 µs of CPU and 118 with the delay, merge PATCH 118 and 100, apply 146 and 128; 10 ms gain a
//! third of it), for some 3 MiB of an idle server and 10 of a busy one.
//!
//! Both read their settings from the environment before `main`, so a daemon that finds them unset starts itself once more
//! with them set: the process id stays, and no unsafe call into an allocator is needed.

use std::os::unix::process::CommandExt;
use std::process::Command;

const SETTINGS: [(&str, &str); 3] =
    [("MIMALLOC_PURGE_DELAY", "100"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MALLOC_ARENA_MAX", "2")];

/// Starts the process anew with lean allocators, unless the environment already says how they shall be. Returns if
/// there is nothing to do, or if starting anew is not possible: then the process is only larger.
pub fn settle() {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).envs(SETTINGS).exec();
    tracing::debug!(%error, "the process could not be started anew with lean allocators");
}
