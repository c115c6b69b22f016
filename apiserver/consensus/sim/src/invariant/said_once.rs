//! An honest replica never contradicts itself, however often it crashed between.

use super::{Invariant, Observation};
use hypermesh_bft::Message;
use hypermesh_chain::certificate::VoteKind;
use hypermesh_chain::{Hash, PublicKey};
use std::collections::BTreeMap;

/// Who, at which height and round, and of which kind: none for a proposal.
type Place = (PublicKey, u64, u32, Option<VoteKind>);

#[derive(Debug, Default)]
pub(super) struct SaidOnce(BTreeMap<Place, Option<Hash>>);

impl Invariant for SaidOnce {
    fn name(&self) -> &'static str {
        "said once"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Said { key, message, .. } = observation else { return Ok(()) };
        let (place, block) = match message {
            Message::Vote(signed) if signed.voter == *key => {
                let vote = signed.vote;
                ((*key, vote.height.0, vote.round, Some(vote.kind)), vote.block)
            }
            Message::Proposal(signed) if signed.proposer == *key => {
                let proposal = signed.proposal;
                ((*key, proposal.height.0, proposal.round, None), Some(proposal.block))
            }
            _ => return Ok(()),
        };
        let first = *self.0.entry(place).or_insert(block);
        if first == block {
            return Ok(());
        }
        let (key, height, round, kind) = place;
        Err(format!("{key} said {first:?} and {block:?} at height {height}, round {round}, as {kind:?}"))
    }
}
