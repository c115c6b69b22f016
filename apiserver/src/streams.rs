//! Streams to agents, and what is known of agents without the store.
//!
//! A log, an exec, an attach, a forwarded port: each is one HTTP/3 request to the agent of the node, by the protocol of
//! [`hypermesh_stream`], over a connection on which both ends have shown who they are. What clients speak (WebSocket,
//! SPDY, frames) is turned into that here; who may ask was decided before ([`crate::http`]).
//!
//! Bytes are never piled up: each side is read as fast as the other takes. A client that is gone ends its request to the
//! agent, and an agent that is gone ends its client's stream with words.

pub(crate) mod agents;
pub(crate) mod forward;
pub(crate) mod liveness;
pub(crate) mod ports;
mod room;
mod seen;
pub(crate) mod shell;
pub(crate) mod terminal;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod websocket;

pub(crate) use agents::{Agents, Node};
pub(crate) use liveness::Alive;
pub(crate) use room::{Place, Room};
pub(crate) use seen::Seen;
pub(crate) use upload::Upload;
pub(crate) use usage::Usage;
