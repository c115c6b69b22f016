//! Instances on a node's network: a namespace each, joined to a bridge of the node by a veth pair, with a stable IPv6
//! address of the cluster and an IPv4 address of the node; their way out; and the ports that workloads publish, balanced
//! over ready backends.
//!
//! It is what one node needs by itself. What joins nodes to each other takes its place behind the agent's seam, and
//! until then instances of other nodes are not reached.
//!
//! No manifest is known here, and nothing of the API but the cluster's addresses. The way of a packet:
//!
//! ```text
//!  instance A          node                                      instance B
//!  eth0 fdxx::a/128    veth ─┐  bridge  ┌─ veth    fdxx::b/128 eth0
//!  default via fe80::1       └── fe80::1 ──┘       default via fe80::1
//! ```
//!
//! No address is on-link for an instance, not even its neighbours': every packet goes through the node's routing, where
//! the rules are. What needs the kernel stands in [`netns`], `links` and `firewall`; what is computed
//! ([`rules`], `guard`, `addresses`, [`balance`], `pool`, [`files`]) is pure.

mod addresses;
mod attachments;
pub mod balance;
mod crowd;
mod error;
pub mod files;
mod firewall;
mod guard;
mod host;
mod links;
pub mod netns;
mod network;
mod pool;
mod proxy;
pub mod rules;
mod service;
mod silence;
mod sysctl;
mod udp;

pub use attachments::Attachment;
pub use error::{Missing, NetworkError};
pub use network::{Config, Network, Problem, Published, Traffic, clear};
pub use pool::Ipv4Pool;
pub use service::{Backend, Claim, Protocol, Reach, Service};
