//! What can go wrong, and what a node may lack.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An operation on the node's network that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A namespace could not be made, entered or removed.
    #[error("network namespace {}", path.display())]
    Namespace {
        /// Where it is mounted.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a link, an address or a route.
    #[error("{what}")]
    Link {
        /// What was tried.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A setting of the kernel could not be written.
    #[error("kernel setting {name}")]
    Setting {
        /// Its path below `/proc/sys`.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The rules could not be put in force.
    #[error("nft refused the rules: {0}")]
    Rules(String),
    /// The state of an attachment could not be read or written.
    #[error("{}", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// All IPv4 addresses of the node are taken.
    #[error(
        "no IPv4 address is left in {pool}: {taken} instances have one; a larger range can be configured"
    )]
    Exhausted {
        /// The range.
        pool: String,
        /// How many are taken.
        taken: usize,
    },
    /// The range of IPv4 addresses is used by somebody else.
    #[error(
        "the range {pool} overlaps with {route}, which this node has a route for; configure another range"
    )]
    Overlap {
        /// The range.
        pool: String,
        /// What it overlaps with.
        route: String,
    },
    /// There is no such attachment.
    #[error("nothing is attached under {0}")]
    Unknown(String),
    /// Something inside an instance's namespace did not answer.
    #[error("{target}")]
    Dial {
        /// What was dialled.
        target: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a node lacks, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
