//! Clients: each has one request, and comes again, elsewhere, until it is answered.

use super::{Failure, Happening, World};
use crate::invariant::Observation;
use crate::ledger;
use crate::scenario::SECOND;
use hypermesh_bft::{Event, Message, To};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Canonical, Hash};

/// How long a client waits before it comes again.
const PATIENCE: u64 = 2 * SECOND;

/// A client and its request.
#[derive(Debug)]
pub(super) struct Client {
    request: Request,
    digest: Hash,
    /// The replica that it waits for.
    at: Option<usize>,
    answered: bool,
}

impl Client {
    pub fn new(number: u64) -> Self {
        let request = ledger::request(number);
        let digest = request.digest();
        Self { request, digest, at: None, answered: false }
    }

    pub fn is_answered(&self) -> bool {
        self.answered
    }
}

impl World {
    /// A client goes to some replica that is up.
    pub(super) fn ask(&mut self, client: usize) -> Result<(), Failure> {
        let place = self.random.below(self.replicas.len() as u64) as usize;
        let Some(asking) = self.clients.get_mut(client) else { return Ok(()) };
        if asking.answered {
            return Ok(());
        }
        asking.at = Some(place);
        let (request, digest) = (asking.request.clone(), asking.digest);
        self.later(PATIENCE, Happening::Client(client));
        self.observe(&Observation::Issued(digest))?;
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if replica.life.is_none() {
            return Ok(());
        }
        if replica.ledger.has_ordered(&digest) {
            // It was ordered when it was asked for before: the first answer is given again.
            return self.answer(place, &[digest]);
        }
        replica.ledger.enqueue(request.clone());
        self.send(place, To::All, Message::Requests(vec![request.encode().into()]))?;
        self.drive(place, Event::Work(true))
    }

    /// A replica tells clients that wait at it what came of their requests. What a liar tells counts for nothing.
    pub(super) fn answer(&mut self, place: usize, ordered: &[Hash]) -> Result<(), Failure> {
        if !self.replicas.get(place).is_some_and(crate::replica::Replica::is_honest) {
            return Ok(());
        }
        let mut answered = Vec::new();
        for client in &mut self.clients {
            if client.at == Some(place) && !client.answered && ordered.contains(&client.digest) {
                client.answered = true;
                answered.push(client.digest);
            }
        }
        answered.iter().try_for_each(|digest| self.observe(&Observation::Acknowledged(*digest)))
    }

    /// A replica tells the others of what waits at it, in case they do not know.
    pub(super) fn gossip(&mut self, place: usize) {
        self.later(SECOND / 2, Happening::Gossip(place));
        let Some(replica) = self.replicas.get(place) else { return };
        let pending = replica.ledger.pending();
        if replica.life.is_some() && !pending.is_empty() {
            // Gossip is no statement, so nothing can be wrong with it.
            let _ = self.send(place, To::All, Message::Requests(pending));
        }
    }
}
