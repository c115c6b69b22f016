//! What a server is started with.

use crate::replication::Replication;
use hypermesh_schemas::KindDefinition;
use hypermesh_store::{KeyRotation, Options};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the API is served by default.
pub const DEFAULT_API: &str = "127.0.0.1:6443";
/// For how long history is kept by default.
pub const DEFAULT_HISTORY: Duration = Duration::from_secs(24 * 3600);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub dir: PathBuf,
    /// Where the API is served; port 0 takes a free one.
    pub api: SocketAddr,
    /// Further names and addresses for the server's certificate.
    pub names: Vec<String>,
    /// Kinds that a new cluster gets beside its own.
    pub extra_kinds: Vec<KindDefinition>,
    /// For how long history is kept.
    pub history: Duration,
    /// What clients may take.
    pub limits: Limits,
    /// When the key that seals the store is replaced by itself.
    pub key_rotation: KeyRotation,
    /// Where it meets other replicas, for a data folder of a cluster of several.
    pub replication: Option<Replication>,
}

/// What all clients together, and one of them, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What requests may hold in memory from their first byte until they are executed, in bytes; and, once more, what
    /// replies may until they are sent. One client gets a quarter of it, all unauthenticated ones a sixteenth.
    pub memory: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time of one address (of one /64 of IPv6). This machine's own are bound by `connections` alone.
    pub connections_per_address: usize,
    /// How long a client may take nothing of what it is sent before it is cut off.
    pub stall: Duration,
}

impl Limits {
    /// The least [`Limits::memory`] that lets large requests of several clients be served, in bytes.
    pub const LEAST_MEMORY: usize = 16 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            connections: 20_000,
            connections_per_address: 1_000,
            stall: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// Serves `dir` at `api`, with the defaults of everything else.
    pub fn new(dir: PathBuf, api: SocketAddr) -> Self {
        Self {
            dir,
            api,
            names: Vec::new(),
            extra_kinds: Vec::new(),
            history: DEFAULT_HISTORY,
            limits: Limits::default(),
            key_rotation: Options::default().key_rotation,
            replication: None,
        }
    }
}
