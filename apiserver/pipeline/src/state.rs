//! What the pipeline reads, and the overlay in which it writes.
//!
//! The pipeline never sees a store: it reads through [`StateReader`], sees its own earlier writes of the block
//! through [`Overlay`], and leaves behind a list of effects. A savepoint makes a request, or a whole transaction, all
//! or nothing.

use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record, Revision, Uid};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// The store could not be read. Nothing is known of the object then, least of all that it is absent.
#[derive(Clone, Debug, Error)]
#[error("reading the state failed: {0}")]
pub struct ReadError(pub String);

/// A consistent view of the committed state.
pub trait StateReader {
    /// The newest version of an object.
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError>;

    /// Up to `limit` objects of a range, in key order, after `after`.
    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError>;

    /// Up to `limit` objects that name `owner` in their owner references, in key order, after `after`.
    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError>;

    /// Who holds a value of a unique index.
    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError>;
}

/// Where to return to when a request is refused.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    undo: usize,
    effects: usize,
}

/// The state as it will be after the writes so far.
pub struct Overlay<'a, R: ?Sized> {
    base: &'a R,
    last: Revision,
    objects: BTreeMap<ObjectKey, Option<Arc<Record>>>,
    effects: Vec<Effect>,
    before: Vec<Option<Arc<Record>>>,
    undo: Vec<(ObjectKey, Option<Option<Arc<Record>>>)>,
}

impl<'a, R: StateReader + ?Sized> Overlay<'a, R> {
    /// An overlay without writes; `last` is the revision of the newest committed write.
    pub fn new(base: &'a R, last: Revision) -> Self {
        Self {
            base,
            last,
            objects: BTreeMap::new(),
            effects: Vec::new(),
            before: Vec::new(),
            undo: Vec::new(),
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
        Savepoint { undo: self.undo.len(), effects: self.effects.len() }
    }

    /// Undoes every write since `savepoint`.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.undo {
            if let Some((key, before)) = self.undo.pop() {
                match before {
                    Some(entry) => self.objects.insert(key, entry),
                    None => self.objects.remove(&key),
                };
            }
        }
        self.effects.truncate(savepoint.effects);
        self.before.truncate(savepoint.effects);
    }

    /// The effects since `savepoint`, in order of their revisions.
    pub fn effects_since(&self, savepoint: Savepoint) -> &[Effect] {
        self.effects.get(savepoint.effects..).unwrap_or_default()
    }

    /// All effects, in order of their revisions, and beside each what it replaced.
    pub fn into_effects(self) -> (Vec<Effect>, Vec<Option<Arc<Record>>>) {
        (self.effects, self.before)
    }

    /// All effects so far.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The newest version of an object.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        match self.objects.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => self.base.get(key),
        }
    }

    /// Up to `limit` objects of a range, in key order, after `after`.
    pub fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let written = self.written(range, after);
        let base = self.base.scan(range, after, limit.saturating_add(written.len()))?;
        let mut merged: BTreeMap<ObjectKey, Arc<Record>> = base.into_iter().collect();
        for (key, entry) in written {
            match entry {
                Some(record) => merged.insert(key.clone(), Arc::clone(record)),
                None => merged.remove(key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    fn written(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
    ) -> Vec<(&ObjectKey, &Option<Arc<Record>>)> {
        let start = ObjectKey::new(range.collection.as_str(), range.namespace.as_deref().unwrap_or(""), "");
        let Some(start) = start else { return Vec::new() };
        let from = after.map_or(&start, |after| if *after > start { after } else { &start });
        self.objects
            .range(from.clone()..)
            .take_while(|(key, _)| range.contains(key))
            .filter(|(key, _)| after.is_none_or(|after| *key > after))
            .collect()
    }

    /// Up to `limit` objects that name `owner` as an owner, in key order, after `after`.
    pub fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        let base = self.base.dependents(owner, after, limit.saturating_add(self.objects.len()))?;
        let mut keys: std::collections::BTreeSet<ObjectKey> =
            base.into_iter().filter(|key| !self.objects.contains_key(key)).collect();
        for (key, entry) in &self.objects {
            let follows = after.is_none_or(|after| key > after);
            if follows && entry.as_ref().is_some_and(|record| record.facts.owners.contains(&owner)) {
                keys.insert(key.clone());
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Who holds a value of a unique index.
    pub fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        let holds = |record: &Record| record.facts.unique.iter().any(|(i, v)| i == index && v == value);
        for (key, entry) in &self.objects {
            if entry.as_deref().is_some_and(holds) {
                return Ok(Some(key.clone()));
            }
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
        self.before.push(before);
        self.effects.push(Effect { revision, key, change });
    }

    /// Removes the object `before`; `last` is its last state, carrying the deletion's revision.
    pub fn delete(&mut self, key: ObjectKey, last: Record, before: Arc<Record>) {
        debug_assert_eq!(last.revision, self.next_revision());
        let revision = last.revision;
        self.write(&key, None);
        self.before.push(Some(before));
        self.effects.push(Effect { revision, key, change: Change::Deleted(last) });
    }

    fn write(&mut self, key: &ObjectKey, entry: Option<Arc<Record>>) {
        let before = self.objects.insert(key.clone(), entry);
        self.undo.push((key.clone(), before));
    }
}
