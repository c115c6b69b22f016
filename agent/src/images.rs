//! A node's images: fetched for containers by their pull policies, and looked into.

mod access;

use crate::failure::chain;
use crate::objects::Glance;
use crate::settings::{ImageSettings, Layout};
use access::Access;
use futures_util::future::BoxFuture;
use hypermesh_image::{
    Digest, HttpOptions, HttpRegistry, Image, ImageStatus, Keyring, Progress, PullOptions, Puller, Reference,
    RootFs, RootFsOptions, Store, StoreError, StoreOptions,
};
use hypermesh_planner::Refusal;
use hypermesh_planner::user::ImageUser;
use hypermesh_schemas::workload::container::ImagePullPolicy;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The images of a node.
#[derive(Clone)]
pub struct Images {
    store: Arc<Store>,
    puller: Puller,
    access: Arc<Access>,
}

/// An image that is here for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its manifest's digest.
    pub digest: Digest,
    /// What people are told of a pull; none: it was here already.
    pub pulled: Option<String>,
}

/// All that a run takes of its image.
pub struct Ready {
    /// What it is.
    pub image: Image,
    /// Whom it wants to run as.
    pub user: ImageUser,
    /// The run's root file system.
    pub root: RootFs,
}

/// An image is not here, in the words that people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFetched {
    /// What kind of refusal.
    pub refusal: Refusal,
    /// Why, in words.
    pub message: String,
}

impl NotFetched {
    fn of(refusal: Refusal, message: impl Into<String>) -> Self {
        Self { refusal, message: message.into() }
    }
}

/// The image store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The store.
    #[error("the image store cannot be opened")]
    Store(#[from] StoreError),
    /// TLS.
    #[error("registries cannot be reached")]
    Tls(#[from] hypermesh_image::TlsError),
    /// What is remembered of pulls.
    #[error(
        "{path}, which says who may use which image, cannot be used; without it all would be asked for anew"
    )]
    Access {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Images {
    /// Opens the node's images.
    ///
    /// # Errors
    /// When another process has them, or the disk would not.
    pub fn open(layout: &Layout, settings: &ImageSettings) -> Result<Self, ImagesError> {
        let (store, findings) = Store::open(&layout.images(), StoreOptions::default())?;
        for finding in findings {
            tracing::warn!(finding = ?finding, "the image store was mended");
        }
        let registry = HttpRegistry::new(HttpOptions {
            plain_http: settings.plain_http.clone(),
            extra_roots: settings.authorities.clone(),
            ..HttpOptions::default()
        })?;
        let store = Arc::new(store);
        let options = PullOptions { mirrors: settings.mirrors.clone(), ..PullOptions::default() };
        let path = layout.image_access();
        let access = Access::open(&path, &store).map_err(|source| ImagesError::Access { path, source })?;
        let puller = Puller::new(Arc::clone(&store), Arc::new(registry), options);
        Ok(Self { puller, store, access: Arc::new(access) })
    }

    /// Takes archives' images for everybody's.
    ///
    /// # Errors
    /// When the disk would not.
    pub fn brought<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) -> io::Result<()> {
        self.access.brought(digests)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Has an image here for a container of `holder`, which keeps it until [`Images::release`].
    ///
    /// # Errors
    /// Why it is not here, in the words that people are told.
    pub async fn fetch(
        &self,
        name: &str,
        policy: ImagePullPolicy,
        keyring: &Keyring,
        holder: &str,
    ) -> Result<Fetched, NotFetched> {
        let reference: Reference = name.parse().map_err(|error: hypermesh_image::ReferenceError| {
            NotFetched::of(
                Refusal::InvalidImageName,
                format!("couldn't parse image name \"{name}\": {}", chain(&error)),
            )
        })?;
        let here = if policy == ImagePullPolicy::Always { None } else { self.here(name).await? };
        let found = here.is_some();
        let credentials = keyring.for_image(&reference);
        // Somebody else's, it is asked for as if it were not here: what is, is not fetched again.
        if let Some(digest) = here.filter(|digest| self.access.allows(digest, &reference, &credentials)) {
            self.lease(holder, &digest).await?;
            return Ok(Fetched { digest, pulled: None });
        }
        if policy == ImagePullPolicy::Never && found {
            let message = format!(
                "Container image \"{name}\" is present with pull policy of Never, but was pulled with other credentials than the \
                 instance has: let it be pulled with its own (imagePullSecrets), or import it on this node"
            );
            return Err(NotFetched::of(Refusal::ErrImageNeverPull, message));
        }
        if policy == ImagePullPolicy::Never {
            let message = format!(
                "Container image \"{name}\" is not present with pull policy of Never: import it on this node, or let it be pulled"
            );
            return Err(NotFetched::of(Refusal::ErrImageNeverPull, message));
        }
        let digest = self.pull(&reference, keyring).await?;
        self.lease(holder, &digest.0).await?;
        Ok(Fetched { digest: digest.0, pulled: Some(digest.1) })
    }

    /// An image that can run at once.
    async fn here(&self, name: &str) -> Result<Option<Digest>, NotFetched> {
        let (store, name) = (Arc::clone(&self.store), name.to_owned());
        let found = blocking(move || match store.find(&name) {
            Ok(image) if matches!(image.status, ImageStatus::Missing(_)) => Ok(None),
            Ok(image) => {
                store.unpack_image(&image.manifest_digest)?;
                Ok(Some(image.manifest_digest))
            }
            Err(StoreError::NoImage(_)) => Ok(None),
            Err(error) => Err(error),
        });
        found.await.map_err(|error| NotFetched::of(Refusal::ImageInspectError, chain(&error)))
    }

    /// Pulls an image; gives its digest, and what people are told.
    pub async fn pull(
        &self,
        reference: &Reference,
        keyring: &Keyring,
    ) -> Result<(Digest, String), NotFetched> {
        let (progress, _) = watch::channel(Progress::default());
        self.pull_telling(reference, keyring, &progress).await
    }

    /// The same, and tells how far it is.
    ///
    /// # Errors
    /// Why it is not pulled.
    pub fn pull_telling<'a>(
        &'a self,
        reference: &'a Reference,
        keyring: &'a Keyring,
        progress: &'a watch::Sender<Progress>,
    ) -> BoxFuture<'a, Result<(Digest, String), NotFetched>> {
        Box::pin(async move {
            let began = Instant::now();
            let kept = |error: io::Error| {
                NotFetched::of(Refusal::ErrImagePull, format!("what is pulled cannot be kept: {error}"))
            };
            let (access, name) = (Arc::clone(&self.access), reference.clone());
            let pull = blocking(move || access.begin(&name)).await.map_err(kept)?;
            let (puller, progress) = (self.puller.clone(), progress.clone());
            let (name, keyring) = (reference.clone(), keyring.clone());
            // Dropped when nobody waits any more: then the pull is given up, and goes on where it was another time.
            let (_waits, mut gone) = oneshot::channel::<()>();
            let runtime = tokio::runtime::Handle::current();
            // Unpacking keeps a thread busy for long anyway.
            let pulled = blocking(move || {
                runtime.block_on(async {
                    tokio::select! {
                        pulled = puller.pull(&name, &keyring, &progress) => Some(pulled),
                        _ = &mut gone => None,
                    }
                })
            });
            let pulled =
                pulled.await.ok_or_else(|| NotFetched::of(Refusal::ErrImagePull, "it was given up"))?;
            let pulled = pulled.map_err(|error| NotFetched::of(Refusal::ErrImagePull, chain(&error)))?;
            let (digest, name, opened) = (pulled.manifest.clone(), reference.clone(), pulled.opened);
            let (access, store) = (Arc::clone(&self.access), Arc::clone(&self.store));
            let known = blocking(move || {
                let known = pull.opened(&digest, &name, opened.as_ref());
                access.sweep(&store);
                known
            });
            known.await.map_err(kept)?;
            let told = format!(
                "Successfully pulled image \"{}\" in {} from {}. {} bytes came over the network",
                reference.familiar(),
                shown(began.elapsed()),
                pulled.from,
                pulled.fetched
            );
            Ok((pulled.manifest, told))
        })
    }

    async fn lease(&self, holder: &str, digest: &Digest) -> Result<(), NotFetched> {
        let (store, holder, digest) = (Arc::clone(&self.store), holder.to_owned(), digest.clone());
        let leased = blocking(move || store.lease(&holder, &digest)).await;
        leased.map_err(|error| NotFetched::of(Refusal::ImageInspectError, chain(&error)))
    }

    /// A container's root file system, made once. It can be written to, whatever the container may: what is mounted in it
    /// has to have a place, which few images have. Who may not write gets it read-only once all is mounted.
    ///
    /// # Errors
    /// When the image is not whole, or the disk would not.
    pub async fn root(&self, id: &str, digest: &Digest) -> Result<RootFs, StoreError> {
        let (store, id, digest) = (Arc::clone(&self.store), id.to_owned(), digest.clone());
        blocking(move || make_root(&store, &id, &digest)).await
    }

    /// All that a run takes of its image, in one go.
    ///
    /// # Errors
    /// When it is not here, damaged or not whole, does not know the user that it names, or the disk would not.
    pub async fn ready(&self, id: &str, digest: &Digest) -> Result<Ready, String> {
        let (store, id, digest) = (Arc::clone(&self.store), id.to_owned(), digest.clone());
        blocking(move || {
            let told = |error: StoreError| chain(&error);
            let image = store.image(&digest).map_err(told)?;
            let layers = store.unpack_image(&digest).map_err(told)?;
            let folders: Vec<_> = layers.iter().rev().map(|layer| store.layer_path(layer)).collect();
            let (passwd, group) = (of_layers(&folders, "etc/passwd"), of_layers(&folders, "etc/group"));
            // Numbers alone need no file.
            let user = hypermesh_image::resolve_user(&image.config.config.user, &passwd, &group)
                .map_err(|error| chain(&error))?;
            let user = ImageUser { uid: user.uid, gid: user.gid, groups: user.groups };
            let root = make_root(&store, &id, &digest).map_err(told)?;
            Ok(Ready { image, user, root })
        })
        .await
    }

    /// Lets go of an image and of a root file system that nobody wants any more; what cannot be removed now goes when
    /// the agent begins again.
    pub async fn let_go(&self, holder: &str, root: &str) {
        let (store, holder, root) = (Arc::clone(&self.store), holder.to_owned(), root.to_owned());
        blocking(move || {
            let _ = store.remove_snapshot(&root).and_then(|()| store.release(&holder));
        })
        .await;
    }

    /// Removes a container's root file system.
    ///
    /// # Errors
    /// When the disk would not.
    pub async fn remove_root(&self, id: &str) -> Result<(), StoreError> {
        let (store, id) = (Arc::clone(&self.store), id.to_owned());
        blocking(move || store.remove_snapshot(&id)).await
    }

    /// Lets go of images, and of root file systems, whose holder's name begins so.
    ///
    /// # Errors
    /// When the disk would not.
    pub async fn release(&self, prefix: &str) -> Result<(), StoreError> {
        let (store, prefix) = (Arc::clone(&self.store), prefix.to_owned());
        blocking(move || {
            for id in store.snapshots()?.iter().filter(|id| id.starts_with(&prefix)) {
                store.remove_snapshot(id)?;
            }
            for holder in store.leases().keys().filter(|holder| holder.starts_with(&prefix)) {
                store.release(holder)?;
            }
            Ok(())
        })
        .await
    }
}

fn make_root(store: &Store, id: &str, digest: &Digest) -> Result<RootFs, StoreError> {
    let options = RootFsOptions { read_only: false, ..RootFsOptions::default() };
    match store.prepare(id, digest, options) {
        // Of another image or form, which never ran: the same run would have asked for the same.
        Err(StoreError::SnapshotExists(_)) => {
            store.remove_snapshot(id)?;
            store.prepare(id, digest, options)
        }
        made => made,
    }
}

/// A small file of the topmost layer that has it. What a link leads to is not followed: it may lead anywhere.
fn of_layers(folders: &[PathBuf], path: &str) -> Vec<u8> {
    const MOST: u64 = 1 << 20;
    for folder in folders {
        let Ok(folder) = rustix::fs::open(
            folder,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        ) else {
            continue;
        };
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::CLOEXEC
            | rustix::fs::OFlags::NONBLOCK;
        let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
        let Ok(file) =
            rustix::fs::openat2(&folder, Path::new(path), flags, rustix::fs::Mode::empty(), resolve)
        else {
            continue;
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::from(file);
        if file.metadata().is_ok_and(|meta| meta.is_file()) && file.take(MOST).read_to_end(&mut bytes).is_ok()
        {
            return bytes;
        }
    }
    Vec::new()
}

/// The keys with which an instance's images are pulled.
///
/// # Errors
/// What of a Secret is wrong, by its name. One that is not there is left out, as kubelet does.
pub fn keyring(secrets: &Glance, names: impl IntoIterator<Item = String>) -> Result<Keyring, String> {
    let mut keyring = Keyring::empty();
    for name in names {
        let Some((kind, contents)) = secrets.secret(&name) else { continue };
        let read = Keyring::from_secret(&kind, &contents.0);
        keyring.merge(read.map_err(|error| format!("the pull secret \"{name}\": {}", chain(&error)))?);
    }
    Ok(keyring)
}

/// On a thread that may wait for the disk.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        // The runtime ends, and with it whoever asked.
        Err(_) => std::future::pending().await,
    }
}

fn shown(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{}ms", took.as_millis())
    } else {
        format!("{:.1}s", took.as_secs_f32())
    }
}
