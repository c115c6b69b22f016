//! The state machine of a replica: the pipeline over the store, behind the replication trait.
//!
//! Data flows one way. A request is decoded by whoever took it and handed to [`Replica::submit`]; one thread makes
//! blocks of what waits, executes them on an overlay, commits them, and only then answers and publishes. Readers hold a
//! [`Reading`] (a consistent view with what is derived from it) and never wait for the writer; watchers follow the
//! [`Feed`].

mod alone;
mod among;
mod base;
mod blocks;
mod compose;
mod error;
mod evaluate;
pub mod feed;
mod gossip;
mod heard;
mod intake;
mod log_sealer;
mod open;
mod pool;
mod prepared;
mod reading;
mod replica;
mod review;
mod state;
mod submission;
#[cfg(test)]
mod tests;

pub use among::{Incoming, Others, Transport};
pub use error::{MachineError, OpenError};
pub use feed::{Event, Feed, Lag};
pub use open::{Config, GENESIS_FILE, LOG_FOLDER, STORE_FOLDER, read_genesis, write_genesis};
pub use pool::Hold;
pub use reading::Reading;
pub use replica::Replica;
pub use state::Machine;
pub use submission::Unavailable;
