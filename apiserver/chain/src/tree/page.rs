//! A page: a small subtree kept as a sorted run of keys.
//!
//! How keys are grouped in pages is invisible from outside: the hash of a page is that of the subtree its keys make.
//! One page replaces up to [`Page::MAX`] leaves and their forks, with the beginning that all its keys share stored
//! once and one allocation for all of them; what it costs is hashing the whole of it when one key changes.
//!
//! Invariants: at least one key; keys strictly ascending; `data` is the common beginning, then for every key its
//! object leaf (32 bytes), the length of its rest (u32) and the rest.

use super::{
    bits::{bit, common, crit, end},
    hash::{self, Fold},
};
use crate::ids::Hash;
use std::sync::OnceLock;

#[derive(Clone)]
pub(super) struct Page {
    hash: OnceLock<Hash>,
    /// Length of the common beginning.
    shared: u32,
    count: u32,
    data: Box<[u8]>,
}

/// One key of a page: what follows the common beginning, and the object's leaf.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub rest: &'a [u8],
    pub leaf: Hash,
}

/// Bytes an entry takes beside its rest.
const ENTRY: usize = 36;

/// Where a key is in a page.
pub(super) enum Place {
    /// It is the key at this index, and this is its object leaf.
    At(usize, Hash),
    /// It would be the key at `index`. `crit` is the first bit in which it differs from one of the page's keys: if that
    /// lies above the page's own forks it is the same for all of them.
    Absent { index: usize, crit: u32 },
}

impl Page {
    /// The most keys of a page. At 500,000 keys of 50 bytes, pages of 4, 8 and 16 took 133, 92 and 70 bytes a key, and
    /// a write with its share of the root 8, 8 and 10 µs.
    pub(super) const MAX: usize = 8;

    /// A page of `entries`: at least one, keys strictly ascending.
    pub(super) fn of<K: AsRef<[u8]>>(entries: &[(K, Hash)]) -> Self {
        let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else {
            return Self { hash: OnceLock::new(), shared: 0, count: 0, data: Box::default() };
        };
        let shared = common(first.as_ref(), last.as_ref());
        let rest = |key: &'_ K| key.as_ref().len() - shared;
        let size = shared + entries.iter().map(|(key, _)| ENTRY + rest(key)).sum::<usize>();
        let mut writer = Writer::new(&first.as_ref()[..shared], size);
        for (key, leaf) in entries {
            writer.push(leaf, &key.as_ref()[shared..], &[]);
        }
        writer.finish()
    }

    /// A page of one key.
    pub(super) fn single(key: &[u8], leaf: Hash) -> Self {
        Self::of(&[(key, leaf)])
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// What all keys begin with.
    pub(super) fn shared(&self) -> &[u8] {
        self.data.get(..self.shared as usize).unwrap_or_default()
    }

    /// The entries in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut data = self.data.get(self.shared as usize..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (leaf, after) = data.split_first_chunk::<32>()?;
            let (length, after) = after.split_first_chunk::<4>()?;
            let (rest, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            data = after;
            Some(Entry { rest, leaf: Hash(*leaf) })
        })
    }

    /// The key at `index`, whole.
    pub(super) fn key(&self, entry: &Entry<'_>) -> Vec<u8> {
        [self.shared(), entry.rest].concat()
    }

    /// The hash of the subtree that the keys make.
    pub(super) fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| {
            let entries: Vec<_> = self.entries().collect();
            self.fold(&entries)
        })
    }

    /// The hash of the subtree of a run of the page's entries.
    pub(super) fn fold(&self, entries: &[Entry<'_>]) -> Hash {
        let mut fold = Fold::default();
        let mut before = None;
        for entry in entries {
            let crit = before.and_then(|before| self.crit(before, entry));
            fold.push(hash::leaf(self.shared(), entry.rest, &entry.leaf), crit);
            before = Some(entry);
        }
        fold.finish()
    }

    fn crit(&self, a: &Entry<'_>, b: &Entry<'_>) -> Option<u32> {
        crit(a.rest, b.rest).map(|bit| bit + end(self.shared as usize))
    }

    /// Where the run `entries` forks: the index of the first key of the right side, and the critical bit. `None` for a
    /// run of one.
    pub(super) fn fork(&self, entries: &[Entry<'_>]) -> Option<(usize, u32)> {
        let pairs = entries.windows(2).enumerate();
        let crits = pairs.filter_map(|(i, pair)| match pair {
            [a, b] => self.crit(a, b).map(|bit| (i + 1, bit)),
            _ => None,
        });
        crits.min_by_key(|(_, bit)| *bit)
    }

    /// Finds `key`.
    pub(super) fn find(&self, key: &[u8]) -> Place {
        let Some(rest) = key.strip_prefix(self.shared()) else {
            let index = if key < self.shared() { 0 } else { self.len() };
            return Place::Absent { index, crit: crit(key, self.shared()).unwrap_or(0) };
        };
        let (mut index, mut first) = (0, 0);
        for (i, entry) in self.entries().enumerate() {
            let Some(bit_at) = crit(rest, entry.rest) else { return Place::At(i, entry.leaf) };
            first = bit_at;
            // The key's bit there tells which of the two is greater.
            index += usize::from(bit(rest, bit_at));
        }
        Place::Absent { index, crit: first + end(self.shared as usize) }
    }

    /// Replaces the object leaf of the key at `index`.
    pub(super) fn set(&mut self, index: usize, leaf: Hash) {
        let before: usize = self.entries().take(index).map(|entry| ENTRY + entry.rest.len()).sum();
        let at = self.shared as usize + before;
        if let Some(place) = self.data.get_mut(at..at + 32) {
            place.copy_from_slice(&leaf.0);
            self.hash.take();
        }
    }

    /// The page with one more key, which [`Page::find`] said would be the key at `index`.
    pub(super) fn with(&self, index: usize, key: &[u8], leaf: Hash) -> Self {
        let shared = common(self.shared(), key);
        let (beginning, moved) = self.shared().split_at(shared);
        let rest = &key[shared..];
        let size = self.data.len() + self.len() * moved.len() + ENTRY + rest.len();
        let mut writer = Writer::new(beginning, size);
        for (i, entry) in self.entries().enumerate() {
            if i == index {
                writer.push(&leaf, rest, &[]);
            }
            writer.push(&entry.leaf, moved, entry.rest);
        }
        if index == self.len() {
            writer.push(&leaf, rest, &[]);
        }
        writer.finish()
    }

    /// The page of a run of this page's entries, at least one.
    pub(super) fn part(&self, entries: &[Entry<'_>]) -> Self {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return self.clone() };
        let more = common(first.rest, last.rest);
        let beginning = [self.shared(), &first.rest[..more]].concat();
        let size = beginning.len() + entries.iter().map(|e| ENTRY + e.rest.len() - more).sum::<usize>();
        let mut writer = Writer::new(&beginning, size);
        for entry in entries {
            writer.push(&entry.leaf, &entry.rest[more..], &[]);
        }
        writer.finish()
    }

    /// The page without the key at `index`; there is another.
    pub(super) fn without(&self, index: usize) -> Self {
        let kept = self.entries().enumerate().filter(|(i, _)| *i != index).map(|(_, entry)| entry);
        self.part(&kept.collect::<Vec<_>>())
    }

    /// The page of this page's keys and those of `right`, which all sort after them.
    pub(super) fn joined(&self, right: &Self) -> Self {
        let both = [self, right];
        let entries = both.iter().flat_map(|page| page.entries().map(|e| (page.key(&e), e.leaf)));
        Self::of(&entries.collect::<Vec<_>>())
    }

    /// Asserts the invariants.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let keys: Vec<_> = self.entries().map(|entry| self.key(&entry)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(!keys.is_empty() && keys.len() == self.len() && keys.len() <= Self::MAX);
    }
}

/// Writes a page's data in one allocation of the right size.
struct Writer {
    shared: usize,
    count: u32,
    data: Vec<u8>,
}

impl Writer {
    fn new(beginning: &[u8], size: usize) -> Self {
        let mut data = Vec::with_capacity(size);
        data.extend_from_slice(beginning);
        Self { shared: beginning.len(), count: 0, data }
    }

    /// Adds an entry, whose rest comes in two parts.
    fn push(&mut self, leaf: &Hash, start: &[u8], rest: &[u8]) {
        self.data.extend_from_slice(&leaf.0);
        self.data.extend_from_slice(&((start.len() + rest.len()) as u32).to_le_bytes());
        self.data.extend_from_slice(start);
        self.data.extend_from_slice(rest);
        self.count += 1;
    }

    fn finish(self) -> Page {
        Page {
            hash: OnceLock::new(),
            shared: self.shared as u32,
            count: self.count,
            data: self.data.into_boxed_slice(),
        }
    }
}
