//! The overlay in which a block writes.
//!
//! It shows the committed state with the block's writes over it, and leaves behind a list of effects. A savepoint makes
//! a request, a whole transaction, or one object of a job, all or nothing. What is asked of it costs what the answer
//! holds, not what the block has written: owners and unique values are indexed, ranges are merged as they are read.
//!
//! It keeps two counts: what its effects weigh, which a rollback takes back, and what has been spent on reading and
//! writing, which nothing takes back. Both follow from the calls alone, and so are the same on every replica.

mod indexes;

use crate::state::{ReadError, StateReader};
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record, Revision, Uid};
use indexes::Indexes;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What a record weighs beside its body: key, facts, what a map and a log take for it.
const OVERHEAD: u64 = 256;
/// Entries that are read at once when what was read first did not do.
const MOST_PAGE: usize = 256;

/// Where to return to when a request is refused.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    undo: usize,
    effects: usize,
    weight: u64,
}

/// The state as it will be after the writes so far.
pub struct Overlay<'a, R: ?Sized> {
    base: &'a R,
    last: Revision,
    objects: BTreeMap<ObjectKey, Option<Arc<Record>>>,
    indexes: Indexes,
    effects: Vec<Effect>,
    before: Vec<Option<Arc<Record>>>,
    undo: Vec<(ObjectKey, Option<Option<Arc<Record>>>)>,
    weight: u64,
    spent: Cell<u64>,
}

impl<'a, R: StateReader + ?Sized> Overlay<'a, R> {
    /// An overlay without writes; `last` is the revision of the newest committed write.
    pub fn new(base: &'a R, last: Revision) -> Self {
        Self {
            base,
            last,
            objects: BTreeMap::new(),
            indexes: Indexes::default(),
            effects: Vec::new(),
            before: Vec::new(),
            undo: Vec::new(),
            weight: 0,
            spent: Cell::new(0),
        }
    }

    /// The revision that the next write will have.
    pub fn next_revision(&self) -> Revision {
        Revision(self.last.0 + self.effects.len() as u64 + 1)
    }

    /// The revision of the last write, committed or not.
    pub fn revision(&self) -> Revision {
        Revision(self.last.0 + self.effects.len() as u64)
    }

    /// Marks the present.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { undo: self.undo.len(), effects: self.effects.len(), weight: self.weight }
    }

    /// Undoes every write since `savepoint`.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.undo {
            let Some((key, before)) = self.undo.pop() else { break };
            if let Some(Some(now)) = self.objects.get(&key) {
                self.indexes.remove(&key, now);
            }
            if let Some(Some(before)) = &before {
                self.indexes.insert(&key, before);
            }
            match before {
                Some(entry) => self.objects.insert(key, entry),
                None => self.objects.remove(&key),
            };
        }
        self.effects.truncate(savepoint.effects);
        self.before.truncate(savepoint.effects);
        self.weight = savepoint.weight;
    }

    /// The effects since `savepoint`, in order of their revisions.
    pub fn effects_since(&self, savepoint: Savepoint) -> &[Effect] {
        self.effects.get(savepoint.effects..).unwrap_or_default()
    }

    /// What the effects since `savepoint` weigh, in bytes.
    pub fn weight_since(&self, savepoint: Savepoint) -> u64 {
        self.weight.saturating_sub(savepoint.weight)
    }

    /// All effects, in order of their revisions, and beside each what it replaced.
    pub fn into_effects(self) -> (Vec<Effect>, Vec<Option<Arc<Record>>>) {
        (self.effects, self.before)
    }

    /// All effects so far.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What all effects so far weigh, in bytes.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// What was read and written so far, in bytes, what was undone included.
    pub fn spent(&self) -> u64 {
        self.spent.get()
    }

    fn spend(&self, record: Option<&Record>) {
        self.spent.set(self.spent.get().saturating_add(weight(record)));
    }

    /// The newest version of an object.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        let found = match self.objects.get(key) {
            Some(entry) => entry.clone(),
            None => self.base.get(key)?,
        };
        self.spend(found.as_deref());
        Ok(found)
    }

    /// Up to `limit` objects of a range, in key order, after `after`.
    pub fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let mut found: Vec<(ObjectKey, Arc<Record>)> = Vec::new();
        let mut written = self.written(range, after).peekable();
        let (mut from, mut page) = (after.cloned(), limit);
        while found.len() < limit {
            let base = self.base.scan(range, from.as_ref(), page)?;
            let last = base.len() < page;
            from = base.last().map(|(key, _)| key.clone()).or(from);
            for (key, record) in base {
                while let Some((new, entry)) = written.next_if(|(new, _)| **new < key) {
                    found.extend(entry.as_ref().map(|record| (new.clone(), Arc::clone(record))));
                }
                let entry = written.next_if(|(new, _)| **new == key);
                let now = entry.map_or(Some(&record), |(_, entry)| entry.as_ref()).map(Arc::clone);
                found.extend(now.map(|record| (key, record)));
            }
            if last {
                let rest =
                    written.filter_map(|(key, entry)| Some((key.clone(), Arc::clone(entry.as_ref()?))));
                found.extend(rest.take(limit.saturating_sub(found.len())));
                break;
            }
            page = page.saturating_mul(2).clamp(16, MOST_PAGE);
        }
        found.truncate(limit);
        found.iter().for_each(|(_, record)| self.spend(Some(record)));
        Ok(found)
    }

    fn written(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
    ) -> impl Iterator<Item = (&ObjectKey, &Option<Arc<Record>>)> {
        let start = ObjectKey::new(range.collection.as_str(), range.namespace.as_deref().unwrap_or(""), "");
        let bounds = start.map(|start| match after.filter(|after| **after >= start) {
            Some(after) => (Bound::Excluded(after.clone()), Bound::Unbounded),
            None => (Bound::Included(start), Bound::Unbounded),
        });
        let range = range.clone();
        let entries = bounds.map(|bounds| self.objects.range::<ObjectKey, _>(bounds));
        entries.into_iter().flatten().take_while(move |(key, _)| range.contains(key))
    }

    /// Up to `limit` objects that name `owner` as an owner, in key order, after `after`.
    pub fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        let mut found = Vec::new();
        let mut written = self.indexes.dependents(owner, after).peekable();
        let (mut from, mut page) = (after.cloned(), limit);
        while found.len() < limit {
            let base = self.base.dependents(owner, from.as_ref(), page)?;
            let last = base.len() < page;
            from = base.last().cloned().or(from);
            for key in base.into_iter().filter(|key| !self.objects.contains_key(key)) {
                while let Some(new) = written.next_if(|new| **new < key) {
                    found.push(new.clone());
                }
                found.push(key);
            }
            if last {
                found.extend(written.take(limit.saturating_sub(found.len())).cloned());
                break;
            }
            page = page.saturating_mul(2).clamp(16, MOST_PAGE);
        }
        found.truncate(limit);
        self.spent.set(self.spent.get().saturating_add(OVERHEAD));
        Ok(found)
    }

    /// Who holds a value of a unique index.
    pub fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        if let Some(key) = self.indexes.holder(index, value) {
            return Ok(Some(key.clone()));
        }
        Ok(self.base.holder(index, value)?.filter(|key| !self.objects.contains_key(key)))
    }

    /// Stores a record in place of `before`. Its revision must be [`Self::next_revision`].
    pub fn put(&mut self, key: ObjectKey, record: Record, before: Option<Arc<Record>>) {
        debug_assert_eq!(record.revision, self.next_revision());
        let revision = record.revision;
        let stored = Arc::new(record.clone());
        let change = if before.is_some() { Change::Updated(record) } else { Change::Created(record) };
        self.write(&key, Some(stored));
        self.log(Effect { revision, key, change }, before);
    }

    /// Removes the object `before`; `last` is its last state, carrying the deletion's revision.
    pub fn delete(&mut self, key: ObjectKey, last: Record, before: Arc<Record>) {
        debug_assert_eq!(last.revision, self.next_revision());
        let revision = last.revision;
        self.write(&key, None);
        self.log(Effect { revision, key, change: Change::Deleted(last) }, Some(before));
    }

    fn write(&mut self, key: &ObjectKey, entry: Option<Arc<Record>>) {
        if let Some(Some(old)) = self.objects.get(key) {
            self.indexes.remove(key, old);
        }
        if let Some(new) = &entry {
            self.indexes.insert(key, new);
        }
        let before = self.objects.insert(key.clone(), entry);
        self.undo.push((key.clone(), before));
    }

    fn log(&mut self, effect: Effect, before: Option<Arc<Record>>) {
        let record = Some(effect.change.record());
        self.spend(record);
        self.weight = self.weight.saturating_add(weight(record));
        self.before.push(before);
        self.effects.push(effect);
    }
}

fn weight(record: Option<&Record>) -> u64 {
    OVERHEAD + record.map_or(0, |record| record.body.len() as u64)
}

#[cfg(test)]
mod tests;
