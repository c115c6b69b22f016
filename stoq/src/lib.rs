//! QUIC endpoints with mutual identity, and HTTP/3 over them for any tower service.
//!
//! - An [`Endpoint`] is a UDP socket that dials and accepts. Both ends may show an Ed25519 [`Identity`] or any
//!   certificate; what is believed is a matter of [`Trust`].
//! - A [`Router`] gives each connection to the [`Protocol`] that its ALPN name asks for, keeps strangers within
//!   [`Limits`], and shuts down in order.
//! - [`http3::Http3`] is the protocol that serves a [`tower::Service`]; [`http3::Client`] is a tower service that
//!   dials, pools, resumes and retries.
//! - A [`Connection`] has streams and datagrams for protocols of other kinds.
//!
//! The library knows nothing of what is carried.

mod admission;
mod connection;
mod endpoint;
mod error;
pub mod http3;
mod identity;
mod metrics;
#[cfg(feature = "qlog")]
mod qlog;
mod router;
mod settings;
mod tls;
mod trust;

pub use connection::{Connection, DatagramError, Peer, RecvStream, SendStream};
pub use endpoint::{Endpoint, EndpointBuilder, Target};
pub use error::{BindError, CertificateProblem, Closed, ConnectError, TlsError};
pub use identity::{Identity, PublicKey};
pub use metrics::{Counter, Gauge, Metrics};
pub use router::{Closing, Protocol, ProtocolError, Router, RouterBuilder};
pub use settings::{Limits, Settings};
pub use tls::{ClientTls, ServerTls, provider};
pub use trust::{ClientAuth, Trust};
