//! How images are pulled.

use crate::platform::Platform;
use crate::reference::{ReferenceError, check_registry, check_repository};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Another place where a registry's images can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Host, with its port if it has one.
    pub host: String,
    /// What stands before the repository's name there; may be empty.
    #[serde(default)]
    pub prefix: String,
}

impl Mirror {
    /// Whether it can be part of an address.
    ///
    /// # Errors
    /// What of it cannot.
    pub fn check(&self) -> Result<(), ReferenceError> {
        check_registry(&self.host)?;
        if self.prefix.is_empty() { Ok(()) } else { check_repository(&self.prefix) }
    }
}

/// How often and how soon something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries without any progress.
    pub tries: u32,
    /// The pause after the first; it doubles, and a random half of it is left out.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }
}

/// How images are pulled.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// For which platform.
    pub platform: Platform,
    /// By registry, in the order they are tried; the registry itself comes last.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Layers that come at the same time, in all pulls together.
    pub downloads: usize,
    /// Layers that are unpacked at the same time, in all pulls together.
    pub unpacks: usize,
    /// When to try again.
    pub retry: Retry,
    /// Whether the registry is asked for a manifest that is here already, when a name pins it. Else whoever knows the
    /// digest may use an image that somebody else had the credentials for.
    pub ask_always: bool,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::node(),
            mirrors: BTreeMap::new(),
            downloads: 3,
            unpacks: 2,
            retry: Retry::default(),
            ask_always: true,
        }
    }
}
