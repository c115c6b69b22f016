//! The whole keyspace, on one page.
//!
//! | family   | key                                        | value                                             | sealed |
//! |----------|--------------------------------------------|---------------------------------------------------|--------|
//! | objects  | object key                                 | `Record`, the newest                              | yes    |
//! | history  | revision                                   | `Event`: what the write did, and to which object  | yes    |
//! | past     | revision                                   | `Record` that it made, once it is superseded      | yes    |
//! | versions | object key, 0x00, revision                 | 1, or 0 where the write was a deletion            | no     |
//! | indexes  | `d`, due time, object key                  | nothing                                           | no     |
//! |          | `o`, owner's uid, object key               | nothing                                           | no     |
//! |          | `u`, keyed hash of (index, value)          | the holder's object key                           | yes    |
//! | leaves   | object key                                 | the leaf's hash                                   | no     |
//! | blocks   | height                                     | `StoredBlock`: block, certificate, what it closed | yes    |
//! | outcomes | request digest                             | the outcome's bytes                               | yes    |
//! | meta     | `head`                                     | `Head`                                            | no     |
//! |          | `floor`                                    | `Floor`: what compaction has taken                | no     |
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers; values are borsh. An object key
//! (`hypermesh_chain::ObjectKey::encode`) holds exactly two zero bytes, and its parts hold none: a third one ends it,
//! and the versions of one object stand together, in order, between the objects beside it.
//!
//! A record is kept once. The newest of an object stands in `objects`; the write that supersedes it moves it to `past`,
//! under the revision that made it. Which version of an object a revision saw: the last row of `versions` at or below
//! it; its record stands in `past` under that row's revision, or else in `objects`. Compaction to revision F removes the
//! rows of `history`, `versions` and `past` that were superseded, or deleted, at or below F; the version that F itself
//! sees stays until a later compaction passes the write that superseded it.

use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::{Hash, Height, ObjectKey, Record, Revision, Timestamp, Uid};

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Objects,
    History,
    Versions,
    Indexes,
    Leaves,
    Blocks,
    Outcomes,
    Meta,
    Past,
}

impl Family {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Objects,
        Self::History,
        Self::Versions,
        Self::Indexes,
        Self::Leaves,
        Self::Blocks,
        Self::Outcomes,
        Self::Meta,
        Self::Past,
    ];

    /// The name in RocksDB, and the domain of what is sealed in it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::History => "history",
            Self::Versions => "versions",
            Self::Indexes => "indexes",
            Self::Leaves => "leaves",
            Self::Blocks => "blocks",
            Self::Outcomes => "outcomes",
            Self::Meta => "meta",
            Self::Past => "past",
        }
    }

    /// Whether the value under `key` is sealed.
    pub(crate) fn seals(self, key: &[u8]) -> bool {
        match self {
            Self::Objects | Self::History | Self::Past | Self::Blocks | Self::Outcomes => true,
            Self::Indexes => key.first() == Some(&UNIQUE),
            Self::Versions | Self::Leaves | Self::Meta => false,
        }
    }
}

/// First byte of the index of due times.
pub(crate) const DUE: u8 = b'd';
/// First byte of the index of owners.
pub(crate) const OWNER: u8 = b'o';
/// First byte of the index of unique fields.
pub(crate) const UNIQUE: u8 = b'u';
/// meta: the newest commit.
pub(crate) const HEAD: &[u8] = b"head";
/// meta: what compaction has taken.
pub(crate) const FLOOR: &[u8] = b"floor";
/// versions: the object was there.
pub(crate) const LIVE: u8 = 1;
/// versions: the write was a deletion.
pub(crate) const GONE: u8 = 0;

/// What compaction has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Floor {
    /// The oldest revision that can be read; moved first.
    pub(crate) revision: Revision,
    /// Events up to here have been compacted; reaches `revision` slice by slice.
    pub(crate) swept: Revision,
    /// The oldest block kept.
    pub(crate) height: Height,
}

/// A write as `history` keeps it. What is written may be borrowed; what is read is owned.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Event<K = ObjectKey, R = Record> {
    pub(crate) revision: Revision,
    pub(crate) key: K,
    pub(crate) done: Done<R>,
}

/// What a write did. The record that it made is not here: it stands in `objects`, or in `past`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Done<R = Record> {
    Created,
    Updated,
    /// With the last state, which carries the deletion's revision and stands nowhere else.
    Deleted(R),
}

/// A block as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredBlock<B = Vec<u8>> {
    pub(crate) id: Hash,
    pub(crate) time: Timestamp,
    /// The last revision after the block.
    pub(crate) revision: Revision,
    /// The outcomes that go when the block goes.
    pub(crate) requests: Vec<Hash>,
    pub(crate) certificate: B,
    pub(crate) block: B,
}

/// The key of a row in `history`, `past` or `blocks`.
pub(crate) fn number(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

/// Reads [`number`]; `None` if the key is not eight bytes long.
pub(crate) fn read_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The key of a row in `versions`.
pub(crate) fn version(object: &[u8], revision: Revision) -> Vec<u8> {
    [object, &[0], &revision.0.to_be_bytes()].concat()
}

/// Splits the key of a row in `versions` into object key and revision.
pub(crate) fn read_version(key: &[u8]) -> Option<(&[u8], Revision)> {
    let (head, revision) = key.split_last_chunk::<8>()?;
    let object = head.strip_suffix(&[0])?;
    Some((object, Revision(u64::from_be_bytes(*revision))))
}

/// The key of a row in the index of due times.
pub(crate) fn due(time: u64, object: &[u8]) -> Vec<u8> {
    [&[DUE], time.to_be_bytes().as_slice(), object].concat()
}

/// The object key of a row in the index of due times.
pub(crate) fn read_due(key: &[u8]) -> Option<&[u8]> {
    key.get(9..)
}

/// The key of a row in the index of owners.
pub(crate) fn owner(uid: Uid, object: &[u8]) -> Vec<u8> {
    [&[OWNER], uid.0.as_slice(), object].concat()
}

/// The object key of a row in the index of owners.
pub(crate) fn read_owner(key: &[u8]) -> Option<&[u8]> {
    key.get(17..)
}

/// The key of a row in the index of unique fields, from the keyed hash of index and value.
pub(crate) fn unique(hash: Hash) -> [u8; 33] {
    let mut key = [UNIQUE; 33];
    key[1..].copy_from_slice(&hash.0);
    key
}

/// The first key after all those that start with `prefix`; `None` if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

/// The first key after `key`.
pub(crate) fn just_after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(after_prefix(b"a\x00"), Some(b"a\x01".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }

    proptest! {
        #[test]
        fn versions_stand_together_in_order(
            mut names in prop::collection::vec("[a-z\\x01-\\x03]{0,4}", 2..6),
            revisions in prop::collection::btree_set(any::<u64>(), 1..5),
        ) {
            names.sort();
            names.dedup();
            let objects: Vec<Vec<u8>> = names.iter().map(|n| format!("g/p\0ns\0{n}").into_bytes()).collect();
            let mut rows = Vec::new();
            for object in &objects {
                for revision in &revisions {
                    rows.push(version(object, Revision(*revision)));
                }
            }
            let mut sorted = rows.clone();
            sorted.sort();
            prop_assert_eq!(&rows, &sorted);
            for row in &rows {
                let (object, revision) = read_version(row).unwrap();
                prop_assert_eq!(&version(object, revision), row);
            }
        }
    }
}
