//! Whether requests are authorized: by their authors' signatures, or by the endorsements that come with them.
//!
//! The rules are the same for a block and for requests on their way to whoever proposes ([`crate::Bundle`]).

use super::{Block, BlockError};
use crate::{
    codec::{Canonical, RuleError},
    genesis::ClusterId,
    ids::Hash,
    key::verify_batch,
    request::{BatchEndorsement, Request},
    signature::{self, Message},
};
use std::collections::BTreeSet;

/// Limits and order, which need no key.
pub(crate) fn check(requests: &[Request], endorsements: &[BatchEndorsement]) -> Result<(), RuleError> {
    RuleError::limit("requests", requests.len(), Block::MAX_REQUESTS)?;
    requests.iter().try_for_each(Request::check)?;
    RuleError::limit("endorsements", endorsements.len(), requests.len())?;
    let mut absent = 0;
    for batch in endorsements {
        batch.check()?;
        RuleError::limit("endorsements", batch.indices.len(), requests.len())?;
        absent += batch.absent.len();
    }
    RuleError::limit("endorsements.absent", absent, Block::MAX_ABSENT)
}

/// Verifies every endorsement, that each endorsed request is covered once, and every signature but those of requests that
/// are `known`.
pub(crate) fn verify(
    requests: &[Request],
    endorsements: &[BatchEndorsement],
    digests: &[Hash],
    cluster: &ClusterId,
    known: impl Fn(&Request, &Hash) -> bool,
) -> Result<(), BlockError> {
    let mut covered = vec![false; requests.len()];
    for (endorsement, batch) in endorsements.iter().enumerate() {
        let present = present(requests, digests, endorsement, batch, &mut covered)?;
        let whole = batch.whole(&present).ok_or(BlockError::Absent { endorsement })?;
        if !batch.absent.is_empty()
            && let Some(digest) = twice(&whole)
        {
            return Err(BlockError::Twice { endorsement, digest });
        }
        let verdict = batch.verify(cluster, &whole);
        verdict.map_err(|source| BlockError::Endorsement { endorsement, source })?;
    }
    let needed = requests.iter().map(|request| request.authority.endorsement().is_some());
    if let Some(index) = needed.zip(covered).position(|(needed, covered)| needed && !covered) {
        return Err(BlockError::Uncovered { index });
    }
    verify_signed(requests, digests, cluster, known)
}

/// The digests of a batch's requests that are there, in the batch's order.
fn present(
    requests: &[Request],
    digests: &[Hash],
    endorsement: usize,
    batch: &BatchEndorsement,
    covered: &mut [bool],
) -> Result<Vec<Hash>, BlockError> {
    let mut present = Vec::with_capacity(batch.indices.len().min(requests.len()));
    for &index in &batch.indices {
        let place = index as usize;
        let (Some(request), Some(digest), Some(mark)) =
            (requests.get(place), digests.get(place), covered.get_mut(place))
        else {
            return Err(BlockError::OutOfRange { endorsement, index });
        };
        let own = request.authority.endorsement().is_some_and(|e| e.replica == batch.replica);
        if !own || *mark {
            return Err(BlockError::Misplaced { endorsement, index });
        }
        *mark = true;
        present.push(*digest);
    }
    Ok(present)
}

/// A digest that is in a list twice.
fn twice(digests: &[Hash]) -> Option<Hash> {
    let mut seen = BTreeSet::new();
    digests.iter().find(|digest| !seen.insert(**digest)).copied()
}

/// Verifies the signatures of all signed requests at once; who is at fault is looked for only if that fails.
fn verify_signed(
    requests: &[Request],
    digests: &[Hash],
    cluster: &ClusterId,
    known: impl Fn(&Request, &Hash) -> bool,
) -> Result<(), BlockError> {
    let mut messages = Vec::new();
    for (index, (request, digest)) in requests.iter().zip(digests).enumerate() {
        if request.authority.signatures().is_empty() || known(request, digest) {
            continue;
        }
        let message = Message::of(request);
        for signature in request.authority.signatures() {
            messages.push((index, signature, message.base(cluster, signature)));
        }
    }
    let items: Vec<_> = messages.iter().map(|(_, s, base)| (s.key, base.as_bytes(), s.signature)).collect();
    verify_batch(&items).map_err(|source| {
        let index = messages.get(source.index).map_or(0, |(index, ..)| *index);
        BlockError::Signature { index, source: signature::VerifyError { source } }
    })
}
