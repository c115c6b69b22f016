//! Room on the disk: told early, and a reserve for the worst case.
//!
//! Consensus decides what is written, so refusal has to come before that: [`crate::Store::room`] says `Low` while there
//! is still room for what has been decided. When even that is used up, the reserve file is given back, so that
//! deletions and compaction can go on; it is set aside again when room returns. Below the floor (what one flush and the
//! batch may need) a commit is refused before RocksDB sees it; RocksDB's own recovery from a full disk remains for what
//! other programs fill behind our back.

use crate::error::StoreError;
use crate::options::Options;
use nix::fcntl::posix_fallocate;
use parking_lot::Mutex;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether the disk has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Go on.
    Enough,
    /// Refuse what makes the store grow; delete, compact.
    Low {
        /// Bytes free.
        available: u64,
        /// Bytes that should be.
        wanted: u64,
    },
}

/// Bytes free to this process on the disk of `dir`.
pub(crate) fn free(dir: &Path) -> Result<u64, StoreError> {
    let stat = nix::sys::statvfs::statvfs(dir)
        .map_err(|errno| StoreError::io("ask for the free space of", dir)(errno.into()))?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// The reserve file.
#[derive(Debug)]
pub(crate) struct Reserve {
    dir: PathBuf,
    path: PathBuf,
    bytes: u64,
    min_free: u64,
    /// What a flush of all that is in memory needs.
    flush: u64,
    held: Mutex<bool>,
}

impl Reserve {
    /// Sets the reserve aside if the disk has room for it.
    pub(crate) fn new(dir: &Path, path: PathBuf, options: &Options) -> Result<Self, StoreError> {
        let reserve = Self::as_it_is(dir, path, options);
        reserve.look()?;
        Ok(reserve)
    }

    /// The reserve, or none, as it lies there.
    pub(crate) fn as_it_is(dir: &Path, path: PathBuf, options: &Options) -> Self {
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == options.reserve_bytes);
        Self {
            dir: dir.to_owned(),
            path,
            bytes: options.reserve_bytes,
            min_free: options.min_free_bytes,
            flush: options.memtable_bytes as u64,
            held: Mutex::new(held),
        }
    }

    /// Whether it is not set aside although the disk has room for it.
    pub(crate) fn is_due(&self) -> Result<bool, StoreError> {
        let wanted = self.bytes.saturating_add(self.min_free);
        Ok(!*self.held.lock() && self.bytes > 0 && free(&self.dir)? >= wanted)
    }

    /// Says how much room there is, and sets the reserve aside again when it fits.
    pub(crate) fn look(&self) -> Result<Room, StoreError> {
        let available = free(&self.dir)?;
        let mut held = self.held.lock();
        if !*held && available >= self.bytes.saturating_add(self.min_free) {
            *held = self.take();
        }
        // What is released belongs to deletions and compaction, not to growth.
        let wanted = if *held { self.min_free } else { self.min_free.saturating_add(self.bytes) };
        Ok(if available < wanted { Room::Low { available, wanted } } else { Room::Enough })
    }

    /// Room for a batch of `bytes`, giving the reserve back if it takes that.
    pub(crate) fn make(&self, bytes: u64) -> Result<(), StoreError> {
        let wanted = self.flush.saturating_add(bytes.saturating_mul(2));
        let available = free(&self.dir)?;
        if available >= wanted {
            return Ok(());
        }
        self.release();
        let available = free(&self.dir)?;
        if available >= wanted {
            return Ok(());
        }
        Err(StoreError::DiskFull { dir: self.dir.clone(), available, wanted })
    }

    /// Gives the reserve back.
    pub(crate) fn release(&self) {
        let mut held = self.held.lock();
        if !*held {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => {
                *held = false;
                tracing::warn!(bytes = self.bytes, "the disk is full: the reserve is given back");
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "cannot give the reserve back")
            }
        }
    }

    /// A reserve that cannot be had is a warning, not an error: the store works without.
    fn take(&self) -> bool {
        let set_aside = || -> std::io::Result<()> {
            let file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&self.path)?;
            let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
            if bytes > 0 {
                posix_fallocate(&file, 0, bytes)?;
            }
            Ok(())
        };
        match set_aside() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot set the reserve aside");
                // Nothing half-taken stays.
                drop(fs::remove_file(&self.path));
                false
            }
        }
    }
}
