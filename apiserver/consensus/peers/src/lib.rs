//! What replicas say to each other, carried over QUIC between proven keys.
//!
//! [`Peers`] keeps one connection with each other replica, whoever dialled, and brings across what
//! `hypermesh_bft::Engine` has to say. It decides nothing: what it cannot bring across is dropped by rules that the engine
//! lives with, or waits, and is counted. It looks into messages only to know how each travels ([`Class`]), and
//! hands over what is well-formed; that it is true, the engine finds out.
//!
//! - **Who.** Both ends prove an Ed25519 key in the handshake, and it is one of the peers' that were named. What cluster
//!   and version a replica is of is said in a [`hello`], and what does not fit is refused by name.
//! - **How.** Statements travel in order and before all else; each block on a stream of its own; requests in order,
//!   acknowledged, and sent again on the next connection if they were not taken. Classes share a connection and no
//!   queue, window or task.
//! - **How much.** Towards a peer, bytes wait in bounded queues; of a peer, so much is taken as the receiver has room for
//!   ([`Delivery`]). A frame is judged by its announced length, and its bytes must come in time. What is
//!   malformed ends the connection, and whoever sent it stays out for a while.
//! - **How soon.** A peer that falls silent is noticed within [`Limits::silence`]; who takes its turn is the engine's.
//!
//! Invariants: the receiver hears [`Incoming::Connected`], then messages, then [`Incoming::Disconnected`] of a peer, in turn;
//! memory that one peer can take is bounded by [`Limits`], whatever it sends or does not read; [`Peers::send`] never waits.

mod backoff;
mod class;
mod counts;
mod duel;
mod end;
mod error;
pub mod frame;
mod greeting;
pub mod hello;
mod incoming;
mod keep;
mod link;
mod metrics;
mod outbox;
mod peers;
mod reader;
mod session;
mod settings;
mod shared;
mod status;
mod window;

pub use class::Class;
pub use error::StartError;
pub use greeting::ALPN;
pub use incoming::{Delivery, Held, Incoming};
pub use peers::Peers;
pub use settings::{ClassLimits, Limits, Peer, Settings, Window};
pub use status::{ClassStatus, PeerStatus};
