//! Says very much: votes and proposals of heights and rounds that are far or do not exist, each signed as it should be;
//! blocks that nobody named; wishes for what nobody has. None of it may cost the others more than a bounded part of
//! their memory.

use super::{Actor, Behaviour, MADE_UP, as_it_is};
use crate::ledger::requests::{self, Write};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_bft::message::{SignedProposal, SignedVote};
use hypermesh_chain::certificate::{Vote, VoteKind};
use hypermesh_chain::{Canonical, Hash, Height, Proposal};

/// Messages beside each that the engine wants sent.
const MORE: u64 = 6;

#[derive(Debug)]
pub(super) struct Flooding;

impl Flooding {
    /// Something about heights near `height`.
    fn noise(actor: Actor<'_>, height: u64, random: &mut Random) -> Message {
        let (key, cluster, group) = (&actor.identity.key, &actor.identity.cluster, actor.identity.group);
        let height = Height(random.one_of([height, height, height + 1, height + 2, height + 1000, u64::MAX]));
        let round = random.one_of([0, 1, 5, 9, 11, 1000, u32::MAX - 1]);
        let block = Hash::of(&[&random.below(50).to_le_bytes()]);
        match random.below(8) {
            0..3 => {
                let kind = if random.chance(500) { VoteKind::Prevote } else { VoteKind::Precommit };
                let vote = Vote { kind, group, height, round, block: Some(block) };
                let signature = key.sign(&vote.message(cluster));
                Message::Vote(SignedVote { vote, voter: key.public(), signature })
            }
            3..5 => {
                let proposal = Proposal { group, height, round, valid_round: None, block };
                let signature = key.sign(&proposal.message(cluster));
                Message::Proposal(SignedProposal { proposal, proposer: key.public(), signature })
            }
            5 => Message::Want { height, block },
            6 => Message::Ask { from: height },
            _ => {
                let write = Write { register: 0, value: MADE_UP + random.number() % MADE_UP };
                Message::Requests(vec![requests::forged(&requests::client(0), write).encode().into()])
            }
        }
    }
}

impl Behaviour for Flooding {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let height = match &message {
            Message::Vote(signed) => signed.vote.height.0,
            Message::Proposal(signed) => signed.proposal.height.0,
            Message::Head { height } => height.0 + 1,
            _ => return as_it_is(to, &message),
        };
        let mut sent = as_it_is(to, &message);
        for _ in 0..MORE {
            let noise = Self::noise(actor, height, random);
            sent.extend(random.pick(actor.others).map(|other| (*other, noise)));
        }
        sent
    }
}
