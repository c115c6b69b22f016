//! Building a tree from sorted keys in linear time.
//!
//! The same right-edge stack as in hashing a run, on subtrees: neighbours' critical bits say which forks are complete.
//! A subtree stays a run of pending keys while it fits a page. Pending keys are always the last of `pending`: a run
//! becomes a page only together with everything to its right.

use super::{StateTree, bits::crit, node::Link, page::Page};
use crate::ids::Hash;

/// Keys that do not come in strictly ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {index} does not sort after the one before it")]
pub struct OrderError {
    /// Place of the key, from 0.
    pub index: usize,
}

enum Part {
    /// This many of the pending keys.
    Run(usize),
    Done(Link),
}

struct Builder<K> {
    pending: Vec<(K, Hash)>,
    open: Vec<(Part, u32)>,
    last: Part,
}

impl<K: AsRef<[u8]>> Builder<K> {
    fn push(&mut self, key: K, leaf: Hash, crit: u32) {
        let mut right = std::mem::replace(&mut self.last, Part::Run(1));
        while let Some((left, bit)) = self.open.pop_if(|(_, bit)| *bit > crit) {
            right = self.join(left, bit, right);
        }
        self.open.push((right, crit));
        self.pending.push((key, leaf));
    }

    fn join(&mut self, left: Part, bit: u32, right: Part) -> Part {
        match (left, right) {
            (Part::Run(a), Part::Run(b)) if a + b <= Page::MAX => Part::Run(a + b),
            (left, right) => {
                let right = self.link(right);
                let left = self.link(left);
                Part::Done(Link::fork(bit, left, right))
            }
        }
    }

    fn link(&mut self, part: Part) -> Link {
        match part {
            Part::Done(link) => link,
            Part::Run(length) => {
                let at = self.pending.len().saturating_sub(length);
                let page = Page::of(self.pending.get(at..).unwrap_or_default());
                self.pending.truncate(at);
                Link::page(page)
            }
        }
    }

    fn finish(mut self) -> Link {
        let mut right = std::mem::replace(&mut self.last, Part::Run(0));
        while let Some((left, bit)) = self.open.pop() {
            right = self.join(left, bit, right);
        }
        self.link(right)
    }
}

impl StateTree {
    /// The tree of `entries`, whose keys ascend strictly: what inserting them one by one gives, in linear time.
    pub fn from_sorted<K: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = (K, Hash)>,
    ) -> Result<Self, OrderError> {
        let mut entries = entries.into_iter();
        let Some(first) = entries.next() else { return Ok(Self::new()) };
        let mut builder = Builder { pending: vec![first], open: Vec::new(), last: Part::Run(1) };
        let mut len = 1;
        for (key, leaf) in entries {
            let crit = match builder.pending.last() {
                Some((before, _)) if before.as_ref() < key.as_ref() => crit(before.as_ref(), key.as_ref()),
                _ => None,
            };
            builder.push(key, leaf, crit.ok_or(OrderError { index: len })?);
            len += 1;
        }
        Ok(Self { root: builder.finish(), len })
    }
}
