//! What can go wrong in the store, each by name and with what to do about it.

use hypermesh_chain::{Height, Revision};
use std::path::PathBuf;

/// Why the store refused or failed. `Display` never includes the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the directory.
    #[error("{} is in use by {}: stop that process, or choose another data directory", dir.display(),
            pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Who wrote the lock file last.
        pid: Option<u32>,
    },
    /// The directory was written by a later version of this program.
    #[error("{} has store format {found}, this program knows formats up to {known}: run the version that wrote it, \
             or a later one", dir.display())]
    NewerFormat {
        /// The data directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// The directory was written by an earlier version of this program, whose format this one does not read.
    #[error("{} has store format {found}, this program reads and writes {known}: let the version that wrote it export a \
             snapshot, and restore that into an empty data directory", dir.display())]
    OlderFormat {
        /// The data directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The format that this program knows.
        known: u32,
    },
    /// The directory holds something else.
    #[error("{} is not empty and holds no store: choose an empty data directory", dir.display())]
    NotAStore {
        /// The data directory.
        dir: PathBuf,
    },
    /// A restore was cut short.
    #[error("{} holds an unfinished restore: empty the directory and restore again", dir.display())]
    HalfRestored {
        /// The data directory.
        dir: PathBuf,
    },
    /// The key-encryption key does not open the data keys.
    #[error("{} does not open the data keys of this store: put the key file back that the store was made with",
            file.display())]
    WrongKey {
        /// The key-encryption key file.
        file: PathBuf,
    },
    /// A file is not what was written.
    #[error("{} is damaged ({detail}): run the check, then restore a snapshot or let the replica catch up anew",
            file.display())]
    Damaged {
        /// The file, or the database folder where RocksDB names none.
        file: PathBuf,
        /// What does not agree.
        detail: String,
    },
    /// The log does not hold what had been acknowledged.
    #[error("{} has lost acknowledged commits: height {} was acknowledged, {} can be recovered; restore a snapshot or \
             let the replica catch up anew", file.display(), acknowledged.0,
            recovered.map_or_else(|| "nothing".to_owned(), |height| format!("height {}", height.0)))]
    LostCommits {
        /// Where the missing commits were: the log files, or the database folder.
        file: PathBuf,
        /// The newest commit that can be recovered.
        recovered: Option<Height>,
        /// The newest commit that was acknowledged.
        acknowledged: Height,
    },
    /// A record does not pass its authentication tag, or is no record.
    #[error("a record of {family} fails its integrity check at key {key}: {detail}")]
    BadRecord {
        /// The column family.
        family: &'static str,
        /// The record's key, escaped.
        key: String,
        /// What does not agree.
        detail: &'static str,
    },
    /// The revision is older than what is kept.
    #[error("revision is older than the retained history, which starts at {}", oldest.0)]
    Compacted {
        /// The oldest revision that can still be read.
        oldest: Revision,
    },
    /// The block is older than what is kept.
    #[error("block {} is older than the retained blocks, which start at {}", height.0, oldest.0)]
    BlockCompacted {
        /// What was asked for.
        height: Height,
        /// The oldest block that can still be read.
        oldest: Height,
    },
    /// The revision has not been reached.
    #[error("revision {} has not been reached: the store is at {}", asked.0, newest.0)]
    Future {
        /// What was asked for.
        asked: Revision,
        /// The newest revision.
        newest: Revision,
    },
    /// There is no room for the write; nothing was changed. Reads go on, and so do writes once there is room.
    #[error("no room on the disk of {}: {available} bytes are free, {wanted} are wanted; free some space, writes go on \
             by themselves", dir.display())]
    DiskFull {
        /// The data directory.
        dir: PathBuf,
        /// Bytes free.
        available: u64,
        /// Bytes that a write needs to find.
        wanted: u64,
    },
    /// The commit does not follow the newest one.
    #[error("commit out of order: {detail}")]
    OutOfOrder {
        /// What does not follow.
        detail: String,
    },
    /// A snapshot's bytes are not what an export writes.
    #[error("the snapshot is damaged: {detail}")]
    BadSnapshot {
        /// What does not agree.
        detail: String,
    },
    /// The operating system failed a file operation.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// Its file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Reading or writing a snapshot's stream failed.
    #[error("cannot {doing} the snapshot")]
    Stream {
        /// The operation.
        doing: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// RocksDB failed.
    #[error("the database cannot {doing}")]
    Engine {
        /// The operation.
        doing: &'static str,
        /// RocksDB's words.
        source: rocksdb::Error,
    },
    /// The cryptographic library failed: no randomness, or a key it does not take.
    #[error("cannot {doing}: the cryptographic library refused")]
    Crypto {
        /// The operation.
        doing: &'static str,
    },
}

impl StoreError {
    /// A mapper for file operations: `.map_err(StoreError::io("open", path))`.
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// A mapper for operations of RocksDB whose failure has no better name.
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        move |source| Self::Engine { doing, source }
    }

    /// A record that is not what was written, with its key made printable.
    pub(crate) fn bad_record(family: &'static str, key: &[u8], detail: &'static str) -> Self {
        Self::BadRecord { family, key: key.escape_ascii().to_string(), detail }
    }
}
