//! Proposes what nobody asked for, in the name of a client or on nobody's word, and once more what was ordered before. The
//! blocks are executed rightly, and their headers are right: only that they may not be is wrong with them.

use super::{Actor, Behaviour, MADE_UP};
use crate::ledger::requests::{self, Write};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_chain::Canonical;
use hypermesh_chain::request::Request;

/// Requests that are remembered.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Unauthorized {
    /// Some that others told of: by and by they are ordered.
    heard: Vec<Request>,
}

impl Behaviour for Unauthorized {
    fn compose(&mut self, _actor: Actor<'_>, mut waiting: Vec<Request>, random: &mut Random) -> Vec<Request> {
        let number = MADE_UP + random.below(1000);
        let write = Write { register: random.below(3), value: number };
        let more = match random.below(4) {
            0 => Some(requests::forged(&requests::client(0), write)),
            1 => random.pick(&self.heard).cloned(),
            2 => waiting.first().cloned(),
            _ => None,
        };
        waiting.splice(..0, more);
        waiting
    }

    fn hear(&mut self, _actor: Actor<'_>, message: &Message) {
        if let Message::Requests(requests) = message {
            let room = MOST.saturating_sub(self.heard.len());
            self.heard.extend(requests.iter().filter_map(|bytes| Request::decode(bytes).ok()).take(room));
        }
    }
}
