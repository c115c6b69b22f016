//! Vouches for what only an administrator may write: proposes it, and tells others of it so that they do. Its signature is
//! good, and its word is not enough.

use super::{Actor, Behaviour, MADE_UP, as_it_is};
use crate::ledger::requests;
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_chain::Canonical;
use hypermesh_chain::request::Request;

#[derive(Debug)]
pub(super) struct Forging;

impl Forging {
    fn forge(actor: Actor<'_>, random: &mut Random) -> Request {
        let number = MADE_UP + random.below(1000);
        requests::administration(number, &actor.identity.key, &actor.identity.cluster)
    }
}

impl Behaviour for Forging {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let Message::Requests(mut requests) = message else { return as_it_is(to, &message) };
        requests.push(Self::forge(actor, random).encode().into());
        as_it_is(to, &Message::Requests(requests))
    }

    fn compose(&mut self, actor: Actor<'_>, mut waiting: Vec<Request>, random: &mut Random) -> Vec<Request> {
        if random.chance(500) {
            waiting.insert(0, Self::forge(actor, random));
        }
        waiting
    }
}
