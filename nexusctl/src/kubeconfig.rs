//! Kubeconfig files: found, read, merged, and resolved to one server and one identity.
//!
//! Source: `k8s.io/client-go/tools/clientcmd`. Every fault is told with file, line, column and field. No line of a
//! kubeconfig is ever shown: it may hold a key.

mod credential;
pub mod edit;
mod error;
mod exec;
mod file;
mod locate;
mod resolve;
#[cfg(test)]
mod tests;

pub use credential::{Credential, Shown};
pub use error::{Error, Place};
pub use exec::{Interactive, Plugin};
pub use file::{File, Merged};
pub use locate::{Located, changeable, locate};
pub use resolve::{Overrides, Target, resolve};

use crate::environment::Environment;

/// Finds, reads, merges and resolves in one go.
pub fn load(environment: &Environment, overrides: &Overrides) -> Result<Target, Error> {
    let located = locate(environment, overrides.kubeconfig.as_deref())?;
    // A server named on the command line needs no file.
    if located.files.is_empty() && overrides.server.is_none() {
        return Err(Error::NoConfiguration { looked_at: located.looked_at });
    }
    let mut files = Vec::with_capacity(located.files.len());
    for path in &located.files {
        files.push(File::read(path)?);
    }
    resolve(&Merged::new(files), overrides)
}
