//! Says again, to anybody and at any time, what was said before: by itself, and by others in their names.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;

/// Messages that are kept.
const MOST: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Replaying(Vec<Message>);

impl Replaying {
    fn keep(&mut self, message: Message) {
        if self.0.len() < MOST {
            self.0.push(message);
        }
    }
}

impl Behaviour for Replaying {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let mut sent = as_it_is(to, &message);
        if let (Some(old), Some(one)) = (random.pick(&self.0), random.clone().pick(actor.others)) {
            sent.push((*one, old.clone()));
        }
        self.keep(message);
        sent
    }

    fn hear(&mut self, _actor: Actor<'_>, message: &Message) {
        self.keep(message.clone());
    }
}
