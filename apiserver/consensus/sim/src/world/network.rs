//! Between replicas: messages that are delayed, lost, doubled and overtaken, links that are cut, replicas that are parted.

use super::{Failure, Happening, World};
use crate::behaviour::Actor;
use crate::invariant::Observation;
use crate::replica::{Incoming, right_clock};
use hypermesh_bft::{Event, Message, To};
use std::rc::Rc;

impl World {
    /// Sends what a replica wants sent, or what it makes of it if it lies.
    pub(super) fn send(&mut self, from: usize, to: To, message: Message) -> Result<(), Failure> {
        let others: Vec<usize> = (0..self.replicas.len()).filter(|place| *place != from).collect();
        let to: Vec<usize> = match to {
            To::All => others.clone(),
            To::One(key) => self.places.get(&key).copied().into_iter().collect(),
        };
        let Some(replica) = self.replicas.get_mut(from) else { return Ok(()) };
        let Some(behaviour) = &mut replica.behaviour else {
            let (key, clock) = (replica.identity.key.public(), right_clock(self.now));
            self.observe(&Observation::Said { key, message: &message, clock })?;
            return self.post(from, &to, &message);
        };
        let actor = Actor { identity: &replica.identity, others: &others };
        let sent = behaviour.send(actor, &to, message, &mut self.random);
        sent.into_iter().try_for_each(|(to, message)| self.post(from, &[to], &message))
    }

    fn post(&mut self, from: usize, to: &[usize], message: &Message) -> Result<(), Failure> {
        let bytes: Rc<[u8]> = message.encode().into();
        self.record(&bytes);
        self.tell(|| super::tell::sent(from, to, message));
        to.iter().for_each(|to| self.carry(from, *to, &bytes));
        Ok(())
    }

    fn carry(&mut self, from: usize, to: usize, bytes: &Rc<[u8]>) {
        if from == to {
            return;
        }
        if self.cut.contains(&(from, to)) || (!self.peace && self.random.chance(self.scenario.loss)) {
            self.coverage.count("messages that were lost");
            return;
        }
        let twice = !self.peace && self.random.chance(self.scenario.doubled);
        self.coverage.add("messages that came twice", u64::from(twice));
        for _ in 0..1 + u64::from(twice) {
            let (least, most) = if self.peace { (100, 2_000) } else { self.scenario.delay };
            let far = !self.peace && self.scenario.far == Some(to);
            let after = self.random.between(least..most) * if far { 10 } else { 1 };
            self.later(after, Happening::Arrival { from, to, bytes: Rc::clone(bytes) });
        }
    }

    pub(super) fn arrive(&mut self, from: usize, to: usize, bytes: &[u8]) -> Result<(), Failure> {
        let Some(sender) = self.replicas.get(from) else { return Ok(()) };
        let (key, honest) = (sender.identity.key.public(), sender.is_honest());
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(_) if !honest => {
                self.coverage.count("messages that do not decode");
                return Ok(());
            }
            Err(error) => return Err(self.failure("codec", format!("what replica {from} sent: {error}"))),
        };
        let others: Vec<usize> = (0..self.replicas.len()).filter(|place| *place != to).collect();
        let Some(replica) = self.replicas.get_mut(to) else { return Ok(()) };
        if let Some(behaviour) = &mut replica.behaviour {
            behaviour.hear(Actor { identity: &replica.identity, others: &others }, &message);
        }
        self.drive(to, Incoming::Event(Event::Received { from: key, message }))
    }

    /// Cuts a link for a time, more often in both directions than in one.
    pub(super) fn cut_link(&mut self) {
        if self.peace {
            return;
        }
        let count = self.replicas.len() as u64;
        let (a, b) = (self.random.below(count) as usize, self.random.below(count) as usize);
        let lasts = self.random.between(50_000..1_500_000);
        let both = self.random.chance(600);
        if a != b {
            self.coverage.count(if both {
                "links that were cut in both"
            } else {
                "links that were cut in one direction"
            });
            self.cut_for(lasts, [(a, b), (b, a)].into_iter().take(1 + usize::from(both)));
        }
        let again = self.random.between(1..2 * self.scenario.cuts.max(1));
        self.later(again, Happening::Cut);
    }

    /// Parts the replicas into two groups for a time.
    pub(super) fn split(&mut self) {
        let count = self.replicas.len();
        let side = self.random.between(1..(1 << count) - 1);
        let one_way = self.random.chance(500);
        let lasts = self.random.between(200_000..4_000_000);
        if self.peace || count < 2 {
            return;
        }
        let is_first = |place: usize| side & (1 << place) != 0;
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let across = pairs.filter(|(a, b)| is_first(*a) != is_first(*b) && (!one_way || is_first(*a)));
        self.coverage.count(if one_way { "partitions in one direction" } else { "partitions in both" });
        self.cut_for(lasts, across);
    }

    fn cut_for(&mut self, lasts: u64, links: impl Iterator<Item = (usize, usize)>) {
        for (from, to) in links {
            self.tell(|| format!("r{from} cannot reach r{to} for {lasts} µs"));
            self.cut.insert((from, to));
            self.later(lasts, Happening::Mended { from, to });
        }
    }
}
