//! A consistent state: objects, indexes and leaves as they were when the view was taken.

use crate::error::StoreError;
use crate::keyspace::{self, DUE, FLOOR, Family, Floor, HEAD};
use crate::mark::Head;
use crate::records::object_key;
use crate::store::{Inner, read_floor};
use hypermesh_chain::{Hash, Height, KeyRange, ObjectKey, Record, Revision, Uid};
use rocksdb::{DB, DBPinnableSlice, DBRawIterator, ReadOptions, SnapshotWithThreadMode};
use std::ops::ControlFlow;
use std::sync::Arc;

type Snapshot<'a> = SnapshotWithThreadMode<'a, DB>;

self_cell::self_cell!(
    /// A snapshot together with the database it is of.
    struct Pinned {
        owner: Arc<Inner>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// One state of the store. Cheap to take; while it lives, what it sees is not removed from disk.
pub struct View {
    pinned: Pinned,
    head: Option<Head>,
    floor: Floor,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("head", &self.head).finish_non_exhaustive()
    }
}

impl View {
    pub(crate) fn new(inner: Arc<Inner>) -> Result<Self, StoreError> {
        let pinned = Pinned::new(inner, |inner| inner.engine.db.snapshot());
        let mut view = Self { pinned, head: None, floor: Floor::default() };
        let floor = view.row(Family::Meta, FLOOR)?.map(|bytes| bytes.to_vec());
        let head = view.row(Family::Meta, HEAD)?.map(|bytes| bytes.to_vec());
        view.floor = read_floor(floor)?;
        view.head = head
            .map(|bytes| borsh::from_slice(&bytes))
            .transpose()
            .map_err(|_| StoreError::bad_record(Family::Meta.name(), HEAD, "it is no head"))?;
        Ok(view)
    }

    /// The newest commit it sees.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The revision it sees; 0 before the first commit.
    pub fn revision(&self) -> Revision {
        self.head.map_or(Revision(0), |head| head.revision)
    }

    /// The oldest revision that it can read.
    pub fn oldest_revision(&self) -> Revision {
        self.floor.revision
    }

    /// The oldest block that it sees.
    pub fn oldest_height(&self) -> Height {
        self.floor.height
    }

    /// An object.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Record>, StoreError> {
        let key = key.encode();
        let Some(sealed) = self.row(Family::Objects, &key)? else { return Ok(None) };
        self.inner().keys.record(&key, &sealed).map(Some)
    }

    /// The objects of `range` that come after `after`, in order of key, `limit` at most.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Record)>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let mut bad = None;
        self.for_each(range, after, |bytes, record| {
            match object_key(Family::Objects, bytes) {
                Ok(key) => found.push((key, record)),
                Err(error) => bad = Some(error),
            }
            if bad.is_some() || found.len() == limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        bad.map_or(Ok(found), Err)
    }

    /// Calls `visit` for the objects of `range` that come after `after`, in order of key, until it breaks.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn for_each(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        mut visit: impl FnMut(&[u8], Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = after.map(ObjectKey::encode);
        self.rows(Family::Objects, &range.prefix(), after.as_deref(), true, |key, sealed| {
            Ok(visit(key, self.inner().keys.record(key, sealed)?))
        })
    }

    /// Calls `visit` with key and encoded record ([`Record::body_of`]) of the objects of `range` that come after `after`,
    /// in order of key, until it breaks. For passes over much: nothing is copied for them, and they do not push out of
    /// memory what others ask for often.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn pass(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = after.map(ObjectKey::encode);
        let mut plain = Vec::new();
        self.rows(Family::Objects, &range.prefix(), after.as_deref(), false, |key, sealed| {
            self.inner().keys.open_into(Family::Objects, key, sealed, &mut plain)?;
            Ok(visit(key, &plain))
        })
    }

    /// How many objects `range` holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count(&self, range: &KeyRange) -> Result<usize, StoreError> {
        let mut count = 0;
        self.rows(Family::Objects, &range.prefix(), None, false, |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// How many objects of `range` come after `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count_after(&self, range: &KeyRange, after: &ObjectKey) -> Result<usize, StoreError> {
        let mut count = 0;
        self.rows(Family::Objects, &range.prefix(), Some(&after.encode()), false, |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// The objects that name `uid` among their owners and come after `after`, in order of key, `limit` at most.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn dependents(
        &self,
        uid: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, StoreError> {
        let after = after.map(|key| keyspace::owner(uid, &key.encode()));
        self.indexed(&keyspace::owner(uid, &[]), after.as_deref(), limit, keyspace::read_owner)
    }

    /// The object that holds `value` in the unique index `index`.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, StoreError> {
        let row = keyspace::unique(self.inner().keys.unique(index, value));
        let Some(sealed) = self.row(Family::Indexes, &row)? else { return Ok(None) };
        object_key(Family::Indexes, &self.inner().keys.open_value(Family::Indexes, &row, &sealed)?).map(Some)
    }

    /// The objects that are due at `time` (microseconds of block time) or before, the earliest first, `limit` at most.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn due(&self, time: u64, limit: usize) -> Result<Vec<ObjectKey>, StoreError> {
        let end = time.checked_add(1).map(|end| keyspace::due(end, &[]));
        let within = |row: &[u8]| end.as_deref().is_none_or(|end| row < end);
        self.indexed(&[DUE], None, limit, |row| if within(row) { keyspace::read_due(row) } else { None })
    }

    /// Calls `visit` for every leaf in order of key: what the tree is rebuilt from.
    ///
    /// # Errors
    /// When the leaves are damaged.
    pub fn leaves(&self, mut visit: impl FnMut(&[u8], Hash)) -> Result<(), StoreError> {
        self.rows(Family::Leaves, &[], None, false, |key, hash| {
            let hash = hash
                .try_into()
                .map_err(|_| StoreError::bad_record(Family::Leaves.name(), key, "it is no hash"))?;
            visit(key, Hash(hash));
            Ok(ControlFlow::Continue(()))
        })
    }

    pub(crate) fn inner(&self) -> &Inner {
        self.pinned.borrow_owner()
    }

    /// One row.
    pub(crate) fn row(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let handle = self.inner().engine.family(family)?;
        self.pinned
            .borrow_dependent()
            .get_pinned_cf(handle, key)
            .map_err(|error| self.inner().engine.fault("read", error))
    }

    /// A cursor over the rows that start with `prefix`.
    pub(crate) fn cursor(
        &self,
        family: Family,
        prefix: &[u8],
        keep: bool,
    ) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = ReadOptions::default();
        if let Some(end) = keyspace::after_prefix(prefix) {
            options.set_iterate_upper_bound(end);
        }
        // A pass over everything shall not push out what is asked for often.
        options.fill_cache(keep);
        let handle = self.inner().engine.family(family)?;
        Ok(self.pinned.borrow_dependent().raw_iterator_cf_opt(handle, options))
    }

    /// Calls `visit` for the rows that start with `prefix` and come after `after`, until it breaks.
    pub(crate) fn rows(
        &self,
        family: Family,
        prefix: &[u8],
        after: Option<&[u8]>,
        keep: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut cursor = self.cursor(family, prefix, keep)?;
        match after.filter(|after| *after >= prefix) {
            Some(after) => cursor.seek(keyspace::just_after(after)),
            None => cursor.seek(prefix),
        }
        while let Some((key, value)) = cursor.item() {
            if visit(key, value)?.is_break() {
                return Ok(());
            }
            cursor.next();
        }
        cursor.status().map_err(|error| self.inner().engine.fault("read", error))
    }

    fn indexed(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        object: impl Fn(&[u8]) -> Option<&[u8]>,
    ) -> Result<Vec<ObjectKey>, StoreError> {
        let mut found = Vec::new();
        self.rows(Family::Indexes, prefix, after, true, |row, _| {
            let Some(object) = object(row).filter(|_| found.len() < limit) else {
                return Ok(ControlFlow::Break(()));
            };
            found.push(object_key(Family::Indexes, object)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
