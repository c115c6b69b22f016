//! The API server: REST over TLS, one generic path for every kind.
//!
//! It knows a kind only by its definition. Reads are answered from a consistent view, writes are handed to the replica
//! and answered with their outcome. Authentication is settled here, rights are decided by the state's policy (the
//! pipeline decides again, in order, what it is asked to write).

pub mod access;
mod budget;
pub mod certificates;
mod config;
mod connection;
mod credentials;
mod default_policy;
mod documents;
mod files;
pub mod flags;
mod folder;
mod former;
mod http;
mod left_behind;
mod listener;
pub mod memory;
mod metrics;
mod opening;
mod own_writes;
mod quic;
mod replication;
mod roster;
mod server;
mod signer;
pub mod store_key;
mod streams;
mod tls;
mod tokens;
mod upkeep;
mod verify;
mod views;
mod virtuals;

pub use config::{Config, DEFAULT_API, DEFAULT_HISTORY, Limits};
pub use credentials::{Credentials, CredentialsError};
pub use replication::{Peer, PeerStatus, Replication, folders};
pub use roster::ROSTER_FILE;
pub use server::{Server, ServerError};
pub use verify::{Report, check};
