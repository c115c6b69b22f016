//! Why an image is not pulled.

use crate::config::ConfigError;
use crate::digest::Digest;
use crate::limits::{NESTING, REQUESTS};
use crate::manifest::ManifestError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
#[error("pulling {image} from {from}{}", told(.others))]
pub struct PullError {
    /// Which.
    pub image: String,
    /// The host whose reason this is: the registry's, or that of this machine.
    pub from: String,
    /// What mirrors that were tried before said.
    pub others: Vec<String>,
    /// Why.
    #[source]
    pub source: FetchError,
}

fn told(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" (before that, {})", others.join("; ")) }
}

/// Why something was not fetched from one host.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// This machine could not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its manifest is not used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its configuration is not used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A manifest is not what was asked for.
    #[error("a manifest was asked for by {expected}, and what came is {found}")]
    WrongManifest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A manifest has other than the announced length.
    #[error("the manifest {digest} was announced with {expected} bytes and has {found}")]
    WrongSize {
        /// Which.
        digest: Digest,
        /// Announced.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// Indexes in indexes without end.
    #[error("the image is an index in an index in an index, beyond {NESTING}")]
    Nested,
    /// A blob broke off too often.
    #[error("{digest} broke off {REQUESTS} times")]
    BrokenOff {
        /// Which.
        digest: Digest,
        /// The last time.
        #[source]
        source: RegistryError,
    },
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

impl FetchError {
    /// Whether another host might do better: not if this machine is at fault.
    pub(super) const fn is_of_host(&self) -> bool {
        match self {
            Self::Store(error) => matches!(
                error,
                StoreError::WrongDigest { .. } | StoreError::WrongSize { .. } | StoreError::Corrupt(_)
            ),
            Self::Ending => false,
            _ => true,
        }
    }
}

/// An error and what it comes from, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut at = error.source();
    while let Some(inner) = at {
        line += &format!(": {inner}");
        at = inner.source();
    }
    line
}
