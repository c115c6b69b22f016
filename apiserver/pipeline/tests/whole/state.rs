//! A state in memory that checks what is done to it: for the tests here, and for the fuzzer of executions.

use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record, Uid};
use hypermesh_pipeline::{ReadError, StateReader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Objects and their indexes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub objects: BTreeMap<ObjectKey, Arc<Record>>,
    owners: BTreeSet<(Uid, ObjectKey)>,
    unique: BTreeMap<(String, String), ObjectKey>,
    revision: u64,
    /// An object whose reading panics.
    pub trap: Option<ObjectKey>,
}

impl Memory {
    /// Applies a write, which must fit the state: its kind, its revision, its unique values.
    pub fn apply(&mut self, effect: &Effect) {
        assert_eq!(effect.revision.0, self.revision + 1, "one revision for one write");
        self.revision = effect.revision.0;
        let record = effect.change.record();
        assert_eq!(record.revision, effect.revision);
        let before = self.objects.remove(&effect.key);
        let created = matches!(effect.change, Change::Created(_));
        assert_eq!(created, before.is_none(), "{:?} is created exactly if it was not there", effect.key);
        if let Some(before) = before {
            for owner in &before.facts.owners {
                self.owners.remove(&(*owner, effect.key.clone()));
            }
            for unique in &before.facts.unique {
                assert_eq!(self.unique.remove(unique).as_ref(), Some(&effect.key));
            }
        }
        if matches!(effect.change, Change::Deleted(_)) {
            return;
        }
        for owner in &record.facts.owners {
            self.owners.insert((*owner, effect.key.clone()));
        }
        for unique in &record.facts.unique {
            let holder = self.unique.insert(unique.clone(), effect.key.clone());
            assert_eq!(holder, None, "{unique:?} has one holder");
        }
        self.objects.insert(effect.key.clone(), Arc::new(record.clone()));
    }
}

impl StateReader for Memory {
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        assert_ne!(self.trap.as_ref(), Some(key), "a trap");
        Ok(self.objects.get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let start = place(range.collection.as_str(), range.namespace.as_deref().unwrap_or(""))?;
        let found = self.objects.range(start..).take_while(|(key, _)| range.contains(key));
        let found = found.filter(|(key, _)| after.is_none_or(|after| *key > after)).take(limit);
        Ok(found.map(|(key, record)| (key.clone(), Arc::clone(record))).collect())
    }

    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        let from = (owner, after.cloned().map_or_else(|| place("", ""), Ok)?);
        let found = self.owners.range(from..).take_while(|(uid, _)| *uid == owner).map(|(_, key)| key);
        Ok(found.filter(|key| after.is_none_or(|after| *key > after)).take(limit).cloned().collect())
    }

    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        Ok(self.unique.get(&(index.to_owned(), value.to_owned())).cloned())
    }
}

/// Where the objects of a collection and namespace begin.
fn place(collection: &str, namespace: &str) -> Result<ObjectKey, ReadError> {
    ObjectKey::new(collection, namespace, "").ok_or_else(|| ReadError("a range with a zero byte".into()))
}
