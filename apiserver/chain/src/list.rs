//! The Merkle tree of an ordered list (RFC 6962 section 2.1, kept by RFC 9162) and proofs that an element is in it.
//!
//! The root that headers carry is the digest of the list's length and the RFC's tree head, so a proof cannot lie about
//! how long the list is or where in it the element stands: RFC 6962 signs the length beside the head for the same
//! reason. Elements are digests that are separated by kind before they come here.

use crate::{
    codec::{self, Canonical, RuleError},
    domain,
    ids::Hash,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// That an element stands at a place of a list of a certain length.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InclusionProof {
    /// The element's place, from 0.
    pub index: u64,
    /// The list's length.
    pub length: u64,
    /// Siblings from the element upwards, at most 64.
    #[borsh(deserialize_with = "codec::at_most::<_, _, 64>")]
    pub path: Vec<Hash>,
}

/// Why a proof of inclusion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The place lies beyond the list.
    #[error("element {index} of a list of {length}")]
    OutOfRange {
        /// The place.
        index: u64,
        /// The length.
        length: u64,
    },
    /// Too few or too many siblings for this place and length.
    #[error("the path has {found} steps where this place needs another number")]
    PathLength {
        /// Steps given.
        found: usize,
    },
    /// It leads to another root.
    #[error("the proof leads to root {found}, not to {expected}")]
    Root {
        /// The root asked for.
        expected: Hash,
        /// The root reached.
        found: Hash,
    },
}

fn leaf_node(element: &Hash) -> Hash {
    Hash::of(&[&[0], &element.0])
}

fn inner_node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

fn seal(length: u64, head: &Hash) -> Hash {
    domain::LIST.hash(&[&length.to_le_bytes(), &head.0])
}

/// RFC 6962's tree head over leaf nodes.
fn head(nodes: impl Iterator<Item = Hash>) -> Hash {
    // A binary counter of complete subtrees: the stack holds one for every bit of the number seen, largest first.
    let mut stack: Vec<Hash> = Vec::with_capacity(16);
    for (seen, mut node) in nodes.enumerate() {
        for _ in 0..seen.trailing_ones() {
            if let Some(left) = stack.pop() {
                node = inner_node(&left, &node);
            }
        }
        stack.push(node);
    }
    let joined = stack.into_iter().rev().reduce(|right, left| inner_node(&left, &right));
    joined.unwrap_or_else(|| Hash::of(&[]))
}

/// The root of a list of digests; the empty list has one too.
pub fn root(elements: &[Hash]) -> Hash {
    seal(elements.len() as u64, &head(elements.iter().map(leaf_node)))
}

/// The proof of the element at `index`; `None` beyond the end. Takes time linear in the list's length.
pub fn prove(elements: &[Hash], index: usize) -> Option<InclusionProof> {
    elements.get(index)?;
    let (mut rest, mut place) = (elements, index);
    let mut path = Vec::new();
    while rest.len() > 1 {
        let (left, right) = rest.split_at((rest.len().next_power_of_two()) / 2);
        let (next, sibling) = if place < left.len() { (left, right) } else { (right, left) };
        place -= if place < left.len() { 0 } else { left.len() };
        path.push(head(sibling.iter().map(leaf_node)));
        rest = next;
    }
    path.reverse();
    Some(InclusionProof { index: index as u64, length: elements.len() as u64, path })
}

impl InclusionProof {
    /// Verifies that `element` stands at the proof's place in the list whose root is `root` (RFC 9162 section 2.1.3.2).
    pub fn verify(&self, root: &Hash, element: &Hash) -> Result<(), InclusionError> {
        let Self { index, length, ref path } = *self;
        if index >= length {
            return Err(InclusionError::OutOfRange { index, length });
        }
        let wrong_length = InclusionError::PathLength { found: path.len() };
        let (mut place, mut last) = (index, length - 1);
        let mut node = leaf_node(element);
        for sibling in path {
            if last == 0 {
                return Err(wrong_length);
            }
            if place & 1 == 1 || place == last {
                node = inner_node(sibling, &node);
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                node = inner_node(&node, sibling);
            }
            place >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(wrong_length);
        }
        let found = seal(length, &node);
        if found == *root { Ok(()) } else { Err(InclusionError::Root { expected: *root, found }) }
    }
}

impl Canonical for InclusionProof {
    const WHAT: &'static str = "inclusion proof";
    const MAX_BYTES: usize = 20 + 64 * 32;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("path", self.path.len(), 64)?;
        RuleError::ensure(self.index < self.length, "index", "lies beyond the list")
    }
}

#[cfg(test)]
mod tests;
