//! What goes wrong between a caller's wish and a container.

use hypermesh_shim::protocol::{ContainerId, InstanceId, Refusal};
use std::io;
use std::path::PathBuf;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// What is to run makes no sense; asking again will not help.
    #[error("{what}: {why}")]
    Invalid {
        /// Which field, such as `limits.memory`.
        what: String,
        /// What is wrong with it, and what would do.
        why: String,
    },
    /// This node cannot.
    #[error("this node cannot give what is asked for: {0}")]
    Unsupported(String),
    /// There is one already.
    #[error("the instance {0} has a sandbox already")]
    Exists(InstanceId),
    /// The shim did not begin.
    #[error("the shim of {instance} did not start: {why}")]
    ShimStart {
        /// Whose.
        instance: InstanceId,
        /// Its own words, or what became of it.
        why: String,
    },
    /// The shim is gone, and with it all that it ran.
    #[error("the shim of {0} is gone, and its containers with it")]
    ShimLost(InstanceId),
    /// The shim speaks something that this agent does not.
    #[error("the shim of {instance} speaks version {found} of its protocol, and this agent {wanted}")]
    ShimVersion {
        /// Whose.
        instance: InstanceId,
        /// Its version.
        found: u32,
        /// Ours.
        wanted: u32,
    },
    /// What the shim said was not of the form.
    #[error("the shim of {instance} said what is not understood: {why}")]
    Protocol {
        /// Whose.
        instance: InstanceId,
        /// What.
        why: String,
    },
    /// The shim did not do it.
    #[error("the container {container} could not {verb}")]
    Refused {
        /// Which.
        container: ContainerId,
        /// What was asked, such as `be created`.
        verb: &'static str,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The shim as such did not do it.
    #[error("the shim of {instance} refused")]
    ShimRefused {
        /// Whose.
        instance: InstanceId,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// It took longer than it was given.
    #[error("{what} took longer than {seconds} s")]
    Timeout {
        /// What.
        what: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The disk or the kernel would not.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, such as `reading`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl RuntimeError {
    /// Whether asking for the same again cannot help: the wish is at fault, or this node is.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Unsupported(_))
    }
}

/// An error with all its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The disk's or the kernel's reason, with what was being done to what.
pub(crate) fn io_error(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.into();
    move |source| RuntimeError::Io { doing, path, source }
}
