//! Proposes blocks whose headers are wrong: another state than their requests lead to, other requests, another parent,
//! another proposer.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_bft::message::SignedProposal;
use hypermesh_chain::{Block, Canonical, Hash};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Invalid {
    /// Of its blocks, those it sends in their place.
    twins: BTreeMap<Hash, Hash>,
}

impl Behaviour for Invalid {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let cluster = &actor.identity.cluster;
        match message {
            Message::Block { height, bytes } => {
                let Ok(mut block) = Block::decode(&bytes) else { return Vec::new() };
                let id = block.header.id(cluster);
                match random.below(10) {
                    0 => drop(block.requests.pop()),
                    1 => block.header.parent.0[0] ^= 1,
                    2 => block.header.proposer.0[0] ^= 1,
                    3 => block.header.height.0 += 1,
                    _ => block.header.state.0[0] ^= 1,
                }
                self.twins.insert(id, block.header.id(cluster));
                as_it_is(to, &Message::Block { height, bytes: block.encode().into() })
            }
            Message::Proposal(SignedProposal { mut proposal, proposer, signature }) => {
                let Some(twin) = self.twins.get(&proposal.block) else {
                    return as_it_is(
                        to,
                        &Message::Proposal(SignedProposal { proposal, proposer, signature }),
                    );
                };
                proposal.block = *twin;
                let signature = actor.identity.key.sign(&proposal.message(cluster));
                as_it_is(to, &Message::Proposal(SignedProposal { proposal, proposer, signature }))
            }
            said => as_it_is(to, &said),
        }
    }
}
