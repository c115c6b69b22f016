//! Blobs: in through a partial file that is hashed as it grows, out through a hash again.

use super::files::sync_parent;
use super::{Claim, Hold, Store, StoreError, errno_error, io_error};
use crate::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

impl Store {
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    /// How many bytes a blob has, none if it is not there.
    #[must_use]
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs::symlink_metadata(self.blob_path(digest)).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
    }

    /// Begins to take a blob in, or goes on where it was left; waits if somebody else is at it. None if it is there.
    ///
    /// # Errors
    /// If it is announced larger than is taken, or the disk would not.
    pub fn ingest(&self, digest: &Digest, size: Option<u64>) -> Result<Option<Ingest<'_>>, StoreError> {
        let limit = self.limits.blob_bytes;
        if size.is_some_and(|size| size > limit) {
            return Err(StoreError::TooLarge { digest: digest.clone(), limit });
        }
        let claim = self.claim(digest);
        if let Some(found) = self.blob_size(digest) {
            if size.is_none_or(|size| size == found) {
                return Ok(None);
            }
            // Cut off by a disk that lost what it had promised, or announced wrongly: its digest tells.
            self.verify(digest)?;
            let expected = size.unwrap_or_default();
            return Err(StoreError::WrongSize { digest: digest.clone(), expected, found });
        }
        let path = self.partial_path(digest);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| errno_error("opening", &path, errno))?;
        let mut file = File::from(file);
        let most = size.unwrap_or(limit);
        let length = file.metadata().map_err(io_error("looking at", &path))?.len();
        if length > most {
            file.set_len(0).map_err(io_error("emptying", &path))?;
        }
        let mut hasher = Hasher::new(digest.algorithm());
        let written = hash_file(&mut file, &mut hasher).map_err(io_error("reading", &path))?;
        Ok(Some(Ingest { store: self, claim, path, file, hasher, written, size, most, resumed: written > 0 }))
    }

    /// Takes bytes in that are at hand.
    ///
    /// # Errors
    /// If they are not what the digest says, or the disk would not.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(mut ingest) = self.ingest(digest, Some(bytes.len() as u64))? {
            // What another try left is not worth going on from, and what this one leaves neither: all of it is at hand.
            let written = ingest.restart().and_then(|()| ingest.write(bytes));
            if let Err(error) = written {
                ingest.abandon();
                return Err(error);
            }
            ingest.commit()?;
        }
        Ok(())
    }

    /// Begins to take a blob in whose digest nobody knows yet.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn new_blob(&self) -> Result<NewBlob<'_>, StoreError> {
        let path = self.temporary("blob");
        let file = File::create_new(&path).map_err(io_error("making", &path))?;
        Ok(NewBlob { store: self, path, file, hasher: Hasher::new(Algorithm::Sha256), written: 0 })
    }

    /// Reads a small blob whole, after hashing it. One that is damaged is dropped.
    ///
    /// # Errors
    /// If it is missing, damaged or larger than `limit`.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io_error("reading", &path))?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge { digest: digest.clone(), limit });
        }
        if digest.is_of(&bytes) {
            return Ok(bytes);
        }
        self.drop_blob(digest)?;
        Err(StoreError::Corrupt(digest.clone()))
    }

    /// Opens a blob. Who reads it hashes it.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(rustix::io::Errno::NOENT) => Err(StoreError::Missing(digest.clone())),
            Err(errno) => Err(errno_error("opening", &path, errno)),
        }
    }

    /// Hashes a blob. One that is damaged is dropped.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn verify(&self, digest: &Digest) -> Result<(), StoreError> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut file = self.open_blob(digest)?;
        hash_file(&mut file, &mut hasher).map_err(io_error("reading", &self.blob_path(digest)))?;
        if hasher.finish() == *digest {
            return Ok(());
        }
        self.drop_blob(digest)?;
        Err(StoreError::Corrupt(digest.clone()))
    }

    /// Hashes every blob, drops those that are damaged, and names them.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn scrub(&self) -> Result<Vec<Digest>, StoreError> {
        let mut damaged = Vec::new();
        for (digest, _) in self.blobs()? {
            match self.verify(&digest) {
                Err(StoreError::Corrupt(digest)) => damaged.push(digest),
                // Collected meanwhile.
                Ok(()) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// All blobs, with their bytes.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let mut blobs = Vec::new();
        for algorithm in Algorithm::ALL {
            let folder = self.root.join("blobs").join(algorithm.name());
            for entry in fs::read_dir(&folder).map_err(io_error("reading", &folder))? {
                let entry = entry.map_err(io_error("reading", &folder))?;
                let text = format!("{}:{}", algorithm.name(), entry.file_name().to_string_lossy());
                if let (Ok(digest), Ok(meta)) = (text.parse::<Digest>(), entry.metadata()) {
                    blobs.push((digest, meta.len()));
                }
            }
        }
        blobs.sort();
        Ok(blobs)
    }

    /// Downloads that were left, with their bytes and when they last grew (seconds since 1970).
    pub(crate) fn partials(&self) -> Result<Vec<(Digest, u64, u64)>, StoreError> {
        let folder = self.root.join("partial");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_error("reading", &folder))? {
            let entry = entry.map_err(io_error("reading", &folder))?;
            let text = entry.file_name().to_string_lossy().replacen('-', ":", 1);
            if let (Ok(digest), Ok(meta)) = (text.parse::<Digest>(), entry.metadata()) {
                let grown = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                found.push((digest, meta.len(), grown.map_or(0, |since| since.as_secs())));
            }
        }
        Ok(found)
    }

    pub(crate) fn drop_partial(&self, digest: &Digest) -> Result<(), StoreError> {
        // One that somebody goes on with stays.
        let Some(_claim) = self.try_claim(digest) else { return Ok(()) };
        remove_file(&self.partial_path(digest))
    }

    /// Removes a blob, unless something changed since `generation`. False if so.
    pub(crate) fn drop_loose(&self, digest: &Digest, generation: u64) -> Result<bool, StoreError> {
        let state = self.state();
        if state.generation != generation || state.busy.contains(digest) {
            return Ok(false);
        }
        // With the state held: who wants it now waits, and finds it gone.
        self.drop_blob(digest).map(|()| true)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state().generation
    }

    pub(crate) fn drop_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        remove_file(&self.blob_path(digest))
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Reads a file from its beginning to its end.
fn hash_file(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A blob on its way in. Dropped without [`Ingest::commit`], it stays as a partial file to go on from.
pub struct Ingest<'a> {
    store: &'a Store,
    claim: Claim<'a>,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
    size: Option<u64>,
    most: u64,
    resumed: bool,
}

impl Ingest<'_> {
    /// How many bytes are there.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.written
    }

    /// Whether it went on from what another process, or a try before, had left.
    #[must_use]
    pub const fn resumed(&self) -> bool {
        self.resumed
    }

    /// Begins anew.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(io_error("emptying", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io_error("emptying", &self.path))?;
        self.hasher = Hasher::new(self.claim.digest.algorithm());
        self.written = 0;
        self.resumed = false;
        Ok(())
    }

    /// Gives it up: nothing of it stays.
    pub fn abandon(self) {
        // What cannot be removed now goes with the unfinished downloads that are too old.
        let _ = fs::remove_file(&self.path);
    }

    /// Takes more.
    ///
    /// # Errors
    /// As soon as it is more than was announced, or the disk would not.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let after = self.written.saturating_add(bytes.len() as u64);
        if after > self.most {
            let digest = self.claim.digest.clone();
            // What came is wrong from somewhere on, and nobody knows from where.
            self.restart()?;
            return Err(match self.size {
                Some(expected) => StoreError::WrongSize { digest, expected, found: after },
                None => StoreError::TooLarge { digest, limit: self.most },
            });
        }
        self.file.write_all(bytes).map_err(io_error("writing", &self.path))?;
        self.hasher.update(bytes);
        self.written = after;
        Ok(())
    }

    /// Makes it a blob if it is what it is called; else it is dropped.
    ///
    /// # Errors
    /// If its digest or size is another, or the disk would not.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let digest = self.claim.digest.clone();
        if let Some(expected) = self.size.filter(|size| *size != self.written) {
            // Too few: it stays, to go on from.
            return Err(StoreError::WrongSize { digest, expected, found: self.written });
        }
        let found = self.hasher.clone().finish();
        if found != digest {
            self.restart()?;
            return Err(StoreError::WrongDigest { expected: digest, found });
        }
        settle(self.store, &self.file, &self.path, &digest)
    }
}

/// A blob on its way in whose digest is made on the way. Dropped without [`NewBlob::commit`], it is gone.
pub struct NewBlob<'a> {
    store: &'a Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
}

impl NewBlob<'_> {
    /// Makes it a blob; tells its digest and bytes.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn commit(self) -> Result<(Digest, u64), StoreError> {
        let store = self.store;
        self.commit_held(&mut store.hold())
    }

    /// The same, held before it is there: a collection may be sweeping.
    pub(crate) fn commit_held(self, hold: &mut Hold<'_>) -> Result<(Digest, u64), StoreError> {
        let digest = self.hasher.clone().finish();
        hold.add(&digest);
        let _claim = self.store.claim(&digest);
        if self.store.blob_size(&digest) == Some(self.written) {
            return Ok((digest, self.written));
        }
        settle(self.store, &self.file, &self.path, &digest)?;
        Ok((digest, self.written))
    }
}

impl io::Write for NewBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written.saturating_add(bytes.len() as u64) > self.store.limits.blob_bytes {
            return Err(io::Error::other("the blob is larger than is taken"));
        }
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewBlob<'_> {
    fn drop(&mut self) {
        // Renamed away if it was committed; emptied at the next opening if this fails.
        let _ = fs::remove_file(&self.path);
    }
}

fn settle(store: &Store, file: &File, path: &Path, digest: &Digest) -> Result<(), StoreError> {
    file.set_permissions(fs::Permissions::from_mode(0o400)).map_err(io_error("shutting", path))?;
    file.sync_all().map_err(io_error("syncing", path))?;
    let place = store.blob_path(digest);
    fs::rename(path, &place).map_err(io_error("placing", &place))?;
    sync_parent(&place)
}
