//! What can go wrong with a request and with a body.

use crate::connection::Connection;
use crate::error::{Closed, ConnectError};
use crate::http3::frames::FrameError;
use h3::error::{Code, StreamError};
use std::time::Duration;
use thiserror::Error;

/// An error of the service's or the caller's own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request has no answer.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The request cannot be sent over HTTP/3.
    #[error("the request cannot be sent: {0}")]
    Invalid(&'static str),
    /// No connection could be made.
    #[error("no connection could be made")]
    Connect(#[from] ConnectError),
    /// The server did not take it: it was not processed, and may be sent again.
    #[error("the server closed before it took the request; it was not processed and may be sent again")]
    Rejected,
    /// No answer came in time; it may have been processed.
    #[error("no answer came within {after:?}; the request may have been processed")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The fields of the request are more than the server takes, or those of the answer more than is taken here.
    #[error("the header fields take {size} bytes, and at most {most} are taken")]
    FieldsTooLarge {
        /// How many bytes.
        size: u64,
        /// How many are taken.
        most: u64,
    },
    /// The request's own body failed.
    #[error("the body of the request failed")]
    Body(#[source] BoxError),
    /// The server gave the request up.
    #[error("the server gave the request up ({})", code_name(*.code))]
    Reset {
        /// The code (RFC 9114 §8.1).
        code: u64,
    },
    /// The connection ended; the request may have been processed.
    #[error("the connection ended before the answer; the request may have been processed")]
    Closed(#[source] Closed),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

impl RequestError {
    /// Whether it is certain that the server did not process the request.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Connect(_) | Self::Rejected | Self::FieldsTooLarge { .. } => true,
            Self::Reset { code } => *code == Code::H3_REQUEST_REJECTED.value(),
            Self::Timeout { .. } | Self::Body(_) | Self::Closed(_) | Self::Protocol(_) => false,
        }
    }
}

/// A body ended before its end.
#[derive(Clone, Debug, Error)]
pub enum BodyError {
    /// It is longer than is taken.
    #[error("the body is longer than the {most} bytes that are taken")]
    TooLarge {
        /// How many bytes are taken.
        most: u64,
    },
    /// Nothing of it came for too long.
    #[error("nothing of the body came for {after:?}")]
    Stalled {
        /// How long was waited.
        after: Duration,
    },
    /// It is shorter or longer than its Content-Length.
    #[error("the body does not have the {announced} bytes that its Content-Length announces")]
    Length {
        /// What was announced.
        announced: u64,
    },
    /// The peer gave it up.
    #[error("the peer gave the body up ({})", code_name(*.code))]
    Reset {
        /// The code (RFC 9114 §8.1).
        code: u64,
    },
    /// The connection ended.
    #[error("the connection ended within the body")]
    Closed(#[source] Closed),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
}

/// What h3 says of a stream, sorted.
pub(crate) enum Fault {
    /// The connection closes and did not take this stream.
    NotTaken,
    /// The peer did not take early data.
    EarlyRefused,
    Reset(u64),
    TooLarge {
        size: u64,
        most: u64,
    },
    Closed(Closed),
    Protocol(String),
}

impl Fault {
    pub(crate) fn of(error: StreamError, connection: &Connection) -> Self {
        match error {
            StreamError::RemoteClosing { .. } => Self::NotTaken,
            StreamError::RemoteTerminate { code, .. } => Self::Reset(code.value()),
            StreamError::HeaderTooBig { actual_size, max_size, .. } => {
                Self::TooLarge { size: actual_size, most: max_size }
            }
            StreamError::StreamError { reason, .. } => Self::Protocol(reason),
            StreamError::ConnectionError { 0: error, .. } => match connection.close_reason() {
                // h3 tells what the peer did wrong, and closes.
                Some(Closed::Locally) | None => match error {
                    h3::error::ConnectionError::Timeout { .. } => Self::Closed(Closed::TimedOut),
                    error => Self::Protocol(error.to_string()),
                },
                Some(closed) => Self::Closed(closed),
            },
            StreamError::Undefined { 0: error, .. } => {
                let early = matches!(error.downcast_ref(), Some(quinn::ReadError::ZeroRttRejected))
                    || matches!(error.downcast_ref(), Some(quinn::WriteError::ZeroRttRejected));
                if early {
                    Self::EarlyRefused
                } else if let Some(error) = error.downcast_ref::<FrameError>() {
                    Self::Protocol(error.to_string())
                } else {
                    match connection.close_reason() {
                        Some(closed) => Self::Closed(closed),
                        None => Self::Protocol(error.to_string()),
                    }
                }
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Reset(code) => Self::Reset { code },
            Fault::Closed(closed) => Self::Closed(closed),
            Fault::TooLarge { size, most } => {
                Self::Protocol(format!("the trailers take {size} bytes, and at most {most} are taken"))
            }
            Fault::NotTaken => Self::Reset { code: Code::H3_REQUEST_REJECTED.value() },
            Fault::EarlyRefused => Self::Protocol("early data was not taken".to_owned()),
            Fault::Protocol(told) => Self::Protocol(told),
        }
    }
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotTaken => Self::Rejected,
            Fault::EarlyRefused => Self::Protocol("early data was not taken".to_owned()),
            Fault::Reset(code) => Self::Reset { code },
            Fault::TooLarge { size, most } => Self::FieldsTooLarge { size, most },
            Fault::Closed(closed) => Self::Closed(closed),
            Fault::Protocol(told) => Self::Protocol(told),
        }
    }
}

/// A code as RFC 9114 §8.1 names it.
fn code_name(code: u64) -> String {
    match code {
        0x100..=0x110 | 0x200..=0x202 => Code::from(code).to_string(),
        _ => format!("code {code:#x}"),
    }
}
