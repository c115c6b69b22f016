//! The key that seals the store: replaced by age, and when somebody asks.
//!
//! Only the process that has the store open may replace it. Who asks from outside leaves a request in the data folder,
//! which a running server takes up within [`LOOK`], and another at its start.

use hypermesh_chain::Timestamp;
use hypermesh_machine::STORE_FOLDER;
use hypermesh_pipeline::clock;
use hypermesh_store::{KeyRotation, Store, StoreError};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// How often a running server looks for a request, and at the key's age.
pub const LOOK: Duration = Duration::from_secs(10);

/// The request, in the data folder.
const REQUEST: &str = "store-key.rotate";

/// The key cannot be looked after.
#[derive(Debug, Error)]
pub enum StoreKeyError {
    /// There is no store in the folder.
    #[error("{0} holds no cluster; `nexusctl up` makes one")]
    Empty(PathBuf),
    /// The key, or another file of the store.
    #[error("the key of the store cannot be used")]
    Store(#[from] StoreError),
    /// The request.
    #[error("cannot {action} {path}")]
    Request {
        /// `write` or `remove`.
        action: &'static str,
        /// The request's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is known of the key from outside of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKey {
    /// When it was made (RFC 3339); `None` for one of the operator's own making.
    pub made: Option<String>,
    /// Whether another was asked for and is not there yet.
    pub asked: bool,
}

/// Whether `dir` holds a store.
fn is_store(dir: &Path) -> bool {
    dir.join(STORE_FOLDER).join("keys").is_dir()
}

/// The key of a data folder; `None` where there is no store yet.
///
/// # Errors
/// When its file is damaged, or not there.
pub fn status(dir: &Path) -> Result<Option<StoreKey>, StoreKeyError> {
    if !is_store(dir) {
        return Ok(None);
    }
    let shown = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        clock::rfc3339(Timestamp(u64::try_from(since.as_micros()).unwrap_or(0)))
    };
    let made = hypermesh_store::key_made(&dir.join(STORE_FOLDER))?.map(shown);
    Ok(Some(StoreKey { made, asked: asked(dir) }))
}

/// Asks the server of a data folder, or the next one, for another key.
///
/// # Errors
/// When there is no store, or the folder cannot be written.
pub fn ask(dir: &Path) -> Result<(), StoreKeyError> {
    if !is_store(dir) {
        return Err(StoreKeyError::Empty(dir.to_owned()));
    }
    let path = dir.join(REQUEST);
    let made =
        File::create(&path).and_then(|file| file.sync_all()).and_then(|()| File::open(dir)?.sync_all());
    made.map_err(|source| StoreKeyError::Request { action: "write", path, source })
}

/// Whether another key was asked for.
pub(crate) fn asked(dir: &Path) -> bool {
    dir.join(REQUEST).exists()
}

/// Takes a request away that was met.
pub(crate) fn met(dir: &Path) -> Result<(), StoreKeyError> {
    let path = dir.join(REQUEST);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(StoreKeyError::Request { action: "remove", path, source })
        }
        _ => Ok(()),
    }
}

/// When a server that opens the store of `dir` replaces its key.
pub(crate) fn at_opening(dir: &Path, rotation: KeyRotation) -> KeyRotation {
    if asked(dir) { KeyRotation::Now } else { rotation }
}

/// Replaces the key of an open store if it was asked for or is old; whether it was.
pub(crate) fn look_after(
    store: &Store,
    dir: &Path,
    rotation: KeyRotation,
    now: SystemTime,
) -> Result<bool, StoreKeyError> {
    let old = match rotation {
        KeyRotation::OlderThan(limit) => store.key_encryption_key_age(now).is_some_and(|age| age > limit),
        KeyRotation::Keep | KeyRotation::Now => false,
    };
    if !old && !asked(dir) {
        return Ok(false);
    }
    store.rotate_key_encryption_key()?;
    met(dir)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_store::Options;

    fn options(key_rotation: KeyRotation) -> Options {
        Options { reserve_bytes: 1 << 20, min_free_bytes: 1 << 20, key_rotation, ..Options::default() }
    }

    fn key(dir: &Path) -> Vec<u8> {
        std::fs::read(dir.join(STORE_FOLDER).join("keys/kek")).unwrap()
    }

    #[test]
    fn a_key_is_replaced_when_it_is_old_or_asked_for_and_never_else() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(status(dir).unwrap(), None);
        assert!(matches!(ask(dir), Err(StoreKeyError::Empty(_))));
        std::fs::create_dir_all(dir).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let rotation = KeyRotation::OlderThan(90 * day);
        let store = Store::open(&dir.join(STORE_FOLDER), options(rotation)).unwrap();
        let (first, now) = (key(dir), SystemTime::now());
        assert!(!look_after(&store, dir, rotation, now + 89 * day).unwrap());
        assert!(!look_after(&store, dir, KeyRotation::Keep, now + 900 * day).unwrap());
        assert_eq!(key(dir), first);
        assert!(look_after(&store, dir, rotation, now + 91 * day).unwrap());
        let second = key(dir);
        assert_ne!(second, first);
        ask(dir).unwrap();
        assert!(status(dir).unwrap().unwrap().asked);
        assert!(look_after(&store, dir, KeyRotation::Keep, now).unwrap());
        assert!(!asked(dir) && key(dir) != second);
        drop(store);
        // Where no server runs, the next one does it.
        let third = key(dir);
        ask(dir).unwrap();
        let store = Store::open(&dir.join(STORE_FOLDER), options(at_opening(dir, rotation))).unwrap();
        met(dir).unwrap();
        assert_ne!(key(dir), third);
        assert_eq!(at_opening(dir, rotation), rotation);
        drop(store);
        assert!(status(dir).unwrap().unwrap().made.is_some_and(|made| made.starts_with("20")));
    }
}
