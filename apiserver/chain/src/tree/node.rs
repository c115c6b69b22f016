//! Links and forks: the part of the tree above the pages.
//!
//! Nodes are shared between clones of the tree and changed in place where they are not. Paths may be thousands of
//! forks deep if keys are chosen for it, so nothing here recurses, dropping included.

use super::{hash, page::Page};
use crate::ids::Hash;
use std::sync::{Arc, OnceLock};

/// A subtree.
#[derive(Clone, Default)]
pub(super) enum Link {
    /// No keys: the root of the empty tree, and nothing else.
    #[default]
    Empty,
    Page(Arc<Page>),
    Fork(Arc<Fork>),
}

/// Two subtrees whose keys agree up to `bit`; `right`'s have a 1 there.
#[derive(Clone)]
pub(super) struct Fork {
    hash: OnceLock<Hash>,
    pub bit: u32,
    pub left: Link,
    pub right: Link,
}

impl Fork {
    pub(super) fn new(bit: u32, left: Link, right: Link) -> Self {
        Self { hash: OnceLock::new(), bit, left, right }
    }

    pub(super) fn child(&self, side: bool) -> &Link {
        if side { &self.right } else { &self.left }
    }

    /// The child on `side`, to be changed: the hash is forgotten.
    pub(super) fn child_mut(&mut self, side: bool) -> &mut Link {
        self.hash.take();
        if side { &mut self.right } else { &mut self.left }
    }
}

impl Link {
    pub(super) fn page(page: Page) -> Self {
        Self::Page(Arc::new(page))
    }

    pub(super) fn fork(bit: u32, left: Self, right: Self) -> Self {
        Self::Fork(Arc::new(Fork::new(bit, left, right)))
    }

    /// The subtree's hash. Every dirty node below is hashed once.
    pub(super) fn hash(&self) -> Hash {
        let top = match self.known() {
            Ok(hash) => return hash,
            Err(fork) => fork,
        };
        let mut stack = vec![top];
        let mut result = hash::empty();
        while let Some(fork) = stack.last() {
            match (fork.left.known(), fork.right.known()) {
                (Ok(left), Ok(right)) => {
                    result = *fork.hash.get_or_init(|| hash::fork(fork.bit, &left, &right));
                    stack.pop();
                }
                (Err(child), _) | (_, Err(child)) => stack.push(child),
            }
        }
        result
    }

    /// The hash if it takes no descent, else the fork that must be hashed first.
    fn known(&self) -> Result<Hash, &Fork> {
        match self {
            Self::Empty => Ok(hash::empty()),
            Self::Page(page) => Ok(page.hash()),
            Self::Fork(fork) => fork.hash.get().copied().ok_or(fork),
        }
    }

    /// Takes the fork out if nobody else holds it.
    fn into_fork(self) -> Option<Fork> {
        match self {
            Self::Fork(fork) => Arc::into_inner(fork),
            Self::Empty | Self::Page(_) => None,
        }
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        let mut stack = Vec::new();
        let bury = |fork: &mut Self, stack: &mut Vec<Self>| {
            stack.extend(std::mem::take(&mut fork.left).into_fork());
            stack.extend(std::mem::take(&mut fork.right).into_fork());
        };
        bury(self, &mut stack);
        while let Some(mut fork) = stack.pop() {
            bury(&mut fork, &mut stack);
        }
    }
}
