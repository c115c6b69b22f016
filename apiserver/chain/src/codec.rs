//! The one byte form of everything that is hashed, signed, stored or sent: borsh's, bounded.
//!
//! Borsh gives every value exactly one encoding and refuses trailing bytes, so equal values have equal digests and a
//! decoded value re-encodes to the bytes it came from. What borsh does not know are limits: [`Canonical::decode`]
//! refuses input above a size before it is read, lists above their limit before memory is taken for them, and values that
//! break their type's other rules after reading. Memory while decoding is a small multiple of the input's length, whatever
//! lengths the input claims.

use borsh::{BorshDeserialize, BorshSerialize};
use std::io::{self, Read};

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any valid value has.
    #[error("{what}: {length} bytes, more than the limit of {limit}")]
    TooLong {
        /// The type that was expected.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not the byte form of the type.
    #[error("{what}: malformed encoding")]
    Malformed {
        /// The type that was expected.
        what: &'static str,
        /// What borsh found.
        source: io::Error,
    },
    /// Well-formed, but against the type's rules.
    #[error("{what}: not a valid value")]
    Invalid {
        /// The type that was expected.
        what: &'static str,
        /// The rule.
        source: RuleError,
    },
}

/// A rule of a type that a value breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A part is longer than it may be.
    #[error("{part}: length {length}, the limit is {limit}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length, in bytes or elements.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A part that must not be empty is.
    #[error("{part}: empty")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// A set is not in strictly ascending order, or holds an element twice.
    #[error("{part}: not in strictly ascending order")]
    Unordered {
        /// Which part.
        part: &'static str,
    },
    /// Something else.
    #[error("{part}: {rule}")]
    Broken {
        /// Which part.
        part: &'static str,
        /// What must hold.
        rule: &'static str,
    },
}

impl RuleError {
    /// Refuses a length above `limit`.
    pub(crate) fn limit(part: &'static str, length: usize, limit: usize) -> Result<(), Self> {
        if length > limit { Err(Self::TooLong { part, length, limit }) } else { Ok(()) }
    }

    /// Refuses keys that are not strictly ascending.
    pub(crate) fn ascending<T: Ord>(part: &'static str, keys: impl Iterator<Item = T>) -> Result<(), Self> {
        if keys.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(Self::Unordered { part }) }
    }

    /// Refuses when `holds` is false.
    pub(crate) fn ensure(holds: bool, part: &'static str, rule: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Broken { part, rule }) }
    }
}

/// A type with one bounded byte form.
pub trait Canonical: BorshSerialize + BorshDeserialize + Sized {
    /// The type's name in errors.
    const WHAT: &'static str;
    /// The longest encoding that is read, in bytes.
    const MAX_BYTES: usize;

    /// Whether the value keeps the type's rules (limits, order); checked by [`Canonical::decode`].
    fn check(&self) -> Result<(), RuleError>;

    /// The byte form.
    fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads the byte form: all of `bytes`, within the limits.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = Self::WHAT;
        if bytes.len() > Self::MAX_BYTES {
            return Err(DecodeError::TooLong { what, length: bytes.len(), limit: Self::MAX_BYTES });
        }
        let value: Self =
            borsh::from_slice(bytes).map_err(|source| DecodeError::Malformed { what, source })?;
        value.check().map_err(|source| DecodeError::Invalid { what, source })?;
        Ok(value)
    }
}

/// Borsh into memory.
#[expect(
    clippy::expect_used,
    reason = "writing to a Vec fails only for a collection of more than 2^32 elements"
)]
pub(crate) fn to_bytes<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("a collection longer than its u32 length")
}

/// Reads a list of at most `MAX` elements; a longer one is refused at its length. For `borsh(deserialize_with)`.
pub(crate) fn at_most<R, T, const MAX: usize>(reader: &mut R) -> io::Result<Vec<T>>
where
    R: Read,
    T: BorshDeserialize,
{
    let length = u32::deserialize_reader(reader)? as usize;
    if length > MAX {
        let message = format!("a list of {length} elements, the limit is {MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    // No capacity on the input's word: it may hold none of the elements it announces.
    let mut list = Vec::new();
    for _ in 0..length {
        list.push(T::deserialize_reader(reader)?);
    }
    Ok(list)
}

/// Reads a text of at most `MAX` bytes; a longer one is refused at its length.
pub(crate) fn text<R: Read, const MAX: usize>(reader: &mut R) -> io::Result<String> {
    let length = u32::deserialize_reader(reader)?;
    if length as usize > MAX {
        let message = format!("a text of {length} bytes, the limit is {MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = Vec::new();
    reader.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() != length as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "Unexpected length of input"));
    }
    String::from_utf8(bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string()))
}

#[cfg(test)]
mod tests;
