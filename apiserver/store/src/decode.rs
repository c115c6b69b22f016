//! What the store reads from its disk, as functions of bytes: for fuzzing, and no part of the interface.
//!
//! Everything here calls what the store itself calls. It opens no database and makes nothing that a store would use.

use crate::error::StoreError;
use crate::files::{Files, encode};
use crate::keyring::{Access, Keyring, parse_key_file};
use crate::keyspace::{self, Event, Family, Floor, StoredBlock};
use crate::mark::{Head, Mark, Marked};
use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::Record;
use std::path::Path;

/// A keyring of its own, to seal values with and to open damaged ones.
#[derive(Debug)]
pub struct Envelope(Keyring);

impl Envelope {
    /// Makes keys in `dir`.
    ///
    /// # Errors
    /// When the key files cannot be written.
    pub fn new(dir: &Path) -> Result<Self, StoreError> {
        Keyring::open(&Files::new(dir), None, Access::Create).map(Self)
    }

    /// Seals a value for a row of family `family` (an index, modulo their number).
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, family: u8, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.seal(of(family), key, plain)
    }

    /// Opens a value of a row.
    ///
    /// # Errors
    /// When it is not what was sealed for that row.
    pub fn open(&self, family: u8, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.open_value(of(family), key, sealed)
    }
}

fn of(family: u8) -> Family {
    Family::ALL.get(usize::from(family) % Family::ALL.len()).copied().unwrap_or(Family::Meta)
}

/// The heights that a mark file names: `None` where it is damaged, `Some(None)` before the first commit.
pub fn mark(bytes: &[u8]) -> Option<Option<u64>> {
    match Mark::parse(bytes) {
        Marked::Missing | Marked::Damaged => None,
        Marked::Known { head, .. } => Some(head.map(|head| head.height.0)),
    }
}

/// A mark file that names no commit, as a new store has it.
///
/// # Errors
/// When it cannot be written below `dir`.
pub fn new_mark(dir: &Path) -> Result<Vec<u8>, StoreError> {
    let path = dir.join("HEAD");
    Mark::create(&path, None)?;
    std::fs::read(&path).map_err(StoreError::io("read", &path))
}

/// How many data keys a key file holds, wrapped; `None` where it is damaged.
pub fn key_file(bytes: &[u8]) -> Option<usize> {
    parse_key_file(bytes)
}

/// What the values of a family decode to, written again; `None` where the bytes are no such value.
pub fn value(family: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Option<Vec<u8>> {
        encode(&borsh::from_slice::<T>(bytes).ok()?).ok()
    }
    match of(family) {
        Family::Objects | Family::Past => again::<Record>(bytes),
        Family::History => again::<Event>(bytes),
        Family::Blocks => again::<StoredBlock>(bytes),
        Family::Meta if bytes.len() == 24 => again::<Floor>(bytes),
        Family::Meta => again::<Head>(bytes),
        Family::Versions | Family::Indexes | Family::Leaves | Family::Outcomes => None,
    }
}

/// The key of a row of `versions` or of an index, read and written again; `None` where the bytes are no such key.
pub fn row_key(bytes: &[u8]) -> Option<Vec<u8>> {
    match bytes.first() {
        Some(&keyspace::DUE) => {
            let object = keyspace::read_due(bytes)?;
            let time = bytes.get(1..9)?.try_into().map(u64::from_be_bytes).ok()?;
            Some(keyspace::due(time, object))
        }
        Some(&keyspace::OWNER) => {
            let object = keyspace::read_owner(bytes)?;
            let uid = bytes.get(1..17)?.try_into().map(hypermesh_chain::Uid).ok()?;
            Some(keyspace::owner(uid, object))
        }
        _ => keyspace::read_version(bytes).map(|(object, revision)| keyspace::version(object, revision)),
    }
}
