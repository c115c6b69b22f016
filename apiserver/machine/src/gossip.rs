//! What a replica tells the others of requests that wait, and what it takes of what they tell.
//!
//! Own requests are told in bundles of what waits at the moment, with one endorsement for all of a bundle that their
//! authors have not signed. They are told again while they wait, in the same batches: what was ordered of a batch is then
//! named as absent.

use crate::heard::Heard;
use crate::pool::{Batch, Coming, Entry, Gathered};
use crate::state::Machine;
use crate::submission::Submission;
use hypermesh_chain::{BatchEndorsement, Bundle, Hash, Request, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes of the requests of a bundle, about; one request always fits.
const MOST_BYTES: usize = 1 << 20;
/// A request is told again after so long, in microseconds; then after twice as long, and so on.
const TELL_AGAIN: u64 = 500_000;
const MOST_DOUBLINGS: u32 = 4;
/// Batches that a bundle has parts of, when requests are told again.
const MOST_PARTS: usize = 32;

impl Machine {
    /// Takes what clients asked this replica into the pool, as much as may be told of at a time, and says what is to be
    /// told to the others.
    pub(crate) fn tell(&mut self, now: Timestamp) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        while let room @ 1.. = self.pool.room()
            && let Some(bundle) = self.bundle(room.min(Bundle::MAX_REQUESTS), now)
        {
            bundles.push(bundle);
        }
        bundles
    }

    /// At most `most` of what clients asked; nothing if there is nothing.
    fn bundle(&mut self, most: usize, now: Timestamp) -> Option<Bundle> {
        let (mut taken, mut bytes): (Vec<Submission>, usize) = (Vec::new(), 0);
        let mut digests = HashSet::new();
        while taken.len() < most
            && bytes < MOST_BYTES
            && let Some(next) = self.queue.pop_front()
        {
            // Whoever asks for what waits already waits for that.
            let Some(next) = self.pool.join(next) else { continue };
            if !digests.insert(next.call.digest) {
                // The second joins the first once that is in the pool.
                self.queue.push_front(next);
                break;
            }
            bytes += next.request.size();
            taken.push(next);
        }
        if taken.is_empty() {
            return None;
        }
        let requests: Vec<Request> = taken.iter().map(|submission| submission.request.clone()).collect();
        let endorsed = |request: &Request| request.authority.endorsement().is_some();
        let indices: Vec<u32> =
            (0_u32..).zip(&requests).filter(|(_, request)| endorsed(request)).map(|(i, _)| i).collect();
        let of = |index: &u32| taken.get(*index as usize).map(|submission| submission.call.digest);
        let digests: Vec<Hash> = indices.iter().filter_map(of).collect();
        let mut endorsements = Vec::new();
        let mut batch = None;
        if !indices.is_empty() {
            let signed = BatchEndorsement::sign(&self.key, &self.cluster, &digests, indices);
            let (replica, signature) = (signed.replica, signed.signature);
            batch = Some(Arc::new(Batch { replica, digests, signature }));
            endorsements.push(signed);
        }
        let mut place = 0;
        for Submission { request, call, waiting } in taken {
            let mut own = None;
            if endorsed(&request) {
                own = batch.as_ref().map(|batch| (Arc::clone(batch), place));
                place += 1;
            }
            let bytes = request.size();
            let coming = Coming { digest: call.digest, request, call, batch: own, bytes };
            self.pool.take_own(coming, waiting, now);
        }
        Some(Bundle { requests, endorsements })
    }

    /// What is told again: own requests that wait and were not told for a while, which is longer each time. Connections
    /// lose little, and what is slow gets no faster by being told more often.
    pub(crate) fn tell_again(&mut self, now: Timestamp) -> Vec<Bundle> {
        self.bundles_of(now, |entry| {
            let patience = TELL_AGAIN << entry.again.min(MOST_DOUBLINGS);
            let due = now.0.saturating_sub(entry.told.0) >= patience;
            entry.again += u32::from(due);
            due
        })
    }

    /// All that was told and waits, for a replica that may know nothing of it.
    pub(crate) fn tell_all(&mut self, now: Timestamp) -> Vec<Bundle> {
        self.bundles_of(now, |_| true)
    }

    fn bundles_of(&mut self, now: Timestamp, wanted: impl Fn(&mut Entry) -> bool) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        let (mut requests, mut gathered, mut bytes) = (Vec::<Request>::new(), Gathered::default(), 0);
        for entry in self.pool.own() {
            if !wanted(entry) {
                continue;
            }
            entry.told = now;
            let full = requests.len() >= Bundle::MAX_REQUESTS
                || bytes >= MOST_BYTES
                || !gathered.fits(entry.batch.as_ref(), MOST_PARTS * Bundle::MAX_REQUESTS);
            if full {
                let endorsements = std::mem::take(&mut gathered).endorsements();
                bundles.push(Bundle { requests: std::mem::take(&mut requests), endorsements });
                bytes = 0;
            }
            if let Some(batch) = &entry.batch {
                gathered.add(batch, requests.len());
            }
            bytes += entry.request.size();
            requests.push(entry.request.clone());
        }
        if !requests.is_empty() {
            bundles.push(Bundle { requests, endorsements: gathered.endorsements() });
        }
        bundles
    }

    /// Takes what another replica told of; whether there is something new to order.
    pub(crate) fn hear(&mut self, heard: Heard, now: Timestamp) -> bool {
        let mut new = false;
        for coming in heard.requests {
            if self.window.contains(&coming.call.authority) {
                continue;
            }
            new |= self.pool.take_heard(coming, heard.from, now, heard.hold.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests;
