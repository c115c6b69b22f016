//! From sealed rows to values and back: what each family's rows decode to.

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::keyspace::{self, Done, Event, Family, StoredBlock};
use bytes::Bytes;
use hypermesh_chain::{Canonical, Facts, ObjectKey, Record};
use std::collections::BTreeSet;

impl Keyring {
    /// A row of `objects`.
    pub(crate) fn record(&self, key: &[u8], sealed: &[u8]) -> Result<Record, StoreError> {
        let plain = Bytes::from(self.open_value(Family::Objects, key, sealed)?);
        Record::decode_shared(&plain)
            .map_err(|_| StoreError::bad_record(Family::Objects.name(), key, "it is no record"))
    }

    /// A row of `history`.
    pub(crate) fn event(&self, key: &[u8], sealed: &[u8]) -> Result<Event, StoreError> {
        let plain = self.open_value(Family::History, key, sealed)?;
        let event: Option<Event> = borsh::from_slice(&plain).ok();
        let sound = |event: &Event| match &event.done {
            Done::Created | Done::Updated => true,
            Done::Deleted(last) => last.check().is_ok() && last.revision == event.revision,
        };
        event
            .filter(sound)
            .ok_or_else(|| StoreError::bad_record(Family::History.name(), key, "it is no event"))
    }

    /// A row of `past`.
    pub(crate) fn past(&self, key: &[u8], sealed: &[u8]) -> Result<Record, StoreError> {
        let plain = Bytes::from(self.open_value(Family::Past, key, sealed)?);
        let record = Record::decode_shared(&plain).ok();
        record.filter(|record| keyspace::read_number(key) == Some(record.revision.0)).ok_or_else(|| {
            StoreError::bad_record(Family::Past.name(), key, "it is no record of its revision")
        })
    }

    /// A row of `blocks`.
    pub(crate) fn block(&self, key: &[u8], sealed: &[u8]) -> Result<StoredBlock, StoreError> {
        let plain = self.open_value(Family::Blocks, key, sealed)?;
        borsh::from_slice(&plain)
            .map_err(|_| StoreError::bad_record(Family::Blocks.name(), key, "it is no block"))
    }

    /// The rows in which an object with these facts is indexed.
    pub(crate) fn index_rows(&self, key: &[u8], facts: &Facts) -> BTreeSet<Vec<u8>> {
        let mut rows = BTreeSet::new();
        if facts.due != 0 {
            rows.insert(keyspace::due(facts.due, key));
        }
        rows.extend(facts.owners.iter().map(|uid| keyspace::owner(*uid, key)));
        let unique = facts.unique.iter().map(|(index, value)| keyspace::unique(self.unique(index, value)));
        rows.extend(unique.map(|row| row.to_vec()));
        rows
    }
}

/// Reads an object key that `family` holds.
pub(crate) fn object_key(family: Family, bytes: &[u8]) -> Result<ObjectKey, StoreError> {
    ObjectKey::decode(bytes).ok_or_else(|| StoreError::bad_record(family.name(), bytes, "it names no object"))
}
