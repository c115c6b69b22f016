//! Pulling: from a name to an image that can run, from mirrors or the registry, whatever breaks on the way.
//!
//! Nothing is believed but digests: a mirror, a tag or a header can only make a pull fail. Blobs come side by side, go on
//! where they stopped, and are unpacked as they come. What a retry can mend is retried with growing pauses, or as late
//! as the registry asks; what it cannot is told at once. Dropping the future stops the pull; what came stays.

mod blob;
mod error;
mod job;
mod options;
mod progress;

pub use error::{FetchError, PullError};
pub use options::{Mirror, PullOptions, Retry};
pub use progress::{LayerProgress, Progress, Pulled, Step};

use crate::credentials::Keyring;
use crate::reference::Reference;
use crate::registry::{Registry, Source};
use crate::store::Store;
use error::chain;
use job::Job;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Pulls images into a store.
#[derive(Clone)]
pub struct Puller {
    store: Arc<Store>,
    registry: Arc<dyn Registry>,
    options: Arc<PullOptions>,
    downloads: Arc<Semaphore>,
    unpacks: Arc<Semaphore>,
}

impl Puller {
    /// Pulls into a store from registries.
    #[must_use]
    pub fn new(store: Arc<Store>, registry: Arc<dyn Registry>, options: PullOptions) -> Self {
        let downloads = Arc::new(Semaphore::new(options.downloads.max(1)));
        let unpacks = Arc::new(Semaphore::new(options.unpacks.max(1)));
        Self { store, registry, options: Arc::new(options), downloads, unpacks }
    }

    /// Pulls an image, unpacks it, and names it. What is here already is not fetched again.
    ///
    /// # Errors
    /// What the registry said, with what mirrors had said before; or what this machine could not do.
    pub async fn pull(
        &self,
        name: &Reference,
        keyring: &Keyring,
        progress: &watch::Sender<Progress>,
    ) -> Result<Pulled, PullError> {
        let mut others = Vec::new();
        let mut sources = self.sources(name, keyring).into_iter().peekable();
        while let Some(source) = sources.next() {
            let from = source.host.clone();
            progress.send_replace(Progress { from: from.clone(), ..Progress::default() });
            let job = Job { puller: self, source, progress };
            match job.run(name).await {
                Ok(pulled) => return Ok(pulled),
                Err(error) if error.is_of_host() && sources.peek().is_some() => {
                    others.push(format!("{from}: {}", chain(&error)));
                }
                Err(source) => {
                    let image = name.familiar();
                    return Err(PullError { image, from, others, source });
                }
            }
        }
        // The registry itself is always the last source.
        Err(PullError { image: name.familiar(), from: String::new(), others, source: FetchError::Ending })
    }

    fn sources(&self, name: &Reference, keyring: &Keyring) -> Vec<Source> {
        let mirrors = self.options.mirrors.get(name.registry()).into_iter().flatten();
        let mirrors = mirrors.filter(|mirror| mirror.check().is_ok()).map(|mirror| {
            let prefix = mirror.prefix.trim_end_matches('/');
            let repository = match prefix {
                "" => name.repository().to_owned(),
                prefix => format!("{prefix}/{}", name.repository()),
            };
            let credentials = keyring.for_repository(&mirror.host, &repository);
            let mirrored = Some(name.registry().to_owned());
            Source { host: mirror.host.clone(), repository, mirrored, credentials }
        });
        let itself = Source {
            host: name.host().to_owned(),
            repository: name.repository().to_owned(),
            mirrored: None,
            credentials: keyring.for_image(name),
        };
        mirrors.chain([itself]).collect()
    }
}
