//! Who among the block's writes depends on whom, and who holds what.
//!
//! Invariant: the entries are those of the records that the overlay shows, no more and no fewer.

use hypermesh_chain::{ObjectKey, Record, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Debug, Default)]
pub(super) struct Indexes {
    owners: BTreeMap<Uid, BTreeSet<ObjectKey>>,
    /// By index and value. More than one holder is for the caller to refuse: here each is remembered.
    unique: BTreeMap<String, BTreeMap<String, BTreeSet<ObjectKey>>>,
}

impl Indexes {
    pub fn insert(&mut self, key: &ObjectKey, record: &Record) {
        for owner in &record.facts.owners {
            self.owners.entry(*owner).or_default().insert(key.clone());
        }
        for (index, value) in &record.facts.unique {
            let values = self.unique.entry(index.clone()).or_default();
            values.entry(value.clone()).or_default().insert(key.clone());
        }
    }

    pub fn remove(&mut self, key: &ObjectKey, record: &Record) {
        for owner in &record.facts.owners {
            if let Some(keys) = self.owners.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owners.remove(owner);
                }
            }
        }
        for (index, value) in &record.facts.unique {
            let Some(values) = self.unique.get_mut(index) else { continue };
            if let Some(keys) = values.get_mut(value) {
                keys.remove(key);
                if keys.is_empty() {
                    values.remove(value);
                }
            }
        }
    }

    /// Keys of what names `owner`, in order, after `after`.
    pub fn dependents(&self, owner: Uid, after: Option<&ObjectKey>) -> impl Iterator<Item = &ObjectKey> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let keys = self.owners.get(&owner);
        keys.into_iter().flat_map(move |keys| keys.range((from.clone(), Bound::Unbounded)))
    }

    /// The first holder of a value.
    pub fn holder(&self, index: &str, value: &str) -> Option<&ObjectKey> {
        self.unique.get(index)?.get(value)?.first()
    }
}
