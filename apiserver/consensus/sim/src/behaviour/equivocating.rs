//! Tells half of the others one thing, and the other half another: two blocks a round, and a vote for each.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_bft::message::{SignedProposal, SignedVote};
use hypermesh_chain::{Block, Canonical, Hash};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Equivocating {
    /// Of its blocks, those that the other half is shown.
    twins: BTreeMap<Hash, Hash>,
    /// The newest block it has spoken of.
    newest: Option<Hash>,
}

impl Equivocating {
    /// What the other half is told.
    fn twin(&mut self, actor: Actor<'_>, message: &Message) -> Option<Message> {
        let cluster = &actor.identity.cluster;
        match message {
            Message::Block { height, bytes } => {
                let mut block = Block::decode(bytes).ok()?;
                let id = block.header.id(cluster);
                // A moment later: as valid as the other.
                block.header.time.0 += 1;
                self.twins.insert(id, block.header.id(cluster));
                Some(Message::Block { height: *height, bytes: block.encode().into() })
            }
            Message::Proposal(signed) => {
                let mut proposal = signed.proposal;
                self.newest = Some(proposal.block);
                proposal.block = *self.twins.get(&proposal.block)?;
                let signature = actor.identity.key.sign(&proposal.message(cluster));
                Some(Message::Proposal(SignedProposal { proposal, proposer: signed.proposer, signature }))
            }
            Message::Vote(signed) => {
                let mut vote = signed.vote;
                vote.block = match vote.block {
                    Some(block) => self.twins.get(&block).copied(),
                    None => self.newest,
                };
                let signature = actor.identity.key.sign(&vote.message(cluster));
                Some(Message::Vote(SignedVote { vote, voter: signed.voter, signature }))
            }
            _ => None,
        }
    }
}

impl Behaviour for Equivocating {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let Some(twin) = self.twin(actor, &message) else { return as_it_is(to, &message) };
        let both = random.chance(100);
        let (even, odd): (Vec<usize>, Vec<usize>) = to.iter().partition(|place| *place % 2 == 0);
        let mut sent = as_it_is(&even, &message);
        sent.extend(as_it_is(&odd, &twin));
        if both {
            sent.extend(as_it_is(&even, &twin));
        }
        sent
    }
}
