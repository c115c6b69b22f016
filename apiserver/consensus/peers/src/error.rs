//! Why a replica cannot reach, nor be reached.

use std::io;
use stoq::{BindError, TlsError};
use thiserror::Error;

/// The transport between replicas could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// It was not started on a tokio runtime.
    #[error("the transport between replicas needs a tokio runtime to run on")]
    NoRuntime,
    /// The replica's key cannot be shown.
    #[error("the replica's key cannot be used in handshakes")]
    Identity(#[source] TlsError),
    /// The UDP socket could not be bound.
    #[error("the replica cannot listen for its peers")]
    Bind(#[source] BindError),
    /// Its address cannot be read.
    #[error("the address on which the replica listens cannot be read")]
    Address(#[source] io::Error),
    /// It cannot accept.
    #[error("the replica cannot accept its peers")]
    Accept(#[source] TlsError),
}
