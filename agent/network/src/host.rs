//! Where the node's own network is: usually the process' namespace, and another one where it was told so.

use crate::netns;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The namespace that is the node's.
#[derive(Clone, Debug)]
pub struct Host(Option<Arc<PathBuf>>);

impl Host {
    /// The one at `path`; none: the process' own.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self(path.map(Arc::new))
    }

    /// Runs something short in it: sockets that are made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match &self.0 {
            None => work(),
            Some(path) => netns::within(path, work),
        }
    }

    /// Runs something short that needs a runtime, such as making a socket of tokio's, in it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let runtime = tokio::runtime::Handle::current();
        self.run(move || {
            let _guard = runtime.enter();
            work()
        })
    }
}
