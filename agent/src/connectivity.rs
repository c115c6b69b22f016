//! How instances are connected: the seam that networks fill.
//!
//! An implementation gives each instance a network namespace and addresses, keeps both over restarts of the agent, and
//! balances published ports over the instances that are ready. It knows nothing of containers, images or the API, and
//! the rest of the agent knows nothing of bridges, routes or rules. Every operation may be repeated: what is there
//! already stays as it is, and what is gone already is no error.

mod bridge;
mod loopback;

pub use bridge::Bridge;
pub use loopback::LoopbackOnly;

use futures_util::future::BoxFuture;
use hypermesh_planner::InstanceUid;
use hypermesh_schemas::network::Protocol;
use hypermesh_schemas::privacy::Privacy;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// What connects a node's instances.
pub trait Connectivity: Send + Sync + 'static {
    /// Gives an instance its namespace and addresses. Asked again for the same instance, it gives the same, even after a
    /// restart of the agent.
    fn attach<'a>(&'a self, instance: &'a Attachment) -> BoxFuture<'a, Result<Attached, ConnectivityError>>;

    /// Takes everything back that an instance was given. Nothing is left of it after `Ok`.
    fn detach<'a>(&'a self, instance: &'a InstanceUid) -> BoxFuture<'a, Result<(), ConnectivityError>>;

    /// At the agent's start: removes what belongs to none of the `wanted` instances, and takes up the rest.
    fn adopt<'a>(
        &'a self,
        wanted: &'a BTreeSet<InstanceUid>,
    ) -> BoxFuture<'a, Result<Adopted, ConnectivityError>>;

    /// Serves exactly these ports, balanced over their backends: those that were served before and are not among them
    /// are served no more. Connections that exist are left to their backends until these are gone.
    fn publish<'a>(&'a self, ports: &'a [PublishedPort]) -> BoxFuture<'a, Result<(), ConnectivityError>>;

    /// What went through the links of instances, by their uids; nothing where that is not counted.
    fn traffic(&self) -> BoxFuture<'_, BTreeMap<InstanceUid, Traffic>> {
        Box::pin(async { BTreeMap::new() })
    }

    /// Of the ports that were asked for last, those that are not served as they should be, and why.
    fn refused(&self) -> Vec<Refused> {
        Vec::new()
    }

    /// Waits until ports have to be published anew, though nobody asks for others: the node has other addresses.
    fn moved(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// What instances have of a network here, and what they lack.
    fn report(&self) -> Report;

    /// At the agent's end: where no instance is connected any more, nothing of the network stays either.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Whom to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub uid: InstanceUid,
    /// Its namespace, for names in its resolv.conf.
    pub namespace: String,
    /// Its name, which becomes its host name.
    pub name: String,
    /// When this node took it on, in seconds since 1970: since then it wants its ports.
    pub since: i64,
    /// Ports of the node that lead straight to it (`hostPort`).
    pub host_ports: Vec<HostPort>,
}

/// A port of the node that leads to one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The node's address; none: all of them.
    pub address: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// The instance's port.
    pub container_port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// What an instance was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attached {
    /// The file that is its network namespace; none: the runtime makes one, which only has a loopback interface.
    pub namespace: Option<PathBuf>,
    /// Its stable address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its address in the network of before.
    pub ipv4: Option<Ipv4Addr>,
    /// Where it reaches the API server; none: it does not.
    pub api_server: Option<SocketAddr>,
    /// The content of its `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The content of its `/etc/hosts`.
    pub hosts: String,
}

impl Attached {
    /// Its addresses, the stable one first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.ipv6.map(IpAddr::V6).into_iter().chain(self.ipv4.map(IpAddr::V4)).collect()
    }
}

/// What was found at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Instances that are still connected.
    pub kept: BTreeSet<InstanceUid>,
    /// What was removed because nobody wants it, in words for the log.
    pub removed: Vec<String>,
}

/// A port under which the ready instances of a workload are reached together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub workload: String,
    /// Since when it is wanted.
    pub claim: Claim,
    /// The port.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Who may reach it.
    pub privacy: Privacy,
    /// Who answers. None: connections are refused at once, instead of hanging.
    pub backends: Vec<Backend>,
}

/// Since when a port is wanted: of two who want the same one of the node, the first has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// When whose it is was made, in seconds since 1970.
    pub since: i64,
    /// Their uid.
    pub uid: String,
}

/// One instance behind a published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The instance.
    pub instance: InstanceUid,
    /// Its addresses, the stable one first.
    pub addresses: Vec<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its share of new connections, compared with the others'; 0: none, and those that exist go on.
    pub weight: u32,
}

/// What went through an instance's link, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What it received.
    pub received: u64,
    /// What it sent.
    pub sent: u64,
}

/// A port that is not served as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is: `namespace/name` of the workload, or of the instance with a port of the node.
    pub of: String,
    /// The port.
    pub port: u16,
    /// Why, in one CamelCase word: `PortTaken`.
    pub reason: &'static str,
    /// In words: why, and how it is reached instead. Nobody else is named in them.
    pub message: String,
    /// Who has it, for those who look after the node.
    pub holder: Option<String>,
}

/// What instances have of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What connects them, in a word for the log: `loopback`, `bridge`.
    pub kind: &'static str,
    /// What they lack; empty: nothing. The Node's condition `NetworkUnavailable` holds unless it is empty.
    pub missing: Vec<Missing>,
}

/// Something that instances lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// In one CamelCase word.
    pub reason: &'static str,
    /// In words: what is missing, why, and what would bring it.
    pub message: String,
}

/// An instance could not be connected, or not be released.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action}")]
pub struct ConnectivityError {
    /// What was tried, as in "cannot …".
    pub action: String,
    /// Why it failed.
    #[source]
    pub source: Arc<dyn std::error::Error + Send + Sync>,
}

impl ConnectivityError {
    /// For `map_err`: what was tried, as in "cannot …".
    pub fn of<E: std::error::Error + Send + Sync + 'static>(
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self { action, source: Arc::new(source) }
    }
}
