//! What another replica tells of requests, from its bytes to requests that may be proposed.
//!
//! Everything that needs no state is done here, off the thread that writes: decoding, signatures, endorsements. A bundle of
//! which anything does not hold is refused whole: an honest replica tells of nothing else.

use crate::pool::{Batch, Coming, Hold};
use hypermesh_chain::{Bundle, Canonical, ClusterId, Hash, PublicKey, Request};
use hypermesh_pipeline::Call;
use std::sync::Arc;

/// Requests that another replica told of, all of them authorized.
pub(crate) struct Heard {
    pub from: PublicKey,
    pub requests: Vec<Coming>,
    /// Room for them in the window of the connection, until the last of them is settled.
    pub hold: Option<Hold>,
}

impl Heard {
    /// Reads a bundle.
    ///
    /// # Errors
    /// Why it is not one, or what of it does not hold.
    pub fn read(from: PublicKey, bytes: &[u8], cluster: &ClusterId) -> Result<Self, String> {
        let bundle = Bundle::decode(bytes).map_err(|error| chain_of(&error))?;
        let digests = bundle.verify(cluster).map_err(|error| chain_of(&error))?;
        let mut batches: Vec<Option<(Arc<Batch>, u32)>> = vec![None; bundle.requests.len()];
        let mut shared = 0;
        for endorsement in &bundle.endorsements {
            let of = |index: &u32| digests.get(*index as usize).copied();
            let present: Vec<Hash> = endorsement.indices.iter().filter_map(of).collect();
            let Some(whole) = endorsement.whole(&present) else { continue };
            shared += whole.len() * size_of::<Hash>();
            let (replica, signature) = (endorsement.replica, endorsement.signature);
            let batch = Arc::new(Batch { replica, digests: whole, signature });
            let absent = |place: &u32| endorsement.absent.binary_search_by_key(place, |(at, _)| *at).is_ok();
            let places = (0_u32..).filter(|place| !absent(place));
            for (index, place) in endorsement.indices.iter().zip(places) {
                if let Some(known) = batches.get_mut(*index as usize) {
                    *known = Some((Arc::clone(&batch), place));
                }
            }
        }
        // What the batches take of memory, each of their requests keeps.
        let share = shared / bundle.requests.len().max(1);
        let parts = bundle.requests.into_iter().zip(digests).zip(batches);
        let coming = |((request, digest), batch): ((Request, Hash), _)| {
            // What does not decode is never ordered: a block must not have it.
            let call = Call::decode(&request).ok()?;
            let bytes = request.size() + share;
            Some(Coming { digest, request, call, batch, bytes })
        };
        Ok(Self { from, requests: parts.filter_map(coming).collect(), hold: None })
    }
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
