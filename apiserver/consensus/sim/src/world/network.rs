//! Between replicas: messages that are delayed, lost, doubled and overtaken, links that are cut.

use super::{Failure, Happening, World};
use crate::behaviour::Actor;
use crate::invariant::Observation;
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
        let sent = match &mut replica.behaviour {
            Some(behaviour) => {
                let actor = Actor { identity: &replica.identity, others: &others };
                behaviour.send(actor, &to, message, &mut self.random)
            }
            None => {
                let key = replica.identity.key.public();
                self.observe(&Observation::Said { key, message: &message })?;
                to.iter().map(|place| (*place, message.clone())).collect()
            }
        };
        for (to, message) in sent {
            let bytes = message.encode();
            self.record(&bytes);
            self.carry(from, to, &bytes.into());
        }
        Ok(())
    }

    fn carry(&mut self, from: usize, to: usize, bytes: &Rc<[u8]>) {
        if from == to
            || self.cut.contains(&(from, to))
            || (!self.peace && self.random.chance(self.scenario.loss))
        {
            return;
        }
        let copies = 1 + u64::from(!self.peace && self.random.chance(self.scenario.doubled));
        for _ in 0..copies {
            let (least, most) = if self.peace { (100, 2_000) } else { self.scenario.delay };
            let after = self.random.between(least..most);
            self.later(after, Happening::Arrival { from, to, bytes: Rc::clone(bytes) });
        }
    }

    pub(super) fn arrive(&mut self, from: usize, to: usize, bytes: &[u8]) -> Result<(), Failure> {
        let Some(sender) = self.replicas.get(from).map(|replica| replica.identity.key.public()) else {
            return Ok(());
        };
        match Message::decode(bytes) {
            Ok(message) => self.drive(to, Event::Received { from: sender, message }),
            Err(error) => Err(self.failure("codec", format!("what replica {from} sent: {error}"))),
        }
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
            for (from, to) in [(a, b), (b, a)].into_iter().take(1 + usize::from(both)) {
                self.cut.insert((from, to));
                self.later(lasts, Happening::Mended { from, to });
            }
        }
        let again = self.random.between(1..2 * self.scenario.cuts.max(1));
        self.later(again, Happening::Cut);
    }
}
