//! Objects as the store, the tree and the chain see them: a key, a record of bytes, an effect.

use crate::ids::{Hash, Revision, Uid};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

/// Where an object lives. Its byte form, `collection 0x00 namespace 0x00 name`, orders objects as LIST does and makes
/// every collection, and every namespace of a collection, one contiguous range of keys (and one subtree of the tree).
///
/// Invariant: no part holds a zero byte. `collection` is `group/plural` (`/secrets` in the core group).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ObjectKey {
    collection: String,
    namespace: String,
    name: String,
}

impl ObjectKey {
    /// `None` when a part holds a zero byte. `namespace` is empty for cluster-scoped objects.
    pub fn new(
        collection: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Option<Self> {
        let key = Self { collection: collection.into(), namespace: namespace.into(), name: name.into() };
        let sound =
            [&key.collection, &key.namespace, &key.name].iter().all(|part| !part.as_bytes().contains(&0));
        sound.then_some(key)
    }

    /// `group/plural`.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The byte form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(self.collection.len() + self.namespace.len() + self.name.len() + 2);
        bytes.extend_from_slice(self.collection.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.namespace.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    /// Reads the byte form; `None` if it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.split(|b| *b == 0);
        let mut next = || std::str::from_utf8(parts.next()?).ok().map(str::to_owned);
        let key = Self { collection: next()?, namespace: next()?, name: next()? };
        parts.next().is_none().then_some(key)
    }
}

/// A contiguous range of keys: a collection, or one namespace of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// `group/plural`.
    pub collection: String,
    /// One namespace, or all of them.
    pub namespace: Option<String>,
}

impl KeyRange {
    /// The bytes that all keys of the range start with.
    pub fn prefix(&self) -> Vec<u8> {
        let mut bytes = self.collection.as_bytes().to_vec();
        bytes.push(0);
        if let Some(namespace) = &self.namespace {
            bytes.extend_from_slice(namespace.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.collection == key.collection && self.namespace.as_ref().is_none_or(|n| *n == key.namespace)
    }
}

/// What the store knows of an object without decoding it. It is derived from the body by the pipeline, and is
/// replicated with it so that applying effects needs no schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Facts {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.labels`, in order.
    pub labels: Vec<(String, String)>,
    /// Selectable fields: JSON path and value as text, in order of the kind's definition.
    pub fields: Vec<(String, String)>,
    /// Values of unique fields: (index, value); the index names kind, path and, where it is scoped so, namespace.
    pub unique: Vec<(String, String)>,
    /// uids of `metadata.ownerReferences`.
    pub owners: Vec<Uid>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// When the state machine shall look at the object again (expiry), in microseconds of block time; 0 is never.
    pub due: u64,
}

/// The newest version of an object.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// The write that made this version: its `resourceVersion`.
    pub revision: Revision,
    /// Random-looking bytes from the request that salt the leaf (Secrets), else empty.
    pub salt: Vec<u8>,
    /// What selectors, owners and unique fields need.
    pub facts: Facts,
    /// The object as it is served: compact JSON.
    pub body: Bytes,
}

impl Record {
    /// The object's leaf: H(0x00 ‖ salt length ‖ salt ‖ key length ‖ key ‖ revision ‖ body), lengths as u32 and the
    /// revision as u64, little-endian.
    pub fn leaf(&self, key: &[u8]) -> Hash {
        Hash::of(&[
            &[0],
            &(self.salt.len() as u32).to_le_bytes(),
            &self.salt,
            &(key.len() as u32).to_le_bytes(),
            key,
            &self.revision.0.to_le_bytes(),
            &self.body,
        ])
    }
}

/// What one write did to the state. Every write has a revision of its own, deletions too.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Effect {
    /// Its place in the store.
    pub revision: Revision,
    /// Which object.
    pub key: ObjectKey,
    /// What became of it.
    pub change: Change,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// It did not exist.
    Created(Record),
    /// It did exist.
    Updated(Record),
    /// It is gone. The record is the last state, with `resourceVersion` set to the deletion's revision: what a
    /// watcher's DELETED event shows.
    Deleted(Record),
}

impl Change {
    /// The record after (or, of a deletion, at) the change.
    pub fn record(&self) -> &Record {
        match self {
            Self::Created(record) | Self::Updated(record) | Self::Deleted(record) => record,
        }
    }
}
