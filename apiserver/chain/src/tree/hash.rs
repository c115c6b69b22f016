//! The hashes of the tree, and the root of a run of sorted keys.

use crate::{domain, ids::Hash};
use sha2::{Digest, Sha256};

/// The root of the tree without keys.
pub(super) fn empty() -> Hash {
    domain::TREE_EMPTY.hash(&[])
}

/// A leaf: H(domain ‖ length of key as u32 ‖ key ‖ object leaf). The key comes in two parts.
pub(super) fn leaf(start: &[u8], rest: &[u8], object: &Hash) -> Hash {
    let length = (start.len() + rest.len()) as u32;
    domain::TREE_LEAF.hash(&[&length.to_le_bytes(), start, rest, &object.0])
}

/// A fork: H(domain ‖ critical bit as u32 ‖ left ‖ right).
pub(super) fn fork(bit: u32, left: &Hash, right: &Hash) -> Hash {
    let mut input = [0; 84];
    input[..16].copy_from_slice(domain::TREE_FORK.tag());
    input[16..20].copy_from_slice(&bit.to_le_bytes());
    input[20..52].copy_from_slice(&left.0);
    input[52..].copy_from_slice(&right.0);
    Hash(Sha256::digest(input).into())
}

/// Folds leaves that come in the order of their keys into the root of their tree.
///
/// The shape is a Cartesian tree over the critical bits between neighbours: the least bit of a run is its fork. The
/// stack holds the right edge, forks whose right side is not complete, with bits that grow upwards.
#[derive(Default)]
pub(super) struct Fold {
    open: Vec<(Hash, u32)>,
    last: Option<Hash>,
}

impl Fold {
    /// Adds a leaf's hash. `crit` is the first bit in which its key differs from the one before, which the first
    /// leaf has not.
    pub(super) fn push(&mut self, node: Hash, crit: Option<u32>) {
        if let (Some(mut right), Some(crit)) = (self.last.take(), crit) {
            while let Some((left, bit)) = self.open.pop_if(|(_, bit)| *bit > crit) {
                right = fork(bit, &left, &right);
            }
            self.open.push((right, crit));
        }
        self.last = Some(node);
    }

    /// The root; the empty tree's if there were no leaves.
    pub(super) fn finish(self) -> Hash {
        let Some(last) = self.last else { return empty() };
        self.open.into_iter().rev().fold(last, |right, (left, bit)| fork(bit, &left, &right))
    }
}
