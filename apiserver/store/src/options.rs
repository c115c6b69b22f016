//! How much memory and disk the store takes.

use std::path::PathBuf;
use std::time::Duration;

/// Sizes and places. The defaults suit a replica that is idle within 40 MiB of resident memory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of blocks, indexes and filters of the database kept in memory.
    pub cache_bytes: usize,
    /// Bytes of recent writes kept in memory before they become files; also about the size of the log that is
    /// replayed at open.
    pub memtable_bytes: usize,
    /// Files of the database held open.
    pub open_files: u32,
    /// Bytes set aside on disk. They are given back when the disk fills, so that deletions and compaction still work.
    pub reserve_bytes: u64,
    /// Below this many free bytes [`crate::Store::room`] says `Low`: refuse what makes the store grow.
    pub min_free_bytes: u64,
    /// The file of the key-encryption key; made, with mode 0600, where a new store finds none. By default `keys/kek` in
    /// the data directory; put it on another disk to make the directory alone worthless to who takes it. A file of 32
    /// random bytes will do.
    pub key_file: Option<PathBuf>,
    /// When opening replaces the key-encryption key.
    pub key_rotation: KeyRotation,
}

/// When opening replaces the key-encryption key by a new one. Values stay sealed as they are: only the data keys, which
/// are few, are wrapped anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRotation {
    /// Never.
    Keep,
    /// Once it is older than this. A key of the operator's own making has no age and stays; where the key file cannot be
    /// written, the key stays too, and the log says so.
    OlderThan(Duration),
    /// At this opening, whoever made it. An opening that cannot fails.
    Now,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 8 << 20,
            memtable_bytes: 8 << 20,
            open_files: 64,
            reserve_bytes: 32 << 20,
            min_free_bytes: 64 << 20,
            key_file: None,
            key_rotation: KeyRotation::OlderThan(Duration::from_secs(365 * 24 * 3600)),
        }
    }
}
