//! Requests that wait to be ordered by one of several replicas: this one's own, and those that others told of.
//!
//! A request stays here until a block that is kept has it, whoever proposed that, or until it comes to nothing. So a
//! block that gives way to another gives nothing back. Each request is here once, however often and by whomever it is
//! told, in the order of coming.
//!
//! # What is never lost
//! A replica keeps what it took from its clients until it has answered them, and tells of so much at a time ([`WINDOW`])
//! that an honest replica never has more of it waiting than it keeps for one peer ([`MOST_HEARD`]). What is beyond that is a
//! liar's, or comes again.
//!
//! # What comes to nothing
//! A proposer leaves out what writes nothing, and says so. That is one replica's word: whoever has the request looks
//! at it itself once the height is decided that the word is about. Another's request that comes to nothing is
//! forgotten; an own one is put aside ([`Entry::aside`]) until a barrier has passed, and then answered.

use crate::submission::{Submission, Waiting};
use hypermesh_chain::request::SKEW;
use hypermesh_chain::{BatchEndorsement, Hash, Height, PublicKey, Request, Signature, Timestamp};
use hypermesh_pipeline::{Call, Outcome};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How much of its own a replica tells of at a time: requests, and bytes. The rest waits with it.
pub(crate) const WINDOW: Quota = Quota { requests: 2048, bytes: 8 << 20 };

/// How much of one peer's waits here: twice what it tells of at a time, since what it knows to be ordered may wait here
/// a moment longer.
const MOST_HEARD: Quota = Quota { requests: 2 * WINDOW.requests, bytes: 2 * WINDOW.bytes };

/// Something to keep for as long as a request that came with it waits: room in the window of a connection.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Requests that a replica endorsed together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub replica: PublicKey,
    /// Of all of them, in order.
    pub digests: Vec<Hash>,
    pub signature: Signature,
}

/// A number of requests, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    pub requests: usize,
    pub bytes: usize,
}

impl Quota {
    fn has_room(self, most: Self) -> bool {
        self.requests < most.requests && self.bytes < most.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.requests += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client of this replica's.
    Own,
    /// Another replica told of it.
    Peer(PublicKey),
}

/// A request that waits.
pub(crate) struct Entry {
    pub digest: Hash,
    pub request: Request,
    /// Taken by whoever executes it, and decoded anew the next time.
    call: Option<Call>,
    /// The batch it is endorsed in, and its place there; none for one that its author signed.
    pub batch: Option<(Arc<Batch>, u32)>,
    pub origin: Origin,
    /// Who waits for it here.
    waiting: Vec<Waiting>,
    bytes: usize,
    /// It may come to nothing once this height is decided.
    doubt: Option<Height>,
    /// The height after which it was last looked at.
    seen: Option<Height>,
    /// It came to nothing, and is looked at again once a barrier has passed. Until then it is not proposed.
    aside: bool,
    /// When it was told last, and how often it was told again.
    pub told: Timestamp,
    pub again: u32,
    looked: Timestamp,
    /// When it was made.
    made: Timestamp,
    _hold: Option<Hold>,
}

impl Entry {
    /// The decoded request.
    pub fn take_call(&mut self) -> Option<Call> {
        self.call.take().or_else(|| Call::decode(&self.request).ok())
    }

    /// Whether somebody waits for it here.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// What is known of a request that comes in.
pub(crate) struct Coming {
    pub digest: Hash,
    pub request: Request,
    pub call: Call,
    pub batch: Option<(Arc<Batch>, u32)>,
    /// What it is counted as.
    pub bytes: usize,
}

/// Requests that wait.
#[derive(Default)]
pub(crate) struct Pool {
    entries: BTreeMap<u64, Entry>,
    places: HashMap<Hash, u64>,
    next: u64,
    /// Those that are put aside.
    aside: usize,
    /// Those that are in doubt.
    doubts: usize,
    own: Quota,
    peers: BTreeMap<PublicKey, Quota>,
}

impl Pool {
    /// Whether something waits that may be ordered.
    pub fn has_work(&self) -> bool {
        self.entries.len() > self.aside
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Requests that somebody waits for here.
    pub fn awaited(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_awaited()).count()
    }

    /// How many more of its own this replica may tell of.
    pub fn room(&self) -> usize {
        if self.own.has_room(WINDOW) { WINDOW.requests - self.own.requests } else { 0 }
    }

    pub fn get(&self, digest: &Hash) -> Option<&Entry> {
        self.entries.get(self.places.get(digest)?)
    }

    fn get_mut(&mut self, digest: &Hash) -> Option<&mut Entry> {
        self.entries.get_mut(self.places.get(digest)?)
    }

    /// Whether exactly this request, with its signatures, waits here: then they were verified.
    pub fn knows(&self, request: &Request, digest: &Hash) -> bool {
        self.get(digest).is_some_and(|entry| entry.request.authority == request.authority)
    }

    /// The decoded request of this digest, for a look at it.
    pub fn call_of(&mut self, digest: &Hash) -> Option<Call> {
        self.get_mut(digest)?.take_call()
    }

    /// The decoded request of this digest, if it waits here and was not taken before.
    pub fn take_call(&mut self, digest: &Hash) -> Option<Call> {
        self.get_mut(digest)?.call.take()
    }

    /// All that may be proposed, in their order.
    pub fn proposable(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().filter(|entry| !entry.aside)
    }

    /// What this replica told, or took over, and is still waited for here: to be told again.
    pub fn own(&mut self) -> impl Iterator<Item = &mut Entry> {
        let own = |entry: &&mut Entry| entry.origin == Origin::Own && !entry.aside;
        self.entries.values_mut().filter(own)
    }

    /// Has a client of this replica's wait for a request that is here already, and is this one's from now on. Gives back
    /// one that is not here.
    pub fn join(&mut self, submission: Submission) -> Option<Submission> {
        let Some(entry) = self.get_mut(&submission.call.digest) else { return Some(submission) };
        entry.waiting.push(submission.waiting);
        let bytes = entry.bytes;
        if let Origin::Peer(key) = std::mem::replace(&mut entry.origin, Origin::Own) {
            // The other may take it back: it is told again as this one's.
            (entry.told, entry.again) = (Timestamp(0), 0);
            self.own.add(bytes);
            self.give_back(key, bytes);
        }
        None
    }

    /// What was counted for a peer is counted no more.
    fn give_back(&mut self, key: PublicKey, bytes: usize) {
        if let Some(quota) = self.peers.get_mut(&key) {
            quota.take(bytes);
            if *quota == Quota::default() {
                self.peers.remove(&key);
            }
        }
    }

    /// Takes a request of this replica's own, which is not here.
    pub fn take_own(&mut self, coming: Coming, waiting: Waiting, now: Timestamp) {
        self.own.add(coming.bytes);
        self.insert(coming, Origin::Own, vec![waiting], now, None);
    }

    /// Takes a request that another replica told of; whether it did.
    pub fn take_heard(
        &mut self,
        coming: Coming,
        from: PublicKey,
        now: Timestamp,
        hold: Option<Hold>,
    ) -> bool {
        if self.places.contains_key(&coming.digest) {
            return false;
        }
        let quota = self.peers.entry(from).or_default();
        if !quota.has_room(MOST_HEARD) {
            return false;
        }
        quota.add(coming.bytes);
        self.insert(coming, Origin::Peer(from), Vec::new(), now, hold);
        true
    }

    fn insert(
        &mut self,
        coming: Coming,
        origin: Origin,
        waiting: Vec<Waiting>,
        now: Timestamp,
        hold: Option<Hold>,
    ) {
        let Coming { digest, request, call, batch, bytes } = coming;
        let made = call.authority.made();
        self.places.insert(digest, self.next);
        let entry = Entry {
            digest,
            request,
            call: Some(call),
            batch,
            origin,
            waiting,
            bytes,
            doubt: None,
            seen: None,
            aside: false,
            told: now,
            again: 0,
            looked: now,
            made,
            _hold: hold,
        };
        self.entries.insert(self.next, entry);
        self.next += 1;
    }

    /// Takes a request out.
    fn remove(&mut self, digest: &Hash) -> Option<Entry> {
        let entry = self.entries.remove(&self.places.remove(digest)?)?;
        self.aside -= usize::from(entry.aside);
        self.doubts -= usize::from(entry.doubt.is_some());
        match entry.origin {
            Origin::Own => self.own.take(entry.bytes),
            Origin::Peer(key) => self.give_back(key, entry.bytes),
        }
        Some(entry)
    }

    /// A request is settled: it waits no more, and who waits for it is told.
    pub fn settle(&mut self, digest: &Hash, outcome: &Outcome) {
        for waiting in self.remove(digest).into_iter().flat_map(|entry| entry.waiting) {
            waiting.answer(outcome.clone());
        }
    }

    /// Another replica wants a request no more: it is forgotten if it is that one's.
    pub fn take_back(&mut self, digest: &Hash, from: PublicKey) {
        if self.get(digest).is_some_and(|entry| entry.origin == Origin::Peer(from)) {
            drop(self.remove(digest));
        }
    }

    /// Who proposes says that a request comes to nothing once a height is decided. It is looked at once a height for that.
    pub fn doubt(&mut self, digest: &Hash, height: Height) {
        let Some(entry) = self.get_mut(digest) else { return };
        if entry.seen.is_some_and(|seen| height <= seen) {
            return;
        }
        let before = entry.doubt;
        entry.doubt = Some(before.map_or(height, |doubt| doubt.min(height)));
        self.doubts += usize::from(before.is_none());
    }

    /// Whether something is in doubt.
    pub fn has_doubts(&self) -> bool {
        self.doubts > 0
    }

    /// What is to be looked at: what is in doubt and whose height is decided, and what has waited for long.
    pub fn due(&self, head: Height, now: Timestamp, most: usize) -> Vec<Hash> {
        let due = |entry: &&Entry| {
            let patience = if entry.is_awaited() { OWN_PATIENCE } else { PATIENCE };
            let doubted = entry.doubt.is_some_and(|height| height <= head);
            !entry.aside && (doubted || now.0.saturating_sub(entry.looked.0) >= patience)
        };
        self.entries.values().filter(due).take(most).map(|entry| entry.digest).collect()
    }

    /// A request was looked at, and still writes.
    pub fn looked_at(&mut self, digest: &Hash, head: Height, now: Timestamp) {
        if let Some(entry) = self.get_mut(digest) {
            (entry.looked, entry.seen) = (now, Some(head));
            let doubted = entry.doubt.take().is_some();
            self.doubts -= usize::from(doubted);
        }
    }

    /// A request came to nothing. Another's is forgotten; one that is waited for here is put aside, and `true`.
    pub fn put_aside(&mut self, digest: &Hash) -> bool {
        let Some(entry) = self.get_mut(digest) else { return false };
        if !entry.is_awaited() {
            drop(self.remove(digest));
            return false;
        }
        let new = !std::mem::replace(&mut entry.aside, true);
        let doubted = entry.doubt.take().is_some();
        self.aside += usize::from(new);
        self.doubts -= usize::from(doubted);
        true
    }

    /// A request that was put aside writes again.
    pub fn put_back(&mut self, digest: &Hash, now: Timestamp) {
        let Some(entry) = self.get_mut(digest) else { return };
        // It was taken back from the others, and is told again at once.
        (entry.looked, entry.told, entry.again) = (now, Timestamp(0), 0);
        let was = std::mem::replace(&mut entry.aside, false);
        self.aside -= usize::from(was);
    }

    /// Takes out what can be ordered no more, given the newest block's time and how long a request is valid: its time has
    /// passed in block time, or so long ago by the clock that what the others decided has not come here.
    pub fn expired(&mut self, head: Timestamp, now: Timestamp, validity: u64) -> Vec<(Vec<Waiting>, Ended)> {
        let over = |entry: &Entry| {
            let until = entry.made.0.saturating_add(validity);
            let unheard = until.saturating_add(2 * SKEW);
            let unknown = (now.0 > unheard).then_some(Ended::Unknown);
            if head.0 > until { Some(Ended::Expired) } else { unknown }
        };
        let gone: Vec<_> =
            self.entries.values().filter_map(|entry| Some((entry.digest, over(entry)?))).collect();
        let take = |(digest, ended): &(Hash, Ended)| Some((self.remove(digest)?.waiting, *ended));
        gone.iter().filter_map(take).collect()
    }

    /// Takes everything out: who waits.
    pub fn drain(&mut self) -> Vec<Waiting> {
        let entries = std::mem::take(self).entries;
        entries.into_values().flat_map(|entry| entry.waiting).collect()
    }
}

/// How long a request waits until it is looked at, in microseconds: one that is waited for here, and another's.
const OWN_PATIENCE: u64 = 1_000_000;
const PATIENCE: u64 = 5_000_000;

/// Why a request waits no more without having been ordered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Block time has passed it by: it will never be ordered.
    Expired,
    /// The clock has, and nothing was decided: nobody knows.
    Unknown,
}

/// Gathers the endorsements of some of the requests that wait: one for each batch, with what is absent of it.
#[derive(Default)]
pub(crate) struct Gathered {
    order: Vec<Signature>,
    batches: HashMap<Signature, (Arc<Batch>, BTreeMap<u32, u32>)>,
    members: usize,
}

impl Gathered {
    /// Whether one more of a batch keeps the number of those that are absent within `most`.
    pub fn fits(&self, batch: Option<&(Arc<Batch>, u32)>, most: usize) -> bool {
        batch.is_none_or(|(batch, _)| {
            self.batches.contains_key(&batch.signature) || self.members + batch.digests.len() <= most
        })
    }

    /// The request at `index` stands at this place of this batch.
    pub fn add(&mut self, batch: &(Arc<Batch>, u32), index: usize) {
        let (batch, place) = batch;
        let (_, present) = self.batches.entry(batch.signature).or_insert_with(|| {
            self.order.push(batch.signature);
            self.members += batch.digests.len();
            (Arc::clone(batch), BTreeMap::new())
        });
        present.insert(*place, u32::try_from(index).unwrap_or(u32::MAX));
    }

    /// The endorsements.
    pub fn endorsements(&self) -> Vec<BatchEndorsement> {
        let endorsement = |signature| {
            let (batch, present) = self.batches.get(signature)?;
            let absent = |(place, digest): (usize, &Hash)| {
                let place = u32::try_from(place).ok()?;
                (!present.contains_key(&place)).then_some((place, *digest))
            };
            Some(BatchEndorsement {
                replica: batch.replica,
                indices: present.values().copied().collect(),
                absent: batch.digests.iter().enumerate().filter_map(absent).collect(),
                signature: batch.signature,
            })
        };
        self.order.iter().filter_map(endorsement).collect()
    }
}

#[cfg(test)]
mod tests;
