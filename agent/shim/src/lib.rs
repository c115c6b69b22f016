//! One small process an Instance: the parent of its containers, the keeper of their logs and exits.
//!
//! An agent may be restarted or replaced at any time, and no container may notice. So containers are not the agent's
//! children: each Instance has a shim, which is one of our binaries executed again as `<exe> shim …` ([`main`]). The
//! shim has one thread, no runtime and no opinion. It holds the Instance's namespaces, reaps its processes, copies their
//! output into log files, writes what happened to files ([`state`]), and does what it is told over a socket
//! ([`protocol`]). What should run, and what to do when it does not, is the agent's to decide.
//!
//! Invariants:
//! - The shim never blocks on what a container or an agent does: whatever may block happens in a child that it forks.
//! - libcontainer is only ever called in such a child, since it changes the directory, the dumpability and the OOM score
//!   of the process that calls it.
//! - An exit is on disk before anyone is told of it.
//! - Without the folder of its Instance the shim ends, and everything that it runs with it.

mod child;
mod create;
mod entry;
mod exec;
pub mod filter;
mod home;
mod join;
mod log;
pub mod memory;
mod namespaces;
pub mod probe;
pub mod process;
mod program;
pub mod protocol;
mod server;
pub mod socket;
mod stage;
pub mod state;
mod stdio;
mod subordinate;

pub use entry::{READY, main};

/// An error with all its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
