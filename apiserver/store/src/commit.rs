//! Commits: one block, one synced batch.

use crate::error::StoreError;
use crate::files::encode;
use crate::keyspace::{self, Done, Event, FLOOR, Family, Floor, GONE, HEAD, LIVE, StoredBlock};
use crate::mark::Head;
use crate::store::{Inner, Store};
use hypermesh_chain::{Change, Effect, Facts, Hash, Height, ObjectKey, Record, Revision, Timestamp};
use rocksdb::WriteBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What consensus has decided about one height.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// One above the newest commit's; of the first, any.
    pub height: Height,
    /// The block's time.
    pub time: Timestamp,
    /// The block's id.
    pub id: Hash,
    /// The block's bytes.
    pub block: &'a [u8],
    /// What certifies it.
    pub certificate: &'a [u8],
    /// Its writes, in order of revision.
    pub effects: &'a [Effect],
    /// What each effect replaced, in the same order; empty where that is not known, and then looked up.
    pub before: &'a [Option<Arc<Record>>],
    /// The leaves that changed; `None` where one went.
    pub leaves: &'a [(ObjectKey, Option<Hash>)],
    /// What came of its requests, by their digests.
    pub outcomes: &'a [(Hash, Vec<u8>)],
    /// The store's revision after it: at least its last effect's.
    pub revision: Revision,
}

impl Store {
    /// Keeps a block with all it did. It survives a power failure once this returns; a commit that is there already
    /// (same height and id) is answered the same way, so a failed call may be repeated.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] and [`StoreError::DiskFull`] leave everything as it was. After any other error it is
    /// not known whether the commit was kept: repeat it, or reopen the store and look at its head.
    pub fn commit(&self, commit: Commit<'_>) -> Result<(), StoreError> {
        let inner = &*self.0;
        let mark = inner.writer.lock();
        let before = self.head();
        if before.is_some_and(|head| head.height == commit.height && head.block_id == commit.id) {
            return Ok(());
        }
        commit.follows(before)?;
        let head =
            Head { height: commit.height, revision: commit.revision, block_id: commit.id, time: commit.time };
        let batch = inner.batch(&commit, head, before.is_none())?;
        inner.reserve.make(batch.size_in_bytes() as u64)?;
        if let Err(error) = inner.engine.write(batch, true) {
            if matches!(error, StoreError::DiskFull { .. }) {
                inner.reserve.release();
            }
            return Err(error);
        }
        *inner.head.write() = Some(head);
        // The commit stands without its mark; the mark only guards against damage.
        if let Err(error) = mark.set(head) {
            tracing::error!(%error, "cannot mark the newest commit");
        }
        Ok(())
    }
}

impl Commit<'_> {
    fn follows(&self, head: Option<Head>) -> Result<(), StoreError> {
        let refuse = |detail: String| Err(StoreError::OutOfOrder { detail });
        if let Some(head) = head
            && self.height.0 != head.height.0.wrapping_add(1)
        {
            return refuse(format!("height {} after {}", self.height.0, head.height.0));
        }
        let mut last = head.map_or(Revision(0), |head| head.revision);
        for effect in self.effects {
            if effect.revision <= last {
                return refuse(format!("an effect of revision {} after {}", effect.revision.0, last.0));
            }
            if effect.change.record().revision != effect.revision {
                return refuse(format!("a record of another revision in the effect {}", effect.revision.0));
            }
            last = effect.revision;
        }
        if self.revision < last {
            return refuse(format!("it ends at revision {} after {}", self.revision.0, last.0));
        }
        Ok(())
    }
}

impl Inner {
    fn batch(&self, commit: &Commit<'_>, head: Head, first: bool) -> Result<WriteBatch, StoreError> {
        let mut batch = WriteBatch::default();
        // Objects that this commit has touched already, as they are now.
        let mut touched: BTreeMap<Vec<u8>, Option<&Record>> = BTreeMap::new();
        for (place, effect) in commit.effects.iter().enumerate() {
            let key = effect.key.encode();
            let found;
            let old = match touched.get(&key) {
                Some(record) => *record,
                // What was made supersedes nothing, and needs no look.
                None if matches!(effect.change, Change::Created(_)) => None,
                None => match commit.before.get(place) {
                    Some(before) => before.as_deref(),
                    None => {
                        found = self.record(&key)?;
                        found.as_ref()
                    }
                },
            };
            let new = match &effect.change {
                Change::Created(record) | Change::Updated(record) => Some(record),
                Change::Deleted(_) => None,
            };
            self.put_effect(&mut batch, &key, effect, old)?;
            self.index(&mut batch, &key, old.map(|old| &old.facts), new.map(|new| &new.facts))?;
            touched.insert(key, new);
        }
        let leaves = self.engine.family(Family::Leaves)?;
        for (key, leaf) in commit.leaves {
            match leaf {
                Some(hash) => batch.put_cf(leaves, key.encode(), hash.0),
                None => batch.delete_cf(leaves, key.encode()),
            }
        }
        for (request, outcome) in commit.outcomes {
            self.put_sealed(&mut batch, Family::Outcomes, &request.0, outcome)?;
        }
        let block = StoredBlock {
            id: commit.id,
            time: commit.time,
            revision: commit.revision,
            requests: commit.outcomes.iter().map(|(request, _)| *request).collect(),
            certificate: commit.certificate,
            block: commit.block,
        };
        self.put_sealed(&mut batch, Family::Blocks, &keyspace::number(commit.height.0), &encode(&block)?)?;
        let meta = self.engine.family(Family::Meta)?;
        if first {
            let floor = Floor { height: commit.height, ..Floor::default() };
            batch.put_cf(meta, FLOOR, encode(&floor)?);
        }
        batch.put_cf(meta, HEAD, encode(&head)?);
        Ok(batch)
    }

    /// Writes what an effect did to an object, and moves the record that it supersedes out of the way.
    fn put_effect(
        &self,
        batch: &mut WriteBatch,
        key: &[u8],
        effect: &Effect,
        old: Option<&Record>,
    ) -> Result<(), StoreError> {
        if let Some(old) = old {
            self.put_sealed(batch, Family::Past, &keyspace::number(old.revision.0), &encode(old)?)?;
        }
        let versions = self.engine.family(Family::Versions)?;
        let done = match &effect.change {
            Change::Created(record) | Change::Updated(record) => {
                batch.put_cf(versions, keyspace::version(key, effect.revision), [LIVE]);
                self.put_sealed(batch, Family::Objects, key, &encode(record)?)?;
                if matches!(effect.change, Change::Created(_)) { Done::Created } else { Done::Updated }
            }
            Change::Deleted(last) => {
                batch.put_cf(versions, keyspace::version(key, effect.revision), [GONE]);
                batch.delete_cf(self.engine.family(Family::Objects)?, key);
                Done::Deleted(last)
            }
        };
        let event = Event { revision: effect.revision, key: &effect.key, done };
        self.put_sealed(batch, Family::History, &keyspace::number(effect.revision.0), &encode(&event)?)
    }

    /// Seals `plain` into its row.
    pub(crate) fn put_sealed(
        &self,
        batch: &mut WriteBatch,
        family: Family,
        key: &[u8],
        plain: &[u8],
    ) -> Result<(), StoreError> {
        batch.put_cf(self.engine.family(family)?, key, self.keys.seal(family, key, plain)?);
        Ok(())
    }

    /// Moves the indexes of an object from its `old` facts to its `new` ones.
    pub(crate) fn index(
        &self,
        batch: &mut WriteBatch,
        key: &[u8],
        old: Option<&Facts>,
        new: Option<&Facts>,
    ) -> Result<(), StoreError> {
        let family = self.engine.family(Family::Indexes)?;
        let old = old.map(|facts| self.keys.index_rows(key, facts)).unwrap_or_default();
        let new = new.map(|facts| self.keys.index_rows(key, facts)).unwrap_or_default();
        for row in old.difference(&new) {
            batch.delete_cf(family, row);
        }
        for row in new.difference(&old) {
            if Family::Indexes.seals(row) {
                self.put_sealed(batch, Family::Indexes, row, key)?;
            } else {
                batch.put_cf(family, row, []);
            }
        }
        Ok(())
    }

    /// An object as it is now.
    fn record(&self, key: &[u8]) -> Result<Option<Record>, StoreError> {
        let family = self.engine.family(Family::Objects)?;
        let sealed =
            self.engine.db.get_pinned_cf(family, key).map_err(|error| self.engine.fault("read", error))?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.keys.record(key, &sealed).map(Some)
    }
}
