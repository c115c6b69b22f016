//! From sealed rows to values and back: what each family's rows decode to.

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::keyspace::{self, Family, StoredBlock};
use borsh::BorshDeserialize;
use bytes::Bytes;
use hypermesh_chain::{Change, Effect, Facts, ObjectKey, Record};
use std::collections::BTreeSet;

impl Keyring {
    /// A row of `objects`.
    pub(crate) fn record(&self, key: &[u8], sealed: &[u8]) -> Result<Record, StoreError> {
        let plain = Bytes::from(self.open_value(Family::Objects, key, sealed)?);
        Record::decode_shared(&plain)
            .map_err(|_| StoreError::bad_record(Family::Objects.name(), key, "it is no record"))
    }

    /// A row of `history`.
    pub(crate) fn effect(&self, key: &[u8], sealed: &[u8]) -> Result<Effect, StoreError> {
        let plain = Bytes::from(self.open_value(Family::History, key, sealed)?);
        read_effect(&plain)
            .ok_or_else(|| StoreError::bad_record(Family::History.name(), key, "it is no effect"))
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

/// Reads an effect. The body of its record, the last field, stays where it is: an event is not copied to be served.
fn read_effect(plain: &Bytes) -> Option<Effect> {
    let mut rest = &plain[..];
    let revision = BorshDeserialize::deserialize(&mut rest).ok()?;
    let key = BorshDeserialize::deserialize(&mut rest).ok()?;
    let change = match u8::deserialize(&mut rest).ok()? {
        0 => Change::Created,
        1 => Change::Updated,
        2 => Change::Deleted,
        _ => return None,
    };
    let record = Record::decode_shared(&plain.slice(plain.len() - rest.len()..)).ok()?;
    Some(Effect { revision, key, change: change(record) })
}

/// Reads an object key that `family` holds.
pub(crate) fn object_key(family: Family, bytes: &[u8]) -> Result<ObjectKey, StoreError> {
    ObjectKey::decode(bytes).ok_or_else(|| StoreError::bad_record(family.name(), bytes, "it names no object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::{Canonical, Revision, Uid};
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        let pairs = || prop::collection::vec(("[a-z]{0,4}", "[a-z]{0,4}"), 0..3);
        let facts = (pairs(), pairs(), prop::collection::vec(any::<[u8; 16]>(), 0..3), any::<u64>());
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        (any::<u64>(), bytes(), facts, bytes()).prop_map(
            |(revision, salt, (labels, unique, owners, due), body)| {
                let owners = owners.into_iter().map(Uid).collect();
                let facts = Facts { labels, unique, owners, due, ..Facts::default() };
                Record { revision: Revision(revision), salt, facts, body: body.into() }
            },
        )
    }

    proptest! {
        /// The canonical form is what is read: whole, cut short, with more behind it or changed.
        #[test]
        fn an_uncopied_body_is_read_as_a_copied_one(
            record in record(),
            kind in 0..3_u8,
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let key = ObjectKey::new("g/p", "n", "o").unwrap();
            let change = [Change::Created, Change::Updated, Change::Deleted][usize::from(kind)](record.clone());
            let sound = borsh::to_vec(&Effect { revision: record.revision, key, change }).unwrap();
            let at = place.index(sound.len());
            let mut changed = sound.clone();
            changed[at] = byte;
            for bytes in [sound.clone(), sound[..at].to_vec(), [sound.as_slice(), &[byte]].concat(), changed] {
                let plain = Bytes::from(bytes);
                let copied: Option<Effect> = borsh::from_slice(&plain).ok();
                let copied = copied.filter(|effect| effect.change.record().check().is_ok());
                let read = read_effect(&plain);
                if let Some(body) = read.as_ref().map(|effect| effect.change.record().body.clone()) {
                    prop_assert!(body.is_empty() || plain.as_ptr_range().contains(&body.as_ptr()));
                }
                prop_assert_eq!(read, copied);
            }
        }
    }
}
