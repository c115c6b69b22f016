//! Why a request did not come to an end.

use crate::state::ReadError;
use hypermesh_api::Status;
use thiserror::Error;

/// A refusal is an outcome, the same on every replica; a failed read is none, and stops the replica instead.
#[derive(Debug, Error)]
pub enum Fault {
    /// The request is refused with this status.
    #[error("the request is refused")]
    Refused(#[source] Box<Status>),
    /// The state could not be read.
    #[error("the state could not be read")]
    Read(#[from] ReadError),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<Box<Status>> for Fault {
    fn from(status: Box<Status>) -> Self {
        Self::Refused(status)
    }
}
