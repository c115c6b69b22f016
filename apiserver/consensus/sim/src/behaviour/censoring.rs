//! Leaves out what one client asks for: proposes none of it, and tells nobody of it. In all else it is honest, and quick.

use super::{Actor, Behaviour, as_it_is};
use crate::ledger::requests;
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_chain::Canonical;
use hypermesh_chain::request::Request;

#[derive(Debug)]
pub(super) struct Censoring;

fn is_victims(request: &Request) -> bool {
    requests::author(request) == requests::client(0)
}

impl Behaviour for Censoring {
    fn send(
        &mut self,
        _actor: Actor<'_>,
        to: &[usize],
        message: Message,
        _random: &mut Random,
    ) -> Vec<(usize, Message)> {
        let Message::Requests(mut requests) = message else { return as_it_is(to, &message) };
        requests.retain(|bytes| !Request::decode(bytes).is_ok_and(|request| is_victims(&request)));
        as_it_is(to, &Message::Requests(requests))
    }

    fn compose(
        &mut self,
        _actor: Actor<'_>,
        mut waiting: Vec<Request>,
        _random: &mut Random,
    ) -> Vec<Request> {
        waiting.retain(|request| !is_victims(request));
        waiting
    }
}
