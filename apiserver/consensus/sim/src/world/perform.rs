//! What an engine wants done is done, one thing after another; between any two of them the replica may crash.

use super::{Failure, Happening, World};
use crate::invariant::Observation;
use crate::scenario::{Planted, SECOND};
use hypermesh_bft::{Action, Event, Timer};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Block, Canonical, Certificate, Hash};
use std::collections::VecDeque;

impl World {
    pub(super) fn perform(
        &mut self,
        place: usize,
        actions: Vec<Action>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Failure> {
        for action in actions {
            let due = !self.peace && self.random.below(1_000_000) < self.scenario.crashes;
            if due && self.replicas.len() > 1 {
                self.crash(place);
                events.clear();
                return Ok(());
            }
            self.act(place, action, events)?;
        }
        Ok(())
    }

    fn act(&mut self, place: usize, action: Action, events: &mut VecDeque<Event>) -> Result<(), Failure> {
        let now = self.now;
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if replica.life.is_none() {
            return Ok(());
        }
        match action {
            Action::Log(entry) => self.logged(place, |log| log.append(&entry)),
            Action::Sync if replica.planted == Some(Planted::UnflushedLog) => Ok(()),
            Action::Sync => self.logged(place, hypermesh_wal::Log::sync),
            Action::Restart => self.logged(place, hypermesh_wal::Log::restart),
            Action::Send(to, message) => self.send(place, to, message),
            Action::Start(timer, after) => {
                let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                self.start_timer(place, timer, after);
                Ok(())
            }
            Action::Stop(timer) => {
                replica.timers.remove(&timer);
                Ok(())
            }
            Action::StopSteps => {
                replica.timers.retain(|timer, _| !matches!(timer, Timer::Step(..)));
                Ok(())
            }
            Action::Prepare => {
                let clock = replica.clock(now);
                events.push_back(Event::Prepared(replica.ledger.prepare(clock)));
                Ok(())
            }
            Action::Judge { block, fresh } => {
                let clock = fresh.then(|| replica.clock(now));
                let id = block.header.id(&replica.identity.cluster);
                let verdict = replica.ledger.judge(&block, clock);
                events.push_back(Event::Judged { block: id, verdict });
                Ok(())
            }
            Action::Commit { block, certificate } => self.commit(place, &block, &certificate, events),
            Action::Forget(block) => {
                replica.ledger.forget(&block);
                Ok(())
            }
            Action::Load { from, most, to } => {
                let skipped = (from.0 as usize).saturating_sub(1);
                let blocks = replica.ledger.kept().blocks.iter().skip(skipped).take(most).cloned().collect();
                events.push_back(Event::Loaded { to, blocks });
                Ok(())
            }
            Action::Requests { requests, .. } => {
                for bytes in requests {
                    if let Ok(request) = Request::decode(&bytes) {
                        replica.ledger.enqueue(request);
                    }
                }
                let work = replica.ledger.has_work();
                events.push_back(Event::Work(work));
                Ok(())
            }
            // Nobody reads here.
            Action::Passed(_) => Ok(()),
            Action::Evidence(evidence) => {
                self.evidence += 1;
                self.check_evidence(place, &evidence)
            }
        }
    }

    fn logged(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut hypermesh_wal::Log<crate::disk::VirtualDisk>) -> Result<(), hypermesh_wal::WalError>,
    ) -> Result<(), Failure> {
        let Some(life) = self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()) else {
            return Ok(());
        };
        act(&mut life.log).map_err(|error| self.failure("log", format!("replica {place}: {error}")))
    }

    fn start_timer(&mut self, place: usize, timer: Timer, after: u64) {
        self.later(after, Happening::Timer { replica: place, timer, number: self.number + 1 });
        let number = self.number;
        if let Some(replica) = self.replicas.get_mut(place) {
            replica.timers.insert(timer, number);
        }
    }

    fn commit(
        &mut self,
        place: usize,
        id: &Hash,
        certificate: &Certificate,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if let Err(why) = replica.ledger.commit(id, certificate) {
            return self.stopped(place, &why);
        }
        let root = replica.ledger.root();
        let (head, work) = (replica.ledger.head(), replica.ledger.has_work());
        events.push_back(Event::Committed { head, work });
        let honest = replica.is_honest();
        let bytes = replica.ledger.kept().blocks.last().map(|(bytes, _)| bytes.clone()).unwrap_or_default();
        self.record(&id.0);
        let block = Block::decode(&bytes).map_err(|error| self.failure("codec", error.to_string()))?;
        if honest {
            self.observe(&Observation::Kept { replica: place, id: *id, block: &block, root })?;
        }
        let digests: Vec<Hash> = block.requests.iter().map(Request::digest).collect();
        self.answer(place, &digests)
    }

    /// Evidence is against liars, and holds.
    fn check_evidence(&mut self, place: usize, evidence: &hypermesh_chain::Evidence) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(place) else { return Ok(()) };
        let accused = self.places.get(&evidence.key()).and_then(|place| self.replicas.get(*place));
        let honest = accused.is_none_or(crate::replica::Replica::is_honest);
        if evidence.verify(&replica.identity.cluster).is_err() || honest {
            return Err(self.failure("evidence", format!("it accuses {}", evidence.key())));
        }
        Ok(())
    }

    /// A replica loses power.
    pub(super) fn crash(&mut self, place: usize) {
        self.crashes += 1;
        let down = self.random.between(10_000..3 * SECOND);
        let Some(replica) = self.replicas.get_mut(place) else { return };
        replica.stop();
        replica.disk.crash(&mut self.random);
        self.later(down, Happening::Up(place));
    }

    /// Everybody who is up loses power.
    pub(super) fn outage(&mut self) {
        for place in 0..self.replicas.len() {
            if self.replicas.get(place).is_some_and(|replica| replica.life.is_some()) {
                self.crash(place);
            }
        }
    }

    /// A replica comes up, from its disk alone.
    pub(super) fn up(&mut self, place: usize) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if replica.life.is_some() {
            return Ok(());
        }
        let actions = match replica.start() {
            Ok(actions) => actions,
            Err(why) => return self.stopped(place, &why),
        };
        let mut events = VecDeque::new();
        self.perform(place, actions, &mut events)?;
        for other in (0..self.replicas.len()).filter(|other| *other != place) {
            let key = self.replicas.get(other).map(|replica| replica.identity.key.public());
            events.extend(key.map(Event::Connected));
        }
        for event in events {
            self.drive(place, event)?;
        }
        for other in (0..self.replicas.len()).filter(|other| *other != place) {
            let key = self.replicas.get(place).map(|replica| replica.identity.key.public());
            if let Some(key) = key {
                self.drive(other, Event::Connected(key))?;
            }
        }
        Ok(())
    }
}
