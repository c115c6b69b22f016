//! One pull from one host: from the name to the manifest, and from there to every layer.

use super::Puller;
use super::error::{FetchError, chain};
use super::options::Retry;
use super::progress::{LayerProgress, Progress, Pulled, Step};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::limits::NESTING;
use crate::manifest::{Descriptor, Document, Manifest, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::registry::{Fetched, Registry, RegistryError, Source};
use crate::store::{Hold, StoreError};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What one pull carries along.
pub(super) struct Job<'a> {
    pub puller: &'a Puller,
    pub source: Source,
    pub progress: &'a watch::Sender<Progress>,
}

impl Job<'_> {
    pub(super) async fn run(&self, name: &Reference) -> Result<Pulled, FetchError> {
        let store = Arc::clone(&self.puller.store);
        let mut hold = store.hold();
        let mut opened = None;
        let (target, document) = match name.digest() {
            Some(digest) if !self.puller.options.ask_always => {
                self.manifest_by_digest(digest, None, &mut hold).await?
            }
            Some(digest) => {
                hold.add(digest);
                let target = digest.to_string();
                let fetched = self.again(|| self.registry().manifest(&self.source, &target)).await?;
                opened = Some(fetched.opened.clone());
                self.keep_manifest(fetched, Some(digest), &mut hold).await?
            }
            None => {
                let fetched = self
                    .again(|| self.registry().manifest(&self.source, name.tag().unwrap_or("latest")))
                    .await?;
                opened = Some(fetched.opened.clone());
                self.keep_manifest(fetched, None, &mut hold).await?
            }
        };
        let (chosen, manifest) = self.choose(target.clone(), document, &mut hold).await?;
        hold.add(&manifest.config.digest);
        let mut fetched = self.blob(&manifest.config, |_| {}).await?;
        let limits = store.limits();
        let bytes = store.read_blob(&manifest.config.digest, limits.config_bytes)?;
        let config = ImageConfig::read(&bytes, limits)?;
        config.check(manifest.layers.len(), &self.puller.options.platform)?;
        for digest in manifest.layers.iter().map(|layer| &layer.digest).chain(&config.rootfs.diff_ids) {
            hold.add(digest);
        }
        fetched += self.layers(&manifest, &config).await?;
        let (platform, manifest_digest) = (self.puller.options.platform.clone(), chosen.digest.clone());
        let (name_, target_, digest_) = (name.clone(), target.clone(), manifest_digest.clone());
        let store_ = Arc::clone(&store);
        blocking(move || store_.name(&name_, &target_, &digest_, &platform)).await??;
        Ok(Pulled {
            name: name.clone(),
            target,
            manifest: manifest_digest,
            id: manifest.config.digest,
            from: self.source.host.clone(),
            fetched,
            opened,
        })
    }

    pub(super) fn registry(&self) -> &dyn Registry {
        &*self.puller.registry
    }

    /// From what a name stands for to the manifest for this platform.
    async fn choose(
        &self,
        target: Descriptor,
        document: Document,
        hold: &mut Hold<'_>,
    ) -> Result<(Descriptor, Manifest), FetchError> {
        let (mut at, mut document) = (target, document);
        for _ in 0..=NESTING {
            let index = match document {
                Document::Manifest(manifest) => return Ok((at, manifest)),
                Document::Index(index) => index,
            };
            let entry = index.select(&self.puller.options.platform)?;
            (at, document) = self.manifest_by_digest(&entry.digest, Some(entry.size), hold).await?;
        }
        Err(FetchError::Nested)
    }

    /// A manifest that is known by its digest: from the store if it has it.
    async fn manifest_by_digest(
        &self,
        digest: &Digest,
        size: Option<u64>,
        hold: &mut Hold<'_>,
    ) -> Result<(Descriptor, Document), FetchError> {
        hold.add(digest);
        let store = &self.puller.store;
        let limits = store.limits();
        if let Ok(bytes) = store.read_blob(digest, limits.manifest_bytes) {
            let document = Document::read(&bytes, None, limits)?;
            return Ok((described(&document, None, digest.clone(), bytes.len() as u64), document));
        }
        let target = digest.to_string();
        let fetched = self.again(|| self.registry().manifest(&self.source, &target)).await?;
        let found = fetched.bytes.len() as u64;
        if let Some(expected) = size.filter(|size| *size != found) {
            return Err(FetchError::WrongSize { digest: digest.clone(), expected, found });
        }
        self.keep_manifest(fetched, Some(digest), hold).await
    }

    async fn keep_manifest(
        &self,
        fetched: Fetched,
        expected: Option<&Digest>,
        hold: &mut Hold<'_>,
    ) -> Result<(Descriptor, Document), FetchError> {
        // By tag, the registry's word about the digest is checked as well: something in between may have cut it off.
        let digest = match expected.or(fetched.digest.as_ref()) {
            Some(expected) if expected.is_of(&fetched.bytes) => expected.clone(),
            Some(expected) => {
                let found = Digest::of(&fetched.bytes);
                return Err(FetchError::WrongManifest { expected: expected.clone(), found });
            }
            None => Digest::of(&fetched.bytes),
        };
        let store = Arc::clone(&self.puller.store);
        let document = Document::read(&fetched.bytes, fetched.media_type.as_deref(), store.limits())?;
        hold.add(&digest);
        let descriptor =
            described(&document, fetched.media_type.as_deref(), digest.clone(), fetched.bytes.len() as u64);
        blocking(move || store.put(&digest, &fetched.bytes)).await??;
        Ok((descriptor, document))
    }

    /// All layers, side by side: fetched, then unpacked. Gives the bytes that came.
    async fn layers(&self, manifest: &Manifest, config: &ImageConfig) -> Result<u64, FetchError> {
        let begun = manifest.layers.iter().map(|layer| LayerProgress {
            digest: layer.digest.clone(),
            size: layer.size,
            done: 0,
            step: Step::Waiting,
        });
        let layers: Vec<LayerProgress> = begun.collect();
        self.progress.send_modify(|progress| progress.layers = layers);
        let pairs = manifest.layers.iter().zip(&config.rootfs.diff_ids).enumerate();
        let all = pairs.map(|(at, (layer, diff_id))| self.layer(at, layer, diff_id));
        // Bounded by the semaphores, which all pulls share; here only so that no image begins all at once.
        let fetched: Vec<u64> = stream::iter(all).buffered(16).try_collect().await?;
        Ok(fetched.into_iter().sum())
    }

    async fn layer(&self, at: usize, layer: &Descriptor, diff_id: &Digest) -> Result<u64, FetchError> {
        let step = |step, done: Option<u64>| {
            self.progress.send_modify(|progress| {
                if let Some(layer) = progress.layers.get_mut(at) {
                    layer.step = step;
                    layer.done = done.unwrap_or(layer.done);
                }
            });
        };
        let mut fetched = 0;
        // A blob that was damaged on disk is fetched once more.
        for last in [false, true] {
            if self.puller.store.layer(diff_id).is_none() {
                {
                    let _permit = self.puller.downloads.acquire().await.map_err(|_| FetchError::Ending)?;
                    fetched += self.blob(layer, |done| step(Step::Downloading, Some(done))).await?;
                }
                step(Step::Here, Some(layer.size));
                let _permit = self.puller.unpacks.acquire().await.map_err(|_| FetchError::Ending)?;
                step(Step::Unpacking, None);
                let store = Arc::clone(&self.puller.store);
                let (blob, diff_id) = (layer.digest.clone(), diff_id.clone());
                match blocking(move || store.unpack_layer(&blob, &diff_id)).await? {
                    Err(StoreError::Corrupt(_)) if !last => continue,
                    other => drop(other?),
                }
            }
            break;
        }
        step(Step::Ready, Some(layer.size));
        Ok(fetched)
    }

    /// Asks, and asks again if that may help.
    async fn again<T, F>(&self, ask: impl Fn() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let mut failures = 0;
        loop {
            let error = match ask().await {
                Ok(given) => {
                    self.progress.send_if_modified(|progress| progress.waiting.take().is_some());
                    return Ok(given);
                }
                Err(error) => error,
            };
            failures += 1;
            if !error.is_transient() || failures >= self.puller.options.retry.tries {
                return Err(error.into());
            }
            let pause = self.pause(failures, error.retry_after());
            self.wait(pause, &error.into()).await;
        }
    }

    /// How long to wait after so many failures.
    pub(super) fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(self.puller.store.limits().retry_after);
        }
        let Retry { first, longest, .. } = self.puller.options.retry;
        let full = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
        let mut random = [0; 1];
        // Without randomness, all nodes of a cluster come back at the same moment: unpleasant, not wrong.
        let _ = getrandom::fill(&mut random);
        full / 2 + full.mul_f32(f32::from(random[0]) / 512.0)
    }

    pub(super) async fn wait(&self, pause: Duration, error: &FetchError) {
        let line = chain(error);
        tracing::debug!(host = %self.source.host, pause_ms = pause.as_millis(), error = %line, "will ask again");
        self.progress.send_modify(|progress| progress.waiting = Some(line));
        tokio::time::sleep(pause).await;
    }
}

fn described(document: &Document, announced: Option<&str>, digest: Digest, size: u64) -> Descriptor {
    let own = match document {
        Document::Manifest(_) => OCI_MANIFEST,
        Document::Index(_) => OCI_INDEX,
    };
    let known = announced.filter(|announced| crate::manifest::ACCEPTED.contains(announced));
    Descriptor::new(known.unwrap_or(own), digest, size)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| FetchError::Ending)
}
