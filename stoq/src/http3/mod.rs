//! HTTP/3 (RFC 9114): a server for any tower service, and a client that is one.
//!
//! h3 does the protocol; nothing of it shows here, since it moves on its own schedule.

mod body;
mod client;
mod error;
mod fields;
mod frames;
mod pool;
mod request;
mod serve;
mod transport;

pub use body::Body;
pub use client::{Client, ClientBuilder};
pub use error::{BodyError, BoxError, RequestError};
pub use serve::{Http3, HttpLimits};

use crate::connection::Peer;
use std::net::SocketAddr;
use std::sync::Arc;

/// HTTP/3's ALPN name (RFC 9114 §3.1).
pub const ALPN: &[u8] = b"h3";

/// Marks a request of which a second coming does no harm (RFC 8470).
///
/// A client sets it as an extension on a GET or HEAD without a body that may go into the first flight of a resumed
/// connection. A service finds it on requests that came in such a flight, which someone on the way may have recorded
/// and may send again; a request for which that is not harmless is to be answered with 425 (Too Early), after which
/// the client sends it again when the handshake is over. Requests with other methods are answered so without asking
/// the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyData;

/// Who sent a request: an extension of each request that a service is given.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the client's certificates say.
    pub peer: Arc<Peer>,
    /// Where it was when the request came.
    pub address: SocketAddr,
}
