//! What a controller process is started with.

use crate::event::RETENTION;
use crate::rights::LEASE;
use crate::runtime::lease::Timing;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where metrics are served by default.
pub const DEFAULT_METRICS: &str = "127.0.0.1:6445";
/// What is logged by default: the library of the watches prints whole refusals, of which the controllers tell in words.
pub const DEFAULT_LOG: &str = "info,kube_runtime=error";
/// How long others wait for a leader that is silent. A Lease of 30 s is renewed every 12: an idle cluster orders that
/// block and no other.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);

/// What a controller process is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the API server is reached, and as whom.
    pub kubeconfig: PathBuf,
    /// Where metrics are served; nowhere if `None`.
    pub metrics: Option<SocketAddr>,
    /// How this process agrees with others on who works; `None` if there are no others.
    pub election: Option<Election>,
    /// For how long Events are kept where their namespace asks for nothing else.
    pub event_retention: Duration,
}

/// How processes agree on who works.
#[derive(Clone, Debug)]
pub struct Election {
    /// The Lease's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it is held.
    pub timing: Timing,
}

impl Default for Election {
    fn default() -> Self {
        let (namespace, name) = LEASE;
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            timing: Timing { duration: LEASE_DURATION },
        }
    }
}

impl Settings {
    /// One process among others, with the defaults of everything else.
    pub fn new(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, metrics: None, election: Some(Election::default()), event_retention: RETENTION }
    }

    /// The only process there is.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.election = None;
        self
    }
}
