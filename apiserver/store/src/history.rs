//! Reading the past: events, and the state at any retained revision.

use crate::error::StoreError;
use crate::keyspace::{self, Done, Event, Family, LIVE};
use crate::records::object_key;
use crate::store::Store;
use crate::view::View;
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record, Revision};
use std::ops::ControlFlow;

impl Store {
    /// The writes after `after`, in order, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when some of them are gone, [`StoreError::Future`] when `after` has not been reached.
    pub fn events(&self, after: Revision, limit: usize) -> Result<Vec<Effect>, StoreError> {
        self.view()?.events(after, limit)
    }
}

impl View {
    /// The writes after `after` that the view sees, in order, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when some of them are gone, [`StoreError::Future`] when `after` has not been reached.
    pub fn events(&self, after: Revision, limit: usize) -> Result<Vec<Effect>, StoreError> {
        self.retained(after)?;
        let mut events = Vec::new();
        if limit == 0 {
            return Ok(events);
        }
        self.rows(Family::History, &[], Some(&keyspace::number(after.0)), true, |key, sealed| {
            events.push(self.effect(self.inner().keys.event(key, sealed)?)?);
            Ok(if events.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(events)
    }

    /// An object as it was at `revision`.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::Future`] when the view does not reach there.
    pub fn get_at(&self, key: &ObjectKey, revision: Revision) -> Result<Option<Record>, StoreError> {
        self.retained(revision)?;
        if revision == self.revision() {
            return self.get(key);
        }
        let key = key.encode();
        let mut cursor = self.cursor(Family::Versions, &[], true)?;
        cursor.seek_for_prev(keyspace::version(&key, revision));
        cursor.status().map_err(|error| self.inner().engine.fault("read", error))?;
        let Some((row, live)) = cursor.item() else { return Ok(None) };
        match keyspace::read_version(row) {
            Some((object, at)) if object == key && live == [LIVE] => self.made(&key, at).map(Some),
            _ => Ok(None),
        }
    }

    /// The objects of `range` that come after `after`, as they were at `revision`, in order of key, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::Future`] when the view does not reach there.
    pub fn scan_at(
        &self,
        range: &KeyRange,
        revision: Revision,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Record)>, StoreError> {
        self.retained(revision)?;
        if revision == self.revision() {
            return self.scan(range, after, limit);
        }
        let mut found: Vec<(ObjectKey, Record)> = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        // The last version of the current object that the revision sees; deletions count as none.
        let mut seen: Option<(Vec<u8>, Revision)> = None;
        let mut settle = |seen: &mut Option<(Vec<u8>, Revision)>| -> Result<bool, StoreError> {
            if let Some((key, at)) = seen.take() {
                let object = object_key(Family::Versions, &key)?;
                found.push((object, self.made(&key, at)?));
            }
            Ok(found.len() == limit)
        };
        let mut current = Vec::new();
        let after = after.map(|key| keyspace::version(&key.encode(), Revision(u64::MAX)));
        let mut full = false;
        self.rows(Family::Versions, &range.prefix(), after.as_deref(), true, |row, live| {
            let (object, at) = keyspace::read_version(row)
                .ok_or_else(|| StoreError::bad_record(Family::Versions.name(), row, "it is no version"))?;
            if object != current {
                full = settle(&mut seen)?;
                if full {
                    return Ok(ControlFlow::Break(()));
                }
                current = object.to_vec();
            }
            if at <= revision {
                seen = (live == [LIVE]).then(|| (object.to_vec(), at));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !full {
            settle(&mut seen)?;
        }
        Ok(found)
    }

    /// The writes of one object up to `upto`, newest first, `limit` at most: everything after the oldest revision that
    /// can be read, and the version that this one sees.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn versions(&self, key: &ObjectKey, upto: Revision, limit: usize) -> Result<Vec<Effect>, StoreError> {
        let (object, oldest) = (key.encode(), self.oldest_revision());
        let mut found = Vec::new();
        let mut cursor = self.cursor(Family::Versions, &[], true)?;
        cursor.seek_for_prev(keyspace::version(&object, upto));
        while let Some((row, live)) = cursor.item().filter(|_| found.len() < limit) {
            let Some((_, at)) = keyspace::read_version(row).filter(|(of, _)| *of == object) else { break };
            // A deletion that is no longer retained left nothing behind.
            if at <= oldest && live != [LIVE] {
                break;
            }
            let number = keyspace::number(at.0);
            let missing = || StoreError::bad_record(Family::History.name(), &number, "it is missing");
            let sealed = self.row(Family::History, &number)?.ok_or_else(missing)?;
            found.push(self.effect(self.inner().keys.event(&number, &sealed)?)?);
            if at <= oldest {
                break;
            }
            cursor.prev();
        }
        cursor.status().map_err(|error| self.inner().engine.fault("read", error))?;
        Ok(found)
    }

    /// How many writes of one object are kept from revision `from` to `upto`, both counted. It reads no object, whatever
    /// their number; what compaction has removed below the oldest revision does not count.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count_versions(
        &self,
        key: &ObjectKey,
        from: Revision,
        upto: Revision,
    ) -> Result<usize, StoreError> {
        let mut count = 0;
        self.each_version(key, upto, |at, _| {
            let within = at >= from;
            count += usize::from(within);
            if within { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(count)
    }

    /// A revision from which on an object has been there without a break; `None` if it is not there. It is the one at
    /// which the object was created, or any that is not after `since` if it has been there since then, or since before
    /// the oldest revision. It reads no object.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unbroken(&self, key: &ObjectKey, since: Revision) -> Result<Option<Revision>, StoreError> {
        let mut begun = None;
        let far = since.max(self.oldest_revision());
        self.each_version(key, self.revision(), |at, live| {
            if !live {
                return ControlFlow::Break(());
            }
            begun = Some(at);
            if at <= far { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // A creation that compaction has passed is as good as the first.
        Ok(begun.map(|at| if at <= self.oldest_revision() { Revision(0) } else { at }))
    }

    /// Calls `visit` for the writes of one object up to `upto`, newest first, with whether the object was there after
    /// each, until it breaks.
    fn each_version(
        &self,
        key: &ObjectKey,
        upto: Revision,
        mut visit: impl FnMut(Revision, bool) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let object = key.encode();
        let mut cursor = self.cursor(Family::Versions, &[], true)?;
        cursor.seek_for_prev(keyspace::version(&object, upto));
        while let Some((row, live)) = cursor.item() {
            let Some((_, at)) = keyspace::read_version(row).filter(|(of, _)| *of == object) else { break };
            if visit(at, live == [LIVE]).is_break() {
                break;
            }
            cursor.prev();
        }
        cursor.status().map_err(|error| self.inner().engine.fault("read", error))
    }

    /// The record that the write `revision` made of the object `key`: superseded, or still the newest.
    fn made(&self, key: &[u8], revision: Revision) -> Result<Record, StoreError> {
        let row = keyspace::number(revision.0);
        if let Some(sealed) = self.row(Family::Past, &row)? {
            return self.inner().keys.past(&row, &sealed);
        }
        if let Some(sealed) = self.row(Family::Objects, key)? {
            let newest = self.inner().keys.record(key, &sealed)?;
            if newest.revision == revision {
                return Ok(newest);
            }
        }
        Err(StoreError::bad_record(Family::Past.name(), &row, "it is missing"))
    }

    /// A write with its record.
    fn effect(&self, event: Event) -> Result<Effect, StoreError> {
        let Event { revision, key, done } = event;
        let made = || self.made(&key.encode(), revision);
        let change = match done {
            Done::Created => Change::Created(made()?),
            Done::Updated => Change::Updated(made()?),
            Done::Deleted(last) => Change::Deleted(last),
        };
        Ok(Effect { revision, key, change })
    }

    fn retained(&self, revision: Revision) -> Result<(), StoreError> {
        if revision < self.oldest_revision() {
            return Err(StoreError::Compacted { oldest: self.oldest_revision() });
        }
        if revision > self.revision() {
            return Err(StoreError::Future { asked: revision, newest: self.revision() });
        }
        Ok(())
    }
}
