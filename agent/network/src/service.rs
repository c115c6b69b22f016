//! A published port: who may reach it, and what stands behind it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Who may reach a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// Who reaches one address of the node.
    At(IpAddr),
    /// Processes of the node, over its loopback addresses.
    Node,
    /// Instances too, over the workload's own address.
    Mesh,
    /// The world too, over all addresses of the node.
    World,
}

/// Since when somebody has wanted a port: of two who want the same one of the node, the first has it, however they come
/// and go meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// When whose it is was made, in seconds since 1970.
    pub since: i64,
    /// What tells them apart that were made in one second: their uid.
    pub uid: String,
}

/// One published port of one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Whose it is, for messages: `default/web`.
    pub name: String,
    /// Since when it is wanted.
    pub claim: Claim,
    /// The workload's own address; none: it is reached over the node's alone.
    pub address: Option<Ipv6Addr>,
    /// The port under which it is reached.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Who may reach it.
    pub reach: Reach,
    /// What stands behind it: those that are ready. An empty list refuses connections.
    pub backends: Vec<Backend>,
}

/// One instance behind a published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// The instance's stable address.
    pub ipv6: Ipv6Addr,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// The port that it listens on.
    pub port: u16,
    /// How many new connections it gets, compared with the others; 0: none. Those that it has stay.
    pub weight: u32,
}
