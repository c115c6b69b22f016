//! The small files beside the database: where they are, how they are written, and who holds the directory.
//!
//! ```text
//! DIR/FORMAT      the store's format, in words; there from the first moment
//! DIR/LOCK        held while the store is open; names the holder
//! DIR/HEAD        the newest acknowledged commit (mark.rs)
//! DIR/RESERVE     bytes set aside for a full disk (room.rs)
//! DIR/RESTORING   there while a restore runs
//! DIR/keys/kek    the key-encryption key (kek.rs); kek.next while another takes its place
//! DIR/keys/data   the data keys, wrapped by it
//! DIR/db/         RocksDB
//! ```

use crate::error::StoreError;
use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::Hash;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The newest format this program reads and writes.
pub(crate) const FORMAT: u32 = 2;
const FORMAT_WORDS: &str = "hypermesh store ";

/// Paths inside a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.dir.join("FORMAT")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.dir.join("HEAD")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.dir.join("RESERVE")
    }

    pub(crate) fn restoring(&self) -> PathBuf {
        self.dir.join("RESTORING")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("db")
    }

    /// Takes the directory for this process until the file is closed.
    pub(crate) fn take(&self) -> Result<File, StoreError> {
        let path = self.lock();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut words = String::new();
                let pid = file.read_to_string(&mut words).ok().and_then(|_| words.trim().parse().ok());
                return Err(StoreError::Locked { dir: self.dir.clone(), pid });
            }
            Err(fs::TryLockError::Error(source)) => return Err(StoreError::io("lock", &path)(source)),
        }
        file.set_len(0).map_err(StoreError::io("write", &path))?;
        writeln!(file, "{}", std::process::id()).map_err(StoreError::io("write", &path))?;
        Ok(file)
    }

    /// Reads the format; writes it into a directory that holds nothing yet when `create` is set.
    pub(crate) fn check_format(&self, create: bool) -> Result<(), StoreError> {
        let path = self.format();
        let words = match fs::read(&path) {
            Ok(words) => words,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.begin(create),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let found = std::str::from_utf8(&words)
            .ok()
            .and_then(|words| words.strip_prefix(FORMAT_WORDS)?.strip_suffix('\n')?.parse::<u32>().ok());
        match found {
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { dir: self.dir.clone(), found, known: FORMAT })
            }
            Some(FORMAT) => Ok(()),
            Some(found @ 1..FORMAT) => {
                Err(StoreError::OlderFormat { dir: self.dir.clone(), found, known: FORMAT })
            }
            _ => Err(StoreError::Damaged { file: path, detail: "it names no known format".to_owned() }),
        }
    }

    fn begin(&self, create: bool) -> Result<(), StoreError> {
        let path = self.format();
        if self.database().exists() || self.head().exists() {
            return Err(StoreError::Damaged { file: path, detail: "it is missing".to_owned() });
        }
        let listing = fs::read_dir(&self.dir).map_err(StoreError::io("list", &self.dir))?;
        let known = [self.lock(), self.restoring(), self.format().with_extension("new")];
        for entry in listing {
            let entry = entry.map_err(StoreError::io("list", &self.dir))?;
            if !known.contains(&entry.path()) {
                return Err(StoreError::NotAStore { dir: self.dir.clone() });
            }
        }
        if !create {
            return Err(StoreError::Damaged { file: path, detail: "it is missing".to_owned() });
        }
        write_durably(&path, format!("{FORMAT_WORDS}{FORMAT}\n").as_bytes())
    }
}

/// Replaces `path` as a whole: after a crash it holds the old bytes or the new ones. Mode 0600.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(StoreError::io("create", &fresh))?;
    file.write_all(bytes).map_err(StoreError::io("write", &fresh))?;
    file.sync_all().map_err(StoreError::io("sync", &fresh))?;
    fs::rename(&fresh, path).map_err(StoreError::io("replace", path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes a store's directory; its name survives a power failure, as what is in it will.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
}

/// `value` in borsh, followed by the first eight bytes of its digest.
pub(crate) fn with_sum(domain: &str, value: &impl BorshSerialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = encode(value)?;
    let sum = Hash::of(&[domain.as_bytes(), &[0], &bytes]);
    bytes.extend_from_slice(&sum.0[..8]);
    Ok(bytes)
}

/// Reads [`with_sum`]; `None` if the bytes are not what was written.
pub(crate) fn read_with_sum<T: BorshDeserialize>(domain: &str, bytes: &[u8]) -> Option<T> {
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    (Hash::of(&[domain.as_bytes(), &[0], body]).0[..8] == *sum).then(|| borsh::from_slice(body).ok())?
}

/// Borsh of a value that lives in memory: fails only where a collection exceeds 4 GiB.
pub(crate) fn encode(value: &impl BorshSerialize) -> Result<Vec<u8>, StoreError> {
    borsh::to_vec(value).map_err(|source| StoreError::Stream { doing: "encode a value for", source })
}
