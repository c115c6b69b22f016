//! The store: blobs by their digests, unpacked layers by their diff ids, names in one index.
//!
//! ```text
//! ROOT/lock                   one process at a time (flock)
//! ROOT/index, index.before    names and leases; replaced whole, with version and checksum
//! ROOT/blobs/sha256/HEX       verified when they came in, and again whenever they are read
//! ROOT/partial/sha256-HEX     downloads that go on where they stopped
//! ROOT/layers/N/fs            an unpacked layer; N is short because mount options are
//! ROOT/layers/N/layer.json    which diff id it is
//! ROOT/snapshots/ID/          a container's root file system
//! ROOT/empty                  a folder that stays empty
//! ROOT/tmp/                   what is being made or removed
//! ```
//!
//! Whatever is made is made in `tmp` or `partial`, synced, and renamed to its place; what is removed is renamed to `tmp`
//! first. A crash at any point therefore leaves whole things in their places and the rest in `tmp`, which is emptied
//! when the store is opened. Nothing here trusts what a file is called: bytes are hashed before they are believed.

mod blobs;
mod error;
mod files;
mod images;
mod index;
mod layers;

#[cfg(test)]
pub(crate) mod tests;

pub use blobs::{Ingest, NewBlob};
pub use error::{Finding, StoreError};
pub use images::{Image, ImageStatus};
pub use index::{ImageRecord, LeaseRecord};
pub use layers::LayerRecord;

use crate::digest::Digest;
use crate::limits::Limits;
use crate::remove::remove_in;
use crate::snapshot::Probe;
use crate::unpack::{Devices, Whiteouts};
use index::Index;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// What an image may cost.
    pub limits: Limits,
    /// Whether devices of layers are made.
    pub devices: Devices,
}

/// An open store. Shared by reference; every method may be called from any thread, and blocks on the disk.
pub struct Store {
    root: PathBuf,
    dir: OwnedFd,
    limits: Limits,
    devices: Devices,
    whiteouts: Whiteouts,
    state: Mutex<State>,
    freed: Condvar,
    unique: AtomicU64,
    /// Whether overlayfs works, once somebody asked.
    overlay: OnceLock<Probe>,
    /// Held until the store is dropped.
    _lock: OwnedFd,
}

/// What is known without looking at the disk.
struct State {
    index: Index,
    /// Whether the index on the disk is synced: then it stays beside the next one.
    synced: bool,
    layers: BTreeMap<Digest, LayerRecord>,
    next_layer: u64,
    /// Blobs and layers that somebody is making.
    busy: BTreeSet<Digest>,
    /// What is not to be collected though no name leads to it yet, and by how many it is held.
    held: BTreeMap<Digest, usize>,
    /// Grows with every change of names, leases and holds: what was found out before may be wrong after.
    generation: u64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("root", &self.root).finish_non_exhaustive()
    }
}

/// The most that `Store::open` mends of one kind before it stops telling.
const FINDINGS: usize = 1000;

impl Store {
    /// Opens a store, making it where there is none, and mends what a crash left.
    ///
    /// # Errors
    /// If another process has it, a newer program wrote it, or the disk would not.
    pub fn open(root: &Path, options: StoreOptions) -> Result<(Self, Vec<Finding>), StoreError> {
        let root = std::path::absolute(root).map_err(io_error("finding", root))?;
        settle_root(&root)?;
        for folder in ["blobs/sha256", "blobs/sha512", "partial", "layers", "snapshots", "empty", "tmp"] {
            let path = root.join(folder);
            std::fs::create_dir_all(&path).map_err(io_error("making", &path))?;
        }
        let lock = take_lock(&root)?;
        let dir = open_dir(&root)?;
        let mut findings = Vec::new();
        let tmp = open_dir(&root.join("tmp"))?;
        clear(&tmp, &root.join("tmp"), &mut findings)?;
        let whiteouts =
            Whiteouts::probe(&tmp).map_err(|errno| errno_error("trying", &root.join("tmp"), errno))?;
        let index = Index::load(&root, &mut findings)?;
        let (layers, next_layer) = layers::load(&root, whiteouts, &mut findings)?;
        findings.truncate(FINDINGS);
        let state = State {
            index,
            synced: true,
            layers,
            next_layer,
            busy: BTreeSet::new(),
            held: BTreeMap::new(),
            generation: 0,
        };
        let store = Self {
            root,
            dir,
            limits: options.limits,
            devices: options.devices,
            whiteouts,
            state: Mutex::new(state),
            freed: Condvar::new(),
            unique: AtomicU64::new(0),
            overlay: OnceLock::new(),
            _lock: lock,
        };
        Ok((store, findings))
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What an image may cost.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How deletions of layers are kept.
    #[must_use]
    pub const fn whiteouts(&self) -> Whiteouts {
        self.whiteouts
    }

    /// Keeps blobs and layers from being collected until it is dropped.
    pub fn hold(&self) -> Hold<'_> {
        Hold { store: self, digests: Vec::new() }
    }

    pub(crate) const fn probed(&self) -> &OnceLock<Probe> {
        &self.overlay
    }

    pub(crate) const fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole: it is changed in single steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name in `tmp` that nothing has.
    pub(crate) fn temporary(&self, kind: &str) -> PathBuf {
        let number = self.unique.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{kind}-{number}"))
    }

    /// Waits until nobody else makes this, and makes it one's own.
    fn claim(&self, digest: &Digest) -> Claim<'_> {
        let mut state = self.state();
        while !state.busy.insert(digest.clone()) {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Claim { store: self, digest: digest.clone() }
    }

    /// Takes something out of its place and removes it. After a crash in between, it is gone from its place.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let out = self.temporary("gone");
        match std::fs::rename(path, &out) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error("taking out", path)(error)),
        }
        self.remove_temporary(&out)
    }

    /// Removes something in `tmp`.
    pub(crate) fn remove_temporary(&self, path: &Path) -> Result<(), StoreError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let dir = open_dir(parent)?;
        remove_in(&dir, name.as_encoded_bytes()).map_err(|errno| errno_error("removing", path, errno))
    }

    /// Makes this one's own, unless somebody else makes it right now.
    fn try_claim(&self, digest: &Digest) -> Option<Claim<'_>> {
        let free = self.state().busy.insert(digest.clone());
        free.then(|| Claim { store: self, digest: digest.clone() })
    }

    /// Runs a change of the index, and keeps it only if it could be written.
    fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, StoreError> {
        let mut state = self.state();
        let mut index = state.index.clone();
        let result = change(&mut index);
        if index != state.index {
            let (synced, noted) = (state.synced, index.names_the_same(&state.index));
            if noted {
                index.note(&self.root, synced)?;
            } else {
                index.save(&self.root, synced)?;
            }
            (state.index, state.synced) = (index, !noted);
            state.generation += 1;
        }
        Ok(result)
    }
}

/// Something that only one may make at a time; freed when dropped.
struct Claim<'a> {
    store: &'a Store,
    digest: Digest,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.state().busy.remove(&self.digest);
        self.store.freed.notify_all();
    }
}

/// Blobs and layers that are not to be collected.
pub struct Hold<'a> {
    store: &'a Store,
    digests: Vec<Digest>,
}

impl Hold<'_> {
    /// Takes another.
    pub fn add(&mut self, digest: &Digest) {
        let mut state = self.store.state();
        *state.held.entry(digest.clone()).or_insert(0) += 1;
        state.generation += 1;
        drop(state);
        self.digests.push(digest.clone());
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for digest in &self.digests {
            if let Some(count) = state.held.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(digest);
                }
            }
        }
    }
}

/// Makes the store's folder where there is none. One that has other things in it is left alone.
fn settle_root(root: &Path) -> Result<(), StoreError> {
    if root.join("lock").symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(root).map_err(io_error("making", root))?;
    for entry in std::fs::read_dir(root).map_err(io_error("reading", root))? {
        let name = entry.map_err(io_error("reading", root))?.file_name();
        // A file system of its own has one thing in it from the beginning.
        if name != "lost+found" {
            return Err(StoreError::NotAStore(root.to_owned()));
        }
    }
    // Files of any user may lie below; nobody else may look for setuid programs in them.
    let shut = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(root, shut).map_err(io_error("shutting", root))
}

fn take_lock(root: &Path) -> Result<OwnedFd, StoreError> {
    let path = root.join("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| errno_error("opening", &path, errno))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(StoreError::InUse(root.to_owned())),
        Err(errno) => Err(errno_error("locking", &path, errno)),
    }
}

/// Empties `tmp`.
fn clear(tmp: &OwnedFd, path: &Path, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    crate::snapshot::unmount_below(path).map_err(io_error("unmounting what is below", path))?;
    for name in files::names(tmp.as_fd()).map_err(|errno| errno_error("reading", path, errno))? {
        remove_in(tmp, &name).map_err(|errno| errno_error("clearing", path, errno))?;
        findings.push(Finding::Cleared(path.join(files::path_of(&name))));
    }
    Ok(())
}

/// Opens a folder of the store.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| errno_error("opening", path, errno))
}

pub(crate) fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}

pub(crate) fn errno_error(doing: &'static str, path: &Path, errno: Errno) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source: errno.into() }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether a container's id can name a folder.
pub(crate) fn check_id(id: &str) -> Result<(), StoreError> {
    let fine = id.len() <= 128
        && id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if fine { Ok(()) } else { Err(StoreError::Id(id.chars().take(140).collect())) }
}
