//! Rotation of the keys, and sealing anew what older keys have sealed.

use crate::error::StoreError;
use crate::keyring::key_id;
use crate::keyspace::Family;
use crate::store::Store;
use crate::view::View;
use rocksdb::WriteBatch;
use std::ops::ControlFlow;

/// How far sealing anew has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reseal {
    /// Values that have been sealed with the newest key.
    pub values: u64,
    /// Older keys that are no longer needed and have been forgotten.
    pub forgotten: usize,
}

/// Values a slice. Commits wait for a slice.
const VALUES: usize = 256;

impl Store {
    /// Makes a new data key; what is written from now on is sealed with it. Older values stay as they are, and their
    /// keys stay with them, until [`Self::reseal`]. Returns the new key's id.
    ///
    /// # Errors
    /// When the key file cannot be written; then nothing has changed.
    pub fn rotate_key(&self) -> Result<u32, StoreError> {
        let _alone = self.0.sweeper.lock();
        self.0.keys.rotate()
    }

    /// Makes a new key-encryption key, in place of the old one, and wraps the data keys with it. Values stay as they are:
    /// it is quick, and reads and commits go on meanwhile. Killed at any moment, it has happened or the next opening
    /// finishes it. See also [`crate::Options::key_rotation`].
    ///
    /// # Errors
    /// When a key file cannot be written; the store goes on with the key that its data keys are wrapped with.
    pub fn rotate_key_encryption_key(&self) -> Result<(), StoreError> {
        self.0.keys.rotate_kek()
    }

    /// How old the key-encryption key is at `now`; `None` for one of the operator's own making.
    pub fn key_encryption_key_age(&self, now: std::time::SystemTime) -> Option<std::time::Duration> {
        self.0.keys.kek_age(now)
    }

    /// Seals with the newest key what older keys have sealed, slice by slice, and forgets the older keys. Reads and
    /// commits go on meanwhile; call it where blocking is allowed. A call that was cut short may be repeated.
    ///
    /// # Errors
    /// When a value is damaged: then its key stays.
    pub fn reseal(&self) -> Result<Reseal, StoreError> {
        let inner = &*self.0;
        let _alone = inner.sweeper.lock();
        let mut done = Reseal::default();
        let old = inner.keys.old();
        if old.is_empty() {
            return Ok(done);
        }
        for family in Family::ALL {
            let mut after = Some(Vec::new());
            while let Some(from) = after {
                let (values, next) = self.reseal_slice(family, &from)?;
                done.values += values;
                after = next;
            }
        }
        // The older ciphertexts leave the disk before their keys do, and the newer ones are there for good.
        inner.engine.db.flush_wal(true).map_err(|error| inner.engine.fault("sync", error))?;
        for family in Family::ALL {
            let handle = inner.engine.family(family)?;
            inner.engine.db.flush_cf(handle).map_err(|error| inner.engine.fault("flush", error))?;
            let mut options = rocksdb::CompactOptions::default();
            options.set_exclusive_manual_compaction(false);
            options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
            inner.engine.db.compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &options);
        }
        inner.keys.forget(&old)?;
        done.forgotten = old.len();
        Ok(done)
    }

    /// Seals some values after `after`; says how many, and after which key to go on.
    fn reseal_slice(&self, family: Family, after: &[u8]) -> Result<(u64, Option<Vec<u8>>), StoreError> {
        let inner = &*self.0;
        // No commit may come between reading a value and writing it back.
        let _writer = inner.writer.lock();
        let newest = inner.keys.newest();
        let mut batch = WriteBatch::default();
        let mut values = 0;
        let mut seen = 0;
        let mut next = None;
        View::new(self.0.clone())?.rows(family, &[], Some(after), false, |key, sealed| {
            seen += 1;
            if family.seals(key) && key_id(sealed) != Some(newest) {
                let plain = inner.keys.open_value(family, key, sealed)?;
                inner.put_sealed(&mut batch, family, key, &plain)?;
                values += 1;
            }
            if seen == VALUES {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if values > 0 {
            inner.engine.write(batch, false)?;
        }
        Ok((values, next))
    }
}
