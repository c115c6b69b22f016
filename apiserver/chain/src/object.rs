//! Objects as the store, the tree and the chain see them: a key, a record of bytes, an effect.
//!
//! Records and effects are [`Canonical`]: what a disk or a peer hands in is read by their `decode`, which bounds it and
//! holds it to its rules. An [`ObjectKey`] has a byte form of its own, which [`ObjectKey::parse`] reads.

use crate::codec::{self, Canonical, DecodeError, RuleError};
use crate::ids::{Hash, Revision, Uid};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use std::io;

/// Where an object lives. Its byte form, `collection 0x00 namespace 0x00 name`, orders objects as LIST does and makes
/// every collection, and every namespace of a collection, one contiguous range of keys (and one subtree of the tree).
///
/// Invariant: no part holds a zero byte. `collection` is `group/plural` (`/secrets` in the core group).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct ObjectKey {
    collection: String,
    namespace: String,
    name: String,
}

/// Why bytes are no object key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// More bytes than any key has.
    #[error("an object key of {0} bytes, the limit is {limit}", limit = ObjectKey::MAX_BYTES)]
    TooLong(usize),
    /// Not collection, namespace and name with a zero byte between.
    #[error("an object key has three parts")]
    Parts,
    /// A part is not UTF-8.
    #[error("a part of an object key is not UTF-8")]
    Text,
}

impl ObjectKey {
    /// The longest byte form. Names come from a request's target, which is shorter.
    pub const MAX_BYTES: usize = 64 << 10;

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
        Self::parse(bytes).ok()
    }

    /// Reads the byte form, all of it: what is read has no other.
    ///
    /// # Errors
    /// What is no key, by its reason.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(KeyError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| KeyError::Text)?;
        let mut parts = text.split('\0');
        let mut next = || parts.next().ok_or(KeyError::Parts).map(str::to_owned);
        let key = Self { collection: next()?, namespace: next()?, name: next()? };
        if parts.next().is_some() { Err(KeyError::Parts) } else { Ok(key) }
    }
}

/// The three parts. One with a zero byte is refused: what is read has the invariant that [`ObjectKey::new`] gives.
impl BorshDeserialize for ObjectKey {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut part = || codec::text::<_, { ObjectKey::MAX_BYTES }>(reader);
        let (collection, namespace, name) = (part()?, part()?, part()?);
        Self::new(collection, namespace, name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a part of an object key holds a zero byte")
        })
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
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Facts::MAX_ITEMS }>")]
    pub labels: Vec<(String, String)>,
    /// Selectable fields: JSON path and value as text, in order of the kind's definition.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Facts::MAX_ITEMS }>")]
    pub fields: Vec<(String, String)>,
    /// Values of unique fields: (index, value); the index names kind, path and, where it is scoped so, namespace.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Facts::MAX_ITEMS }>")]
    pub unique: Vec<(String, String)>,
    /// uids of `metadata.ownerReferences`.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Facts::MAX_ITEMS }>")]
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

impl Facts {
    /// The most labels, fields, unique values or owners: beyond what fits into an object.
    pub const MAX_ITEMS: usize = 1 << 18;
}

impl Canonical for Facts {
    const WHAT: &'static str = "facts";
    const MAX_BYTES: usize = 8 << 20;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::ascending("labels", self.labels.iter().map(|(key, _)| key))
    }
}

impl Record {
    /// The longest body, in bytes: what a client may store, and what the state machine adds to it by itself.
    pub const MAX_BODY: usize = 4 << 20;
    /// The longest salt, in bytes.
    pub const MAX_SALT: usize = 64;

    /// [`Canonical::decode`] without a copy of the body: it stays where it is in `bytes`.
    ///
    /// # Errors
    /// As there.
    pub fn decode_shared(bytes: &Bytes) -> Result<Self, DecodeError> {
        let what = Self::WHAT;
        if bytes.len() > Self::MAX_BYTES {
            return Err(DecodeError::TooLong { what, length: bytes.len(), limit: Self::MAX_BYTES });
        }
        let mut rest = &bytes[..];
        let mut head = || {
            let revision = Revision::deserialize(&mut rest)?;
            let salt = Vec::deserialize(&mut rest)?;
            let facts = Facts::deserialize(&mut rest)?;
            let length = u32::deserialize(&mut rest)?;
            if length as usize == rest.len() {
                return Ok((revision, salt, facts));
            }
            let why = format!("a body of {length} bytes, and {} are there", rest.len());
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        };
        let (revision, salt, facts) = head().map_err(|source| DecodeError::Malformed { what, source })?;
        let body = bytes.slice(bytes.len() - rest.len()..);
        let record = Self { revision, salt, facts, body };
        record.check().map_err(|source| DecodeError::Invalid { what, source })?;
        Ok(record)
    }

    /// The body of an encoded record, where it stands in `bytes`: for a pass over many records of which nothing else is
    /// wanted. What stands before the body is measured and not judged.
    ///
    /// # Errors
    /// When the lengths in `bytes` do not add up to its own.
    pub fn body_of(bytes: &[u8]) -> Result<&[u8], DecodeError> {
        fn skip(rest: &[u8], length: usize) -> Option<&[u8]> {
            rest.get(length..)
        }
        fn count(rest: &[u8]) -> Option<(usize, &[u8])> {
            let (number, rest) = rest.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*number) as usize, rest))
        }
        fn text(rest: &[u8]) -> Option<&[u8]> {
            let (length, rest) = count(rest)?;
            skip(rest, length)
        }
        fn pairs(rest: &[u8]) -> Option<&[u8]> {
            let (pairs, mut rest) = count(rest)?;
            for _ in 0..pairs {
                rest = text(text(rest)?)?;
            }
            Some(rest)
        }
        let body = || {
            // Revision; salt; of the facts: uid, labels, fields, unique values, owners, deleting, due.
            let rest = skip(text(skip(bytes, 8)?)?, 16)?;
            let (owners, rest) = count(pairs(pairs(pairs(rest)?)?)?)?;
            let rest = skip(rest, owners.checked_mul(16)?.checked_add(1 + 8)?)?;
            let (length, body) = count(rest)?;
            (length == body.len()).then_some(body)
        };
        body().ok_or_else(|| {
            let why = "its lengths do not add up";
            DecodeError::Malformed {
                what: Self::WHAT,
                source: io::Error::new(io::ErrorKind::InvalidData, why),
            }
        })
    }

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

impl Canonical for Record {
    const WHAT: &'static str = "record";
    const MAX_BYTES: usize = Facts::MAX_BYTES + Self::MAX_BODY + Self::MAX_SALT + 64;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("salt", self.salt.len(), Self::MAX_SALT)?;
        RuleError::limit("body", self.body.len(), Self::MAX_BODY)?;
        self.facts.check()
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

impl Canonical for Effect {
    const WHAT: &'static str = "effect";
    const MAX_BYTES: usize = Record::MAX_BYTES + ObjectKey::MAX_BYTES + 64;

    fn check(&self) -> Result<(), RuleError> {
        let record = self.change.record();
        RuleError::ensure(self.revision == record.revision, "revision", "is the record's")?;
        RuleError::ensure(!self.key.collection().is_empty(), "key", "names a collection")?;
        record.check()
    }
}

impl Change {
    /// The record after (or, of a deletion, at) the change.
    pub fn record(&self) -> &Record {
        match self {
            Self::Created(record) | Self::Updated(record) | Self::Deleted(record) => record,
        }
    }
}
