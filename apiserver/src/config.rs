//! What a server is started with.

use hypermesh_schemas::KindDefinition;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the API is served by default.
pub const DEFAULT_API: &str = "127.0.0.1:6443";

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
    pub history: std::time::Duration,
}

impl Config {
    /// Serves `dir` at `api`, with the defaults of everything else.
    pub fn new(dir: PathBuf, api: SocketAddr) -> Self {
        Self {
            dir,
            api,
            names: Vec::new(),
            extra_kinds: Vec::new(),
            history: std::time::Duration::from_secs(24 * 3600),
        }
    }
}
