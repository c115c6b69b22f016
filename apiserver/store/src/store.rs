//! The store: opening it, its newest commit, its blocks and outcomes.

use crate::engine::{Engine, holds_rows};
use crate::error::StoreError;
use crate::files::{Files, make_dir};
use crate::keyring::{Access, Keyring};
use crate::keyspace::{self, FLOOR, Family, Floor, StoredBlock};
use crate::mark::{Head, Mark, Marked};
use crate::options::{KeyRotation, Options};
use crate::room::{Reserve, Room};
use crate::view::View;
use hypermesh_chain::{Hash, Height, Revision, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The replica's store. Clones share it; it closes, and gives its directory free, with the last clone and view.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

/// What clones share. The database closes before the lock goes.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) keys: Keyring,
    pub(crate) reserve: Reserve,
    pub(crate) head: RwLock<Option<Head>>,
    /// Who writes objects holds this.
    pub(crate) writer: Mutex<Mark>,
    /// Who sweeps history or seals anew holds this.
    pub(crate) sweeper: Mutex<()>,
    _lock: File,
}

/// A block as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub id: Hash,
    /// Its time.
    pub time: Timestamp,
    /// The store's revision after it.
    pub revision: Revision,
    /// Its bytes.
    pub block: Vec<u8>,
    /// What certifies it.
    pub certificate: Vec<u8>,
}

impl Store {
    /// Opens the store in `dir`, or makes one in an empty or missing directory.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFormat`], [`StoreError::OlderFormat`], [`StoreError::NotAStore`],
    /// [`StoreError::HalfRestored`], [`StoreError::WrongKey`]; [`StoreError::Damaged`] and [`StoreError::LostCommits`] name the file.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let files = Files::new(dir);
        make_dir(dir)?;
        let lock = files.take()?;
        if files.restoring().exists() {
            return Err(StoreError::HalfRestored { dir: dir.to_owned() });
        }
        Self::open_locked(&files, options, lock)
    }

    /// Opens the store in `dir` for reading alone: no file changes but the lock, and every commit fails.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn look(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        let files = Files::new(dir);
        let lock = files.take()?;
        if files.restoring().exists() {
            return Err(StoreError::HalfRestored { dir: dir.to_owned() });
        }
        files.check_format(false)?;
        let damaged = |detail: &str| StoreError::Damaged { file: files.head(), detail: detail.to_owned() };
        let acknowledged = match Mark::read(&files.head())? {
            Marked::Missing => return Err(damaged("it is missing")),
            Marked::Damaged => return Err(damaged("neither of its two marks can be read")),
            Marked::Known { head, .. } => head,
        };
        let keys = Keyring::open(&files, options.key_file.as_deref(), Access::Look)?;
        let engine = Engine::look_at(&files, options, acknowledged)?;
        let inner = Inner {
            head: RwLock::new(engine.head()?),
            engine,
            keys,
            reserve: Reserve::as_it_is(&files.dir, files.reserve(), options),
            writer: Mutex::new(Mark::open(&files.head())?),
            sweeper: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn open_locked(files: &Files, options: Options, lock: File) -> Result<Self, StoreError> {
        files.check_format(true)?;
        // The mark is the last thing that making a store writes: with it, everything must be there.
        let marked = Mark::read(&files.head())?;
        let create = marked == Marked::Missing;
        let acknowledged = match marked {
            Marked::Missing => None,
            Marked::Damaged => {
                return Err(StoreError::Damaged {
                    file: files.head(),
                    detail: "neither of its two marks can be read".to_owned(),
                });
            }
            Marked::Known { head, torn } => {
                if torn {
                    tracing::warn!(file = %files.head().display(), "one of two marks cannot be read; the other is used");
                }
                head
            }
        };
        let lost = || StoreError::Damaged { file: files.head(), detail: "it is missing".to_owned() };
        if create && holds_rows(&files.database()) {
            return Err(lost());
        }
        let access = if create { Access::Create } else { Access::Write };
        let keys = Keyring::open(files, options.key_file.as_deref(), access)?;
        let reserve = Reserve::new(&files.dir, files.reserve(), &options)?;
        // Opening writes a little too. Without room it may still succeed.
        if let Err(error) = reserve.make(0) {
            tracing::warn!(%error, "opening on a full disk");
        }
        let engine = Engine::open(files, &options, create, acknowledged)?;
        let head = engine.head()?;
        if create && head.is_some() {
            return Err(lost());
        }
        let torn = matches!(marked, Marked::Known { torn: true, .. });
        if acknowledged != head || create || torn {
            Mark::create(&files.head(), head)?;
        }
        rotate(&keys, options.key_rotation)?;
        let inner = Inner {
            engine,
            keys,
            reserve,
            head: RwLock::new(head),
            writer: Mutex::new(Mark::open(&files.head())?),
            sweeper: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The newest commit; `None` before the first.
    pub fn head(&self) -> Option<Head> {
        *self.0.head.read()
    }

    /// A consistent state: the newest, unchanged by what is written later. It holds back disk space while it lives.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn view(&self) -> Result<View, StoreError> {
        View::new(Arc::clone(&self.0))
    }

    /// Whether the disk has room. Ask before taking on what makes the store grow.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn room(&self) -> Result<Room, StoreError> {
        self.0.reserve.look()
    }

    /// The block at `height`; `None` above the head.
    ///
    /// # Errors
    /// [`StoreError::BlockCompacted`] below what is retained.
    pub fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let Some(head) = self.head() else { return Ok(None) };
        if height > head.height {
            return Ok(None);
        }
        match self.0.stored_block(height)? {
            Some(block) => Ok(Some(Block::new(height, block))),
            None => Err(self.0.missing_block(height)?),
        }
    }

    /// The blocks from `from` to the head, each with its certificate.
    pub fn blocks(&self, from: Height) -> Blocks {
        Blocks { store: self.clone(), next: from }
    }

    /// What came of the request with this digest, while its block is retained.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn outcome(&self, request: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(sealed) = self.0.engine.get(Family::Outcomes, &request.0)? else { return Ok(None) };
        self.0.keys.open_value(Family::Outcomes, &request.0, &sealed).map(Some)
    }

    /// The oldest revision that can be read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn oldest_revision(&self) -> Result<Revision, StoreError> {
        Ok(self.0.floor()?.revision)
    }

    /// The oldest block that can be read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn oldest_height(&self) -> Result<Height, StoreError> {
        Ok(self.0.floor()?.height)
    }

    /// The store's revision at `time`: after the last retained block that is not later. `None` before the oldest.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, StoreError> {
        let Some(head) = self.head() else { return Ok(None) };
        let mut found = None;
        let (mut low, mut high) = (self.0.floor()?.height.0, head.height.0.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.0.stored_block(Height(middle))? {
                Some(block) if block.time <= time => {
                    found = Some(block.revision);
                    low = middle + 1;
                }
                Some(_) => high = middle,
                // Compaction has passed by meanwhile.
                None => low = middle + 1,
            }
        }
        Ok(found)
    }
}

/// What the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of tables on disk; the log and the reserve are not among them.
    pub table_bytes: u64,
    /// Bytes of recent writes in memory.
    pub memtable_bytes: u64,
    /// Bytes of blocks, indexes and filters in the cache.
    pub cache_bytes: u64,
    /// Bytes that RocksDB still has to rewrite.
    pub pending_bytes: u64,
}

impl Store {
    /// What the store takes now, for its metrics.
    ///
    /// # Errors
    /// When the database does not say.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let engine = &self.0.engine;
        let mut usage = Usage::default();
        for family in Family::ALL {
            let handle = engine.family(family)?;
            let ask = |property: &str| -> Result<u64, StoreError> {
                let value = engine.db.property_int_value_cf(handle, property);
                Ok(value.map_err(|error| engine.fault("measure", error))?.unwrap_or(0))
            };
            usage.table_bytes += ask("rocksdb.total-sst-files-size")?;
            usage.memtable_bytes += ask("rocksdb.size-all-mem-tables")?;
            usage.pending_bytes += ask("rocksdb.estimate-pending-compaction-bytes")?;
            // One cache serves all families.
            usage.cache_bytes = ask("rocksdb.block-cache-usage")?;
        }
        Ok(usage)
    }
}

impl Inner {
    pub(crate) fn floor(&self) -> Result<Floor, StoreError> {
        read_floor(self.engine.get(Family::Meta, FLOOR)?)
    }

    pub(crate) fn stored_block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        let key = keyspace::number(height.0);
        let Some(sealed) = self.engine.get(Family::Blocks, &key)? else { return Ok(None) };
        self.keys.block(&key, &sealed).map(Some)
    }

    /// Why a block at or below the head is not there.
    fn missing_block(&self, height: Height) -> Result<StoreError, StoreError> {
        let oldest = self.floor()?.height;
        Ok(if height < oldest {
            StoreError::BlockCompacted { height, oldest }
        } else {
            StoreError::bad_record(Family::Blocks.name(), &keyspace::number(height.0), "it is missing")
        })
    }
}

pub(crate) fn read_floor(bytes: Option<Vec<u8>>) -> Result<Floor, StoreError> {
    let Some(bytes) = bytes else { return Ok(Floor::default()) };
    borsh::from_slice(&bytes)
        .map_err(|_| StoreError::bad_record(Family::Meta.name(), FLOOR, "it is no floor"))
}

impl Block {
    fn new(height: Height, stored: StoredBlock) -> Self {
        let StoredBlock { id, time, revision, requests: _, certificate, block } = stored;
        Self { height, id, time, revision, block, certificate }
    }
}

/// Blocks in order of height.
#[derive(Debug)]
pub struct Blocks {
    store: Store,
    next: Height,
}

impl Iterator for Blocks {
    type Item = Result<Block, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.store.block(self.next).transpose()?;
        // An error ends it: there is nothing above the greatest height.
        self.next = if block.is_ok() { Height(self.next.0.saturating_add(1)) } else { Height(u64::MAX) };
        Some(block)
    }
}

/// Replaces the key-encryption key if it is time.
fn rotate(keys: &Keyring, rotation: KeyRotation) -> Result<(), StoreError> {
    match rotation {
        KeyRotation::Keep => Ok(()),
        KeyRotation::Now => keys.rotate_kek(),
        KeyRotation::OlderThan(limit) => {
            if keys.kek_age(SystemTime::now()).is_some_and(|age| age > limit) {
                match keys.rotate_kek() {
                    Ok(()) => tracing::info!("the key-encryption key was old and has been replaced"),
                    Err(error) => {
                        tracing::warn!(%error, "the key-encryption key is old and could not be replaced")
                    }
                }
            }
            Ok(())
        }
    }
}
