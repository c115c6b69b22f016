//! Making proofs. Within a page the forks exist only as critical bits between neighbours, and are found as the search
//! goes down.

use super::{
    StateTree,
    bits::{bit, end},
    node::Link,
    page::{Entry, Page},
    proof::{End, Leaf, Proof, RangeProof, Step},
};
use crate::ids::Hash;

/// A search from the root down.
struct Search<'a> {
    steps: Vec<Step>,
    /// Where it stands: a subtree, or a run of a page's entries.
    at: At<'a>,
}

enum At<'a> {
    Link(&'a Link),
    Run(&'a Page, Vec<Entry<'a>>),
}

impl<'a> Search<'a> {
    /// Follows `key`'s bits through all forks whose bit is below `limit`.
    fn run(root: &'a Link, key: &[u8], limit: u32) -> Self {
        let mut search = Self { steps: Vec::new(), at: At::Link(root) };
        loop {
            search.at = match search.at {
                At::Link(Link::Fork(fork)) if fork.bit < limit => {
                    let side = bit(key, fork.bit);
                    search.steps.push(Step { bit: fork.bit, sibling: fork.child(!side).hash() });
                    At::Link(fork.child(side))
                }
                At::Link(Link::Page(page)) => At::Run(page, page.entries().collect()),
                At::Run(page, entries) => match page.fork(&entries) {
                    Some((middle, fork)) if fork < limit => {
                        let (left, right) = entries.split_at(middle);
                        let (taken, other) = if bit(key, fork) { (right, left) } else { (left, right) };
                        search.steps.push(Step { bit: fork, sibling: page.fold(other) });
                        At::Run(page, taken.to_vec())
                    }
                    _ => return Self { at: At::Run(page, entries), ..search },
                },
                at @ At::Link(_) => return Self { at, ..search },
            };
        }
    }

    /// The first leaf of where the search stands.
    fn leaf(&self) -> Option<Leaf> {
        let mut link = match &self.at {
            At::Run(page, entries) => {
                return entries.first().map(|entry| Leaf { key: page.key(entry), leaf: entry.leaf });
            }
            At::Link(link) => *link,
        };
        while let Link::Fork(fork) = link {
            link = &fork.left;
        }
        let Link::Page(page) = link else { return None };
        page.entries().next().map(|entry| Leaf { key: page.key(&entry), leaf: entry.leaf })
    }
}

impl StateTree {
    /// The proof of `key`'s leaf if it is present, of its absence if not.
    pub fn prove(&self, key: &[u8]) -> Proof {
        let search = Search::run(&self.root, key, u32::MAX);
        let end = match search.leaf() {
            None => End::Empty,
            Some(leaf) if leaf.key == key => End::Found,
            Some(leaf) => End::Other(leaf),
        };
        Proof { steps: search.steps, end }
    }

    /// The proof that what [`StateTree::iter`] gives for `prefix` is all there is under it.
    pub fn prove_range(&self, prefix: &[u8]) -> RangeProof {
        let search = Search::run(&self.root, prefix, end(prefix.len()));
        // All keys of the subtree agree on the prefix's bits: one tells for all.
        match search.leaf() {
            None => RangeProof { steps: Vec::new(), outside: None },
            Some(leaf) if leaf.key.starts_with(prefix) => RangeProof { steps: search.steps, outside: None },
            Some(_) => {
                let search = Search::run(&self.root, prefix, u32::MAX);
                let outside = search.leaf();
                RangeProof { steps: search.steps, outside }
            }
        }
    }
}

/// The leaves under a prefix, in order. Made by [`StateTree::iter`].
pub struct Leaves<'a> {
    prefix: Vec<u8>,
    links: Vec<&'a Link>,
    page: std::vec::IntoIter<(Vec<u8>, Hash)>,
}

impl StateTree {
    /// The keys that start with `prefix` and their leaves, in order.
    pub fn iter(&self, prefix: &[u8]) -> Leaves<'_> {
        let mut link = &self.root;
        while let Link::Fork(fork) = link {
            if fork.bit >= end(prefix.len()) {
                break;
            }
            link = fork.child(bit(prefix, fork.bit));
        }
        Leaves { prefix: prefix.to_vec(), links: vec![link], page: Vec::new().into_iter() }
    }
}

impl Iterator for Leaves<'_> {
    type Item = (Vec<u8>, Hash);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(leaf) = self.page.next() {
                return Some(leaf);
            }
            match self.links.pop()? {
                Link::Empty => {}
                Link::Fork(fork) => self.links.extend([&fork.right, &fork.left]),
                Link::Page(page) => {
                    let leaves = page.entries().map(|entry| (page.key(&entry), entry.leaf));
                    let under = leaves.filter(|(key, _)| key.starts_with(&self.prefix));
                    self.page = under.collect::<Vec<_>>().into_iter();
                }
            }
        }
    }
}
