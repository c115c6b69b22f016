//! Clients: each writes and reads registers, one thing after another, and comes again, elsewhere, until it is answered.
//!
//! Some writes are signed by their author, and are the same request wherever they are brought. The others are made on the
//! word of the replica that takes them: brought to two, they are two, and may both be ordered.

use super::{Failure, Happening, World};
use crate::invariant::Observation;
use crate::ledger::requests::{self, Write};
use crate::linearize::Access;
use crate::replica::Incoming;
use crate::scenario::{Planted, SECOND, Scenario};
use hypermesh_bft::{Event, Message, To};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Canonical, Hash};
use std::collections::BTreeMap;

/// How long a client waits before it comes again.
const PATIENCE: u64 = 2 * SECOND;
/// Registers that there are.
const REGISTERS: u64 = 3;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    name: String,
    /// What it has yet to do, with what it does now.
    left: u64,
    /// Tells one try from another.
    attempt: u64,
    now: Option<Doing>,
}

/// What a client does.
#[derive(Debug)]
struct Doing {
    /// Its number among all operations.
    operation: u64,
    register: u64,
    since: u64,
    /// Where it was last.
    tried: Option<usize>,
    /// The requests that it has made of it, and their numbers among all operations.
    brought: BTreeMap<Hash, u64>,
    /// What it waits for, and where.
    at: Option<(usize, Wait)>,
    /// What it writes; nothing if it reads.
    write: Option<Written>,
}

/// A write.
#[derive(Clone, Debug)]
struct Written {
    value: u64,
    /// The same wherever it is brought; nothing if it is made on a replica's word.
    signed: Option<Request>,
}

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// That this request is ordered.
    Ordered(Hash),
    /// That this barrier is passed.
    Passed(u64),
}

impl Client {
    pub fn unanswered(&self) -> usize {
        self.left as usize
    }

    /// Since when it waits for an answer.
    pub fn since(&self) -> Option<u64> {
        self.now.as_ref().map(|doing| doing.since)
    }
}

/// All clients of a scenario: they share what is to be done.
pub(super) fn all(scenario: &Scenario) -> Vec<Client> {
    let count = scenario.clients.max(1);
    let share = |number| (scenario.requests + count - 1 - number) / count;
    (0..count)
        .map(|number| Client { name: requests::client(number), left: share(number), attempt: 0, now: None })
        .collect()
}

impl World {
    /// A client begins something, or goes elsewhere with what it has begun.
    pub(super) fn act_as(&mut self, place: usize, attempt: u64) -> Result<(), Failure> {
        let Some(client) = self.clients.get_mut(place).filter(|client| client.attempt == attempt) else {
            return Ok(());
        };
        if client.left == 0 {
            return Ok(());
        }
        client.attempt += 1;
        let attempt = client.attempt;
        self.later(PATIENCE, Happening::Client { client: place, attempt });
        if self.clients.get(place).is_some_and(|client| client.now.is_none()) {
            self.begin_operation(place)?;
        }
        let replica = self.elsewhere(place);
        if self.replicas.get(replica).is_none_or(|replica| replica.life.is_none()) {
            return Ok(());
        }
        let Some(doing) = self.clients.get(place).and_then(|client| client.now.as_ref()) else {
            return Ok(());
        };
        match doing.write.clone() {
            Some(written) => self.bring(place, replica, &written),
            None => self.read(place, replica),
        }
    }

    /// Some replica; after one that did not answer, the next.
    fn elsewhere(&mut self, place: usize) -> usize {
        let count = self.replicas.len();
        let drawn = self.random.below(count as u64) as usize;
        let doing = self.clients.get_mut(place).and_then(|client| client.now.as_mut());
        let Some(doing) = doing else { return drawn };
        let next = doing.tried.map_or(drawn, |tried| (tried + 1) % count.max(1));
        doing.tried = Some(next);
        next
    }

    fn begin_operation(&mut self, place: usize) -> Result<(), Failure> {
        let register = self.random.below(REGISTERS);
        let (writes, signs) = (self.random.chance(600), self.random.chance(600));
        let Some(name) = self.clients.get(place).map(|client| client.name.clone()) else { return Ok(()) };
        let operation = self.next_operation();
        let write = writes.then(|| {
            let value = operation;
            Written { value, signed: signs.then(|| requests::signed(&name, Write { register, value })) }
        });
        let what = || match &write {
            Some(written) => format!("{name} writes {} to register {register}", written.value),
            None => format!("{name} reads register {register}"),
        };
        self.tell(what);
        self.called(operation, register, write.as_ref().map(|written| written.value))?;
        let since = self.now;
        if let Some(client) = self.clients.get_mut(place) {
            client.now = Some(Doing {
                operation,
                register,
                since,
                tried: None,
                brought: BTreeMap::new(),
                at: None,
                write,
            });
        }
        Ok(())
    }

    /// Numbers of operations are the values of writes: none of them is 0.
    fn next_operation(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    fn called(&mut self, operation: u64, register: u64, write: Option<u64>) -> Result<(), Failure> {
        self.number += 1;
        let at = self.number;
        self.observe(&Observation::Called { operation, register, write, at })
    }

    /// A client brings a write to a replica.
    fn bring(&mut self, place: usize, at: usize, written: &Written) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(at) else { return Ok(()) };
        let Some(client) = self.clients.get(place) else { return Ok(()) };
        let Some(register) = client.now.as_ref().map(|doing| doing.register) else { return Ok(()) };
        let request = match &written.signed {
            Some(request) => request.clone(),
            None => {
                let (key, cluster) = (&replica.identity.key, &replica.identity.cluster);
                let value = written.value;
                requests::endorsed(&client.name, Write { register, value }, key, cluster)
            }
        };
        let digest = request.digest();
        let honest = replica.is_honest();
        self.brought(place, digest, written.value)?;
        if honest {
            self.issued.entry(digest).or_insert(self.height);
        }
        self.observe(&Observation::Issued(&request))?;
        if let Some(doing) = self.clients.get_mut(place).and_then(|client| client.now.as_mut()) {
            doing.at = Some((at, Wait::Ordered(digest)));
        }
        let Some(replica) = self.replicas.get_mut(at) else { return Ok(()) };
        if replica.ledger.has_ordered(&digest) {
            // It was ordered when it was asked for before: the first answer is given again.
            return self.answer_ordered(at, &[digest]);
        }
        replica.ledger.enqueue(request.clone());
        self.send(at, To::All, Message::Requests(vec![request.encode().into()]))?;
        self.drive(at, Incoming::Event(Event::Work(true)))
    }

    /// A write is an operation of its own for every request that may bring it about: one that was brought somewhere and
    /// never answered may be ordered whenever it likes.
    fn brought(&mut self, place: usize, digest: Hash, value: u64) -> Result<(), Failure> {
        let Some(doing) = self.clients.get_mut(place).and_then(|client| client.now.as_mut()) else {
            return Ok(());
        };
        let register = doing.register;
        if let Some(operation) = doing.brought.get(&digest) {
            doing.operation = *operation;
            return Ok(());
        }
        if !doing.brought.is_empty() {
            let operation = self.next_operation();
            self.called(operation, register, Some(value))?;
            if let Some(doing) = self.clients.get_mut(place).and_then(|client| client.now.as_mut()) {
                doing.operation = operation;
            }
        }
        if let Some(doing) = self.clients.get_mut(place).and_then(|client| client.now.as_mut()) {
            doing.brought.insert(digest, doing.operation);
        }
        Ok(())
    }

    /// A client asks a replica for a register.
    fn read(&mut self, place: usize, at: usize) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(at) else { return Ok(()) };
        replica.barriers += 1;
        let barrier = replica.barriers;
        let local = replica.planted == Some(Planted::LocalReads);
        if let Some(doing) = self.clients.get_mut(place).and_then(|client| client.now.as_mut()) {
            doing.at = Some((at, Wait::Passed(barrier)));
        }
        if local {
            return self.answer_passed(at, barrier);
        }
        self.drive(at, Incoming::Event(Event::Barrier(barrier)))
    }

    /// A replica tells clients that wait at it that their requests were ordered. What a liar tells counts for nothing.
    pub(super) fn answer_ordered(&mut self, at: usize, ordered: &[Hash]) -> Result<(), Failure> {
        self.answer(at, |wait| matches!(wait, Wait::Ordered(digest) if ordered.contains(&digest)))
    }

    /// A replica tells clients that read at it what is there, up to a barrier.
    pub(super) fn answer_passed(&mut self, at: usize, passed: u64) -> Result<(), Failure> {
        self.answer(at, |wait| matches!(wait, Wait::Passed(barrier) if barrier <= passed))
    }

    fn answer(&mut self, at: usize, is_due: impl Fn(Wait) -> bool) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(at).filter(|replica| replica.is_honest()) else {
            return Ok(());
        };
        let mut answered = Vec::new();
        for (place, client) in self.clients.iter_mut().enumerate() {
            let due = client
                .now
                .take_if(|doing| matches!(doing.at, Some((waits, wait)) if waits == at && is_due(wait)));
            if let Some(doing) = due {
                client.left -= 1;
                client.attempt += 1;
                let value = replica.ledger.register(doing.register);
                answered.push((place, client.attempt, value, doing));
            }
        }
        for (place, attempt, value, doing) in answered {
            self.finish(place, attempt, value, &doing)?;
        }
        Ok(())
    }

    fn finish(&mut self, place: usize, attempt: u64, value: u64, doing: &Doing) -> Result<(), Failure> {
        let pause = self.random.below(self.scenario.pause);
        self.later(pause, Happening::Client { client: place, attempt });
        self.number += 1;
        let access = match &doing.write {
            Some(written) => Access::Write(written.value),
            None => Access::Read(value),
        };
        self.coverage.count(match &doing.write {
            None => "reads",
            Some(Written { signed: Some(_), .. }) => "writes",
            Some(_) => "writes on a replica's word",
        });
        self.tell(|| format!("client-{place} is answered: {access:?}, register {}", doing.register));
        self.longest = self.longest.max(self.waited_since(doing.since));
        self.answered = self.now;
        let (operation, at) = (doing.operation, self.number);
        self.observe(&Observation::Returned { operation, access, at })?;
        match doing.at {
            Some((_, Wait::Ordered(digest))) => self.observe(&Observation::Acknowledged(digest)),
            _ => Ok(()),
        }
    }

    /// A replica tells the others of what waits at it, in case they do not know.
    pub(super) fn gossip(&mut self, place: usize) -> Result<(), Failure> {
        self.later(SECOND / 2, Happening::Gossip(place));
        let Some(replica) = self.replicas.get(place) else { return Ok(()) };
        let pending = replica.ledger.pending();
        if replica.life.is_none() || pending.is_empty() {
            return Ok(());
        }
        self.send(place, To::All, Message::Requests(pending))
    }
}
