//! Why a connection ends, and what its other end is told.
//!
//! The code and the words go into QUIC's CONNECTION_CLOSE; they are for the other end's log and status.

use crate::frame::FrameError;
use crate::hello::HelloError;
use std::time::Duration;
use stoq::{Closed, ConnectError};
use thiserror::Error;

/// Why a connection ends.
#[derive(Clone, Debug, Error)]
pub(crate) enum End {
    /// It was closed, or lost.
    #[error("the connection ended")]
    Closed(#[source] Closed),
    /// It did not come about.
    #[error("no connection")]
    Unreached(#[source] ConnectError),
    /// The other end is no replica to talk to.
    #[error(transparent)]
    Hello(HelloError),
    /// It is no peer, or none any more.
    #[error("the replica with this key is no member")]
    Unknown,
    /// Another connection of the same two stays.
    #[error("there is another connection between these two replicas")]
    Duplicate,
    /// It broke the protocol not long ago.
    #[error("the replica broke the protocol; it may come again in {0:?}")]
    Penalty(Duration),
    /// It came too often.
    #[error("the replica connects too often; it may come again in {0:?}")]
    Often(Duration),
    /// It has too many connections that have not said hello.
    #[error("too many connections of this replica wait for their hello")]
    Busy,
    /// A frame announces what it may not be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is none, or not of its stream.
    #[error("what came on the stream of {stream} is malformed: {why}")]
    Malformed {
        /// What is on the stream.
        stream: &'static str,
        /// Why.
        why: String,
    },
    /// Something that this protocol has not.
    #[error("{0}")]
    OutOfPlace(&'static str),
    /// A frame or a hello that was begun did not end.
    #[error("{0} was begun and did not come in time")]
    Slow(&'static str),
    /// It takes nothing of what is said to it.
    #[error("the replica has taken nothing for {0:?}")]
    Stalled(Duration),
    /// This replica stops.
    #[error("the replica stops")]
    Stopping,
    /// The receiver of messages panicked.
    #[error("the receiver of messages failed")]
    Receiver,
}

/// The code of [`End::Duplicate`].
const DUPLICATE: u32 = 4;
/// The code of [`End::Stopping`].
pub(crate) const STOPPING: u32 = 0;

impl End {
    /// For QUIC.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Stopping | Self::Closed(_) | Self::Unreached(_) => STOPPING,
            Self::Hello(HelloError::Cluster { .. }) => 1,
            Self::Hello(HelloError::Version { .. }) => 2,
            Self::Unknown => 3,
            Self::Duplicate => DUPLICATE,
            Self::Penalty(_) => 5,
            Self::Busy => 6,
            Self::Frame(_) => 7,
            Self::Malformed { .. } | Self::Hello(HelloError::Malformed) => 8,
            Self::OutOfPlace(_) => 9,
            Self::Slow(_) => 10,
            Self::Stalled(_) => 11,
            Self::Receiver => 12,
            Self::Often(_) => 13,
        }
    }

    /// Whether the other end did what no replica does.
    pub(crate) fn is_violation(&self) -> bool {
        matches!(
            self,
            Self::Frame(_)
                | Self::Malformed { .. }
                | Self::Hello(HelloError::Malformed)
                | Self::OutOfPlace(_)
                | Self::Slow(_)
        )
    }

    /// Whether nothing is wrong: the pair talks on, on another connection.
    pub(crate) fn is_duplicate(&self) -> bool {
        match self {
            Self::Duplicate => true,
            Self::Closed(Closed::ByPeer { code, .. }) => *code == u64::from(DUPLICATE),
            _ => false,
        }
    }

    /// All of it, as one line.
    pub(crate) fn told(&self) -> String {
        told(self)
    }
}

/// An error and what led to it, as one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_end_is_told_has_the_whole_reason() {
        let closed = Closed::ByPeer { code: 1, reason: "of cluster a".to_owned() };
        let told = End::Closed(closed).told();
        assert_eq!(told, "the connection ended: the peer closed the connection with code 0x1: of cluster a");
        let duplicate = Closed::ByPeer { code: u64::from(End::Duplicate.code()), reason: String::new() };
        assert!(End::Closed(duplicate).is_duplicate());
    }
}
