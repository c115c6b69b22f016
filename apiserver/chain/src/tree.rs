//! The authenticated state: a binary Patricia ("crit-bit") Merkle tree in memory, and proofs over its root.
//!
//! # Shape
//! Keys are strings of bits, none the beginning of another (module `bits`). The tree of a set of keys is: nothing, if
//! the set is empty; a leaf, if it has one key; else a fork at the first bit in which any two of the keys differ, over
//! the tree of the keys with a 0 there (left) and of those with a 1 (right). So the shape, and with it the root,
//! follows from the set of (key, leaf) alone and not from how it came about. Bits grow strictly from the root down,
//! and all keys below a fork agree in the bits before its own.
//!
//! Hashes (module `hash`) separate the empty tree, leaves and forks; a leaf's covers its key, a fork's its bit.
//!
//! # Why proofs hold
//! The verifier trusts that the root was computed honestly from *some* set of keys (a quorum certified it) and that
//! SHA-256 has no collisions. Then every fork and leaf that hashes up to the root is a fork or leaf of that one tree,
//! at that place: a fork's hash fixes its bit and both sides, a leaf's its key.
//! - *Presence.* The steps and the leaf hash up to the root, so the leaf is in the tree.
//! - *Absence.* At each step the verifier takes the side that the searched key's own bit says. So the steps are the
//!   search for that key, and they end at a leaf. Were the key in the tree, it would be on the side its bit says at
//!   every fork, and the search would end at it. It ends at another key: the key is absent.
//! - *A range is complete.* All keys that start with prefix `p` have `p`'s bits at every fork whose bit lies within
//!   `p`, so they are all in the subtree to which those forks lead. The verifier accepts no step whose bit lies beyond
//!   `p`, and computes the subtree's hash from the entries alone: they are all of its leaves, none left out.
//! - *A range is empty.* The search for `p` (with zeros beyond its end) ends at a leaf without the prefix. Follow it
//!   only through forks within `p`, to a subtree whose keys agree in all of `p`'s bits. If one key started with `p`,
//!   it would be in there, all of them would start with `p`, and so would the leaf.
//!
//! # Form in memory
//! Up to eight neighbouring leaves are one page (module `page`). Nodes are shared between clones: a clone is O(1) and
//! keeps an old root provable; a change copies the nodes on its path that are shared and changes the others in
//! place. Hashes are computed when a root or proof asks for them, once for each node that changed since. Depth is
//! bounded by the bits of a key, thousands if an adversary chooses them, and nothing recurses.

mod bits;
mod build;
mod hash;
mod node;
mod page;
mod proof;
mod prove;

pub use build::OrderError;
pub use proof::{End, Leaf, Proof, ProofError, RangeProof, Step};
pub use prove::Leaves;

use crate::ids::Hash;
use bits::bit;
use node::Link;
use page::{Page, Place};
use std::{fmt, sync::Arc};

/// The longest key of which proofs are decoded, in bytes. The tree takes longer ones; names in Kubernetes' limits
/// make keys of at most 640.
pub const MAX_KEY: usize = 1024;

/// A set of (key, object leaf) with a root hash. See the module.
#[derive(Clone, Default)]
pub struct StateTree {
    root: Link,
    len: usize,
}

impl StateTree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The root hash. Costs one hash for every node that changed since it was last asked for.
    pub fn root(&self) -> Hash {
        self.root.hash()
    }

    /// The object leaf of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Hash> {
        match self.search(key).0?.find(key) {
            Place::At(_, leaf) => Some(leaf),
            Place::Absent { .. } => None,
        }
    }

    /// Puts `key` with this object leaf, and returns the one it had.
    pub fn insert(&mut self, key: &[u8], leaf: Hash) -> Option<Hash> {
        let (page, depth) = self.search(key);
        let Some(page) = page else {
            self.root = Link::page(Page::single(key, leaf));
            self.len = 1;
            return None;
        };
        match page.find(key) {
            Place::At(_, old) if old == leaf => Some(old),
            Place::At(index, old) => {
                if let Link::Page(page) = self.open(key, depth) {
                    Arc::make_mut(page).set(index, leaf);
                }
                Some(old)
            }
            Place::Absent { index, crit } => {
                let depth = self.depth_above(key, crit);
                place(self.open(key, depth), key, leaf, index, crit);
                self.len += 1;
                None
            }
        }
    }

    /// Takes `key` away, and returns its object leaf.
    pub fn remove(&mut self, key: &[u8]) -> Option<Hash> {
        let (page, depth) = self.search(key);
        let Place::At(index, leaf) = page?.find(key) else { return None };
        self.len -= 1;
        match depth.checked_sub(1) {
            Some(parent) => take(self.open(key, parent), key, index),
            None => self.root = shrunk(&self.root, index),
        }
        Some(leaf)
    }

    /// The page in which `key` is or would be, and how many forks are above it.
    fn search(&self, key: &[u8]) -> (Option<&Page>, usize) {
        let (mut link, mut depth) = (&self.root, 0);
        while let Link::Fork(fork) = link {
            link = fork.child(bit(key, fork.bit));
            depth += 1;
        }
        match link {
            Link::Page(page) => (Some(page), depth),
            Link::Empty | Link::Fork(_) => (None, depth),
        }
    }

    /// How many forks on the way to `key` have a bit before `crit`.
    fn depth_above(&self, key: &[u8], crit: u32) -> usize {
        let (mut link, mut depth) = (&self.root, 0);
        while let Link::Fork(fork) = link {
            if fork.bit > crit {
                break;
            }
            link = fork.child(bit(key, fork.bit));
            depth += 1;
        }
        depth
    }

    /// The link under `depth` forks on the way to `key`, to be changed: forks above it are unshared and forget their
    /// hashes.
    fn open(&mut self, key: &[u8], depth: usize) -> &mut Link {
        let mut link = &mut self.root;
        for _ in 0..depth {
            match link {
                Link::Fork(fork) => {
                    let fork = Arc::make_mut(fork);
                    link = fork.child_mut(bit(key, fork.bit));
                }
                other => return other,
            }
        }
        link
    }
}

/// Puts a new key at `link`, the first on its way whose keys all differ from it by bit `crit` or before.
fn place(link: &mut Link, key: &[u8], leaf: Hash, index: usize, crit: u32) {
    match link {
        Link::Page(page) => {
            let grown = page.with(index, key, leaf);
            if grown.len() > Page::MAX {
                *link = split(&grown);
            } else if let Some(page) = Arc::get_mut(page) {
                *page = grown;
            } else {
                *page = Arc::new(grown);
            }
        }
        other => {
            let old = std::mem::take(other);
            let new = Link::page(Page::single(key, leaf));
            let (left, right) = if bit(key, crit) { (old, new) } else { (new, old) };
            *other = Link::fork(crit, left, right);
        }
    }
}

/// The fork of two pages that a page too large becomes.
fn split(page: &Page) -> Link {
    let entries: Vec<_> = page.entries().collect();
    let Some((middle, bit)) = page.fork(&entries) else { return Link::page(page.clone()) };
    let (left, right) = entries.split_at(middle);
    Link::fork(bit, Link::page(page.part(left)), Link::page(page.part(right)))
}

/// Takes the key at `index` out of the page that is `link`'s child on `key`'s side.
fn take(link: &mut Link, key: &[u8], index: usize) {
    let Link::Fork(fork) = link else { return };
    let fork = Arc::make_mut(fork);
    let side = bit(key, fork.bit);
    let child = fork.child_mut(side);
    *child = shrunk(child, index);
    let joined = match (&fork.left, &fork.right) {
        (Link::Empty, other) | (other, Link::Empty) => other.clone(),
        // Joined at half of what splits, so that a key that comes and goes does not do both each time.
        (Link::Page(left), Link::Page(right)) if left.len() + right.len() <= Page::MAX / 2 => {
            Link::page(left.joined(right))
        }
        _ => return,
    };
    *link = joined;
}

/// The page without the key at `index`; empty if it has no other.
fn shrunk(link: &Link, index: usize) -> Link {
    match link {
        Link::Page(page) if page.len() > 1 => Link::page(page.without(index)),
        _ => Link::Empty,
    }
}

impl fmt::Debug for StateTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTree({} keys)", self.len)
    }
}

#[cfg(test)]
mod tests;
