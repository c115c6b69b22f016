//! Sends its blocks, proposals and votes to as many as a quorum needs beside itself, and to nobody else: the others have to
//! learn of everything from each other.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;

#[derive(Debug)]
pub(super) struct Sparing;

impl Behaviour for Sparing {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        _random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let height = match &message {
            Message::Block { height, .. } => height.0,
            Message::Proposal(signed) => signed.proposal.height.0,
            Message::Vote(signed) => signed.vote.height.0,
            _ => return as_it_is(to, &message),
        };
        // Of 3f others, 2f: other ones at each height.
        let others = actor.others.len();
        let spared = |place: &usize| {
            (*place as u64 + height) % others.max(1) as u64 >= (others as u64 * 2).div_ceil(3)
        };
        let chosen: Vec<usize> = to.iter().filter(|place| !spared(place)).copied().collect();
        as_it_is(&chosen, &message)
    }
}
