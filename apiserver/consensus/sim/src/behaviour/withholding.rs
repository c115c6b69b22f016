//! Proposes blocks and votes for them, and shows their bytes to nobody, or to one replica alone.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;

#[derive(Debug)]
pub(super) struct Withholding;

impl Behaviour for Withholding {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        match message {
            Message::Block { .. } if random.chance(500) => {
                actor.others.first().map(|one| (*one, message)).into_iter().collect()
            }
            Message::Block { .. } | Message::Decided(_) => Vec::new(),
            said => as_it_is(to, &said),
        }
    }
}
