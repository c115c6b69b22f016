//! Pulling: from a name to an image that can run, from mirrors or the registry, whatever breaks on the way.
//!
//! Nothing is believed but digests: a mirror, a tag or a header can only make a pull fail. Blobs come side by side, go on
//! where they stopped, and are unpacked as they come. What a retry can mend is retried with growing pauses, or as late
//! as the registry asks; what it cannot is told at once. Dropping the future stops the pull; what came stays.

use crate::config::{ConfigError, ImageConfig};
use crate::credentials::Keyring;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Manifest, ManifestError, OCI_INDEX, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::{Reference, ReferenceError, check_registry, check_repository};
use crate::registry::{Fetched, Registry, RegistryError, Source};
use crate::store::{Hold, Store, StoreError};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

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

/// However many bytes come each time, a blob is not asked for more often than this.
const REQUESTS: u32 = 64;
/// How deep indexes may lie in indexes.
const NESTING: usize = 3;

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
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::node(),
            mirrors: BTreeMap::new(),
            downloads: 3,
            unpacks: 2,
            retry: Retry::default(),
        }
    }
}

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which host it comes from, once one is asked.
    pub from: String,
    /// Its layers, lowest first, once they are known.
    pub layers: Vec<LayerProgress>,
    /// Why it waits, if it does: the last error, in one line.
    pub waiting: Option<String>,
}

/// How far a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Which blob.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// How many are here.
    pub done: u64,
    /// What is being done.
    pub step: Step,
}

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It waits for its turn.
    Waiting,
    /// It comes.
    Downloading,
    /// It is here, and waits to be unpacked.
    Here,
    /// It is being unpacked.
    Unpacking,
    /// It can be used.
    Ready,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Under which name.
    pub name: Reference,
    /// What the name stands for: a manifest or an index.
    pub target: Descriptor,
    /// The manifest for this platform, by which the image is leased.
    pub manifest: Digest,
    /// Docker's id of it.
    pub id: Digest,
    /// Which host gave it.
    pub from: String,
    /// Bytes that came over the network.
    pub fetched: u64,
}

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
    const fn is_of_host(&self) -> bool {
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

/// Pulls images into a store.
#[derive(Clone)]
pub struct Puller {
    store: Arc<Store>,
    registry: Arc<dyn Registry>,
    options: Arc<PullOptions>,
    downloads: Arc<Semaphore>,
    unpacks: Arc<Semaphore>,
}

/// What one pull carries along.
struct Job<'a> {
    puller: &'a Puller,
    source: Source,
    progress: &'a watch::Sender<Progress>,
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

impl Job<'_> {
    async fn run(&self, name: &Reference) -> Result<Pulled, FetchError> {
        let store = Arc::clone(&self.puller.store);
        let mut hold = store.hold();
        let (target, document) = match name.digest() {
            Some(digest) => self.manifest_by_digest(digest, None, &mut hold).await?,
            None => {
                let fetched = self
                    .again(|| self.registry().manifest(&self.source, name.tag().unwrap_or("latest")))
                    .await?;
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
        })
    }

    fn registry(&self) -> &dyn Registry {
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

    /// Fetches a blob unless it is here, going on where it stopped. Gives the bytes that came.
    async fn blob(&self, blob: &Descriptor, done: impl Fn(u64)) -> Result<u64, FetchError> {
        let (mut failures, mut fetched) = (0, 0);
        for request in 1..=REQUESTS {
            let mut come = 0;
            let error = match self.blob_once(blob, &mut come, &done).await {
                Ok(()) => return Ok(fetched + come),
                Err(error) => error,
            };
            fetched += come;
            failures = if come > 0 { 1 } else { failures + 1 };
            let pause = match &error {
                FetchError::Registry(error)
                    if error.is_transient() && failures < self.puller.options.retry.tries =>
                {
                    self.pause(failures, error.retry_after())
                }
                // Cut off without an error, or continued from something else than there is now.
                FetchError::Store(StoreError::WrongSize { .. } | StoreError::WrongDigest { .. })
                    if failures < 2 && request == 1 =>
                {
                    self.pause(failures, None)
                }
                _ => return Err(error),
            };
            if request == REQUESTS
                && let FetchError::Registry(source) = error
            {
                return Err(FetchError::BrokenOff { digest: blob.digest.clone(), source });
            }
            self.wait(pause, &error).await;
        }
        Err(FetchError::Ending)
    }

    async fn blob_once(
        &self,
        blob: &Descriptor,
        come: &mut u64,
        done: &impl Fn(u64),
    ) -> Result<(), FetchError> {
        let (send, receive) = mpsc::channel(16);
        let (tell, begins) = oneshot::channel();
        let (store, digest, size) = (Arc::clone(&self.puller.store), blob.digest.clone(), blob.size);
        let writer = tokio::task::spawn_blocking(move || write(&store, &digest, size, tell, receive));
        let result = match begins.await {
            Ok(Some(offset)) => self.feed(blob, offset, &send, come, done).await,
            // It is here, or the writer has something to tell.
            Ok(None) | Err(_) => Ok(()),
        };
        drop(send);
        let written = writer.await.map_err(|_| FetchError::Ending)?;
        match (result, written) {
            // What this machine could not do explains why the rest stopped.
            (_, Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error.into()),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    /// Hands what comes to the writer.
    async fn feed(
        &self,
        blob: &Descriptor,
        offset: u64,
        send: &mpsc::Sender<Piece>,
        come: &mut u64,
        done: &impl Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut at = offset;
        done(at);
        if offset < blob.size || blob.size == 0 {
            let mut body = self.registry().blob(&self.source, &blob.digest, offset).await?;
            self.progress.send_if_modified(|progress| progress.waiting.take().is_some());
            if body.offset != offset {
                at = 0;
                if send.send(Piece::Restart).await.is_err() {
                    return Ok(());
                }
            }
            while let Some(chunk) = body.chunks.try_next().await? {
                *come += chunk.len() as u64;
                at += chunk.len() as u64;
                // The writer ended: it tells why.
                if send.send(Piece::Bytes(chunk)).await.is_err() {
                    return Ok(());
                }
                done(at.min(blob.size));
            }
        }
        let _ = send.send(Piece::End).await;
        Ok(())
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
    fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
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

    async fn wait(&self, pause: Duration, error: &FetchError) {
        let line = chain(error);
        tracing::debug!(host = %self.source.host, pause_ms = pause.as_millis(), error = %line, "will ask again");
        self.progress.send_modify(|progress| progress.waiting = Some(line));
        tokio::time::sleep(pause).await;
    }
}

/// What the writer of a blob is handed.
enum Piece {
    /// Begin anew.
    Restart,
    /// The next bytes.
    Bytes(Bytes),
    /// That was all.
    End,
}

/// Writes a blob, on a thread that may block. Without an end, what came is kept to go on from.
fn write(
    store: &Store,
    digest: &Digest,
    size: u64,
    tell: oneshot::Sender<Option<u64>>,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<(), StoreError> {
    let Some(mut ingest) = store.ingest(digest, Some(size))? else {
        let _ = tell.send(None);
        return Ok(());
    };
    let resumed = ingest.resumed();
    let _ = tell.send(Some(ingest.offset()));
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Restart => ingest.restart()?,
            Piece::Bytes(bytes) => ingest.write(&bytes)?,
            Piece::End => {
                tracing::trace!(%digest, resumed, "the blob is whole");
                return ingest.commit();
            }
        }
    }
    Ok(())
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

/// An error and what it comes from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut at = error.source();
    while let Some(inner) = at {
        line += &format!(": {inner}");
        at = inner.source();
    }
    line
}
