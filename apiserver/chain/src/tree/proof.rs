//! Proofs over a state root, and their verification by who holds nothing else. The parent module says why they hold.

use super::{
    bits::{BITS, bit, crit, end},
    hash::{self, Fold},
};
use crate::{
    codec::{self, Canonical, RuleError},
    ids::Hash,
    tree::MAX_KEY,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// A fork on the way from the root: its critical bit, and the hash of the side not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Step {
    /// The critical bit.
    pub bit: u32,
    /// The other side.
    pub sibling: Hash,
}

/// A key and its object leaf.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leaf {
    /// The key.
    pub key: Vec<u8>,
    /// The object's leaf.
    pub leaf: Hash,
}

/// Where the search for a key ends.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum End {
    /// At once: the tree is empty.
    Empty,
    /// At the key.
    Found,
    /// At another key: the one searched for is absent.
    Other(Leaf),
}

/// That a key is in the tree with a certain leaf, or that it is not.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    /// The forks of the search, from the root.
    #[borsh(deserialize_with = "codec::at_most::<_, _, MAX_STEPS>")]
    pub steps: Vec<Step>,
    /// Where it ends.
    pub end: End,
}

/// That certain keys and leaves are all that the tree has under a prefix.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RangeProof {
    /// The forks from the root to the range's subtree; of an empty range, all forks of the search for the prefix.
    #[borsh(deserialize_with = "codec::at_most::<_, _, MAX_STEPS>")]
    pub steps: Vec<Step>,
    /// Of an empty range: the leaf where the search for the prefix ends. None if the tree is empty too.
    pub outside: Option<Leaf>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A fork lies within the range, whose entries would be only a part of it.
    #[error("step {step}: its bit {bit} is inside the range")]
    Inside {
        /// Place of the step, from the root.
        step: usize,
        /// Its bit.
        bit: u32,
    },
    /// Presence was to be shown and the proof ends elsewhere, or absence and it ends at the key.
    #[error("the proof is of presence where absence is claimed, or the reverse")]
    Claim,
    /// An entry is not under the prefix, or not after the one before it.
    #[error("entry {entry} is out of place")]
    Entry {
        /// Place of the entry.
        entry: usize,
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

/// From a subtree up to the root, on the sides that `key`'s bits say.
fn climb(subtree: Hash, steps: &[Step], key: &[u8], root: &Hash) -> Result<(), ProofError> {
    let join = |node: Hash, step: &Step| match bit(key, step.bit) {
        false => hash::fork(step.bit, &node, &step.sibling),
        true => hash::fork(step.bit, &step.sibling, &node),
    };
    let found = steps.iter().rfold(subtree, join);
    if found == *root { Ok(()) } else { Err(ProofError::Root { expected: *root, found }) }
}

impl Proof {
    /// Verifies that in the tree with this `root`, `key` has this object leaf; with `None`, that it is absent.
    pub fn verify(&self, root: &Hash, key: &[u8], leaf: Option<&Hash>) -> Result<(), ProofError> {
        let node = match (&self.end, leaf) {
            (End::Found, Some(leaf)) => hash::leaf(key, &[], leaf),
            (End::Empty, None) if self.steps.is_empty() => hash::empty(),
            (End::Other(other), None) if other.key != key => hash::leaf(&other.key, &[], &other.leaf),
            _ => return Err(ProofError::Claim),
        };
        climb(node, &self.steps, key, root)
    }
}

impl RangeProof {
    /// Verifies that in the tree with this `root`, `entries` are all keys that start with `prefix`, in order.
    pub fn verify<K: AsRef<[u8]>>(
        &self,
        root: &Hash,
        prefix: &[u8],
        entries: &[(K, Hash)],
    ) -> Result<(), ProofError> {
        match &self.outside {
            None if entries.is_empty() && self.steps.is_empty() => climb(hash::empty(), &[], prefix, root),
            Some(other) if entries.is_empty() => {
                if other.key.starts_with(prefix) {
                    return Err(ProofError::Claim);
                }
                climb(hash::leaf(&other.key, &[], &other.leaf), &self.steps, prefix, root)
            }
            None if !entries.is_empty() => {
                let inside = self.steps.iter().enumerate().find(|(_, step)| step.bit >= end(prefix.len()));
                if let Some((step, Step { bit, .. })) = inside {
                    return Err(ProofError::Inside { step, bit: *bit });
                }
                climb(fold(prefix, entries)?, &self.steps, prefix, root)
            }
            _ => Err(ProofError::Claim),
        }
    }
}

/// The hash of the subtree that `entries` make; they must be in order and under `prefix`.
fn fold<K: AsRef<[u8]>>(prefix: &[u8], entries: &[(K, Hash)]) -> Result<Hash, ProofError> {
    let mut fold = Fold::default();
    let mut before: Option<&[u8]> = None;
    for (entry, (key, leaf)) in entries.iter().enumerate() {
        let key = key.as_ref();
        if !key.starts_with(prefix) || before.is_some_and(|before| before >= key) {
            return Err(ProofError::Entry { entry });
        }
        fold.push(hash::leaf(key, &[], leaf), before.and_then(|before| crit(before, key)));
        before = Some(key);
    }
    Ok(fold.finish())
}

/// The longest search: one fork for every bit of the longest key, and one for its end.
const MAX_STEPS: usize = MAX_KEY * BITS as usize + 1;

impl Canonical for Proof {
    const WHAT: &'static str = "proof";
    const MAX_BYTES: usize = 64 + MAX_KEY + MAX_STEPS * 36;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("steps", self.steps.len(), MAX_STEPS)?;
        match &self.end {
            End::Other(other) => RuleError::limit("key", other.key.len(), MAX_KEY),
            End::Empty | End::Found => Ok(()),
        }
    }
}

impl Canonical for RangeProof {
    const WHAT: &'static str = "range proof";
    const MAX_BYTES: usize = Proof::MAX_BYTES;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("steps", self.steps.len(), MAX_STEPS)?;
        RuleError::limit("key", self.outside.as_ref().map_or(0, |other| other.key.len()), MAX_KEY)
    }
}
