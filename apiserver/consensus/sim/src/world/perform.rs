//! What an engine wants done is done, one thing after another; between any two of them the replica may crash, and while its
//! disk works it waits.

use super::{Failure, Happening, World};
use crate::behaviour::Actor;
use crate::invariant::Observation;
use crate::replica::{Busy, Incoming, chain, right_clock};
use crate::scenario::Planted;
use hypermesh_bft::{Action, Event, Timer};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Block, Canonical, Certificate, Hash};

/// Of so many events that a replica takes, what it holds is looked at after one.
const LOOK: u64 = 16;

impl World {
    /// Hands something to a replica, and does what that leads to. A replica that is down sees nothing.
    pub(super) fn drive(&mut self, place: usize, incoming: Incoming) -> Result<(), Failure> {
        let Some(life) = self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()) else {
            return Ok(());
        };
        life.inbox.push_back(incoming);
        self.pump(place)
    }

    /// Lets a replica work until it has nothing to do, waits for its disk, or is down.
    pub(super) fn pump(&mut self, place: usize) -> Result<(), Failure> {
        loop {
            let Some(life) = self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()) else {
                return Ok(());
            };
            if life.busy.is_some() {
                return Ok(());
            }
            if let Some(action) = life.actions.pop_front() {
                self.begin_action(place, action)?;
                continue;
            }
            let event =
                match life.outcomes.pop_front().map(Incoming::Event).or_else(|| life.inbox.pop_front()) {
                    Some(Incoming::Event(event)) => event,
                    Some(Incoming::Timer(timer, number)) => {
                        if life.timers.get(&timer) != Some(&number) {
                            continue;
                        }
                        life.timers.remove(&timer);
                        Event::Elapsed(timer)
                    }
                    None => return Ok(()),
                };
            match life.engine.handle(event) {
                Ok(actions) => life.actions.extend(actions),
                Err(error) => return self.stopped(place, &chain(&error)),
            }
            self.look(place)?;
        }
    }

    fn look(&mut self, replica: usize) -> Result<(), Failure> {
        if !self.happenings.is_multiple_of(LOOK) {
            return Ok(());
        }
        let Some(life) = self.replicas.get(replica).and_then(|replica| replica.life.as_ref()) else {
            return Ok(());
        };
        let kept = life.engine.kept();
        self.observe(&Observation::Holds { replica, kept: &kept })
    }

    /// An action is next. If the replica is to crash before it, or in the middle of it, it does.
    fn begin_action(&mut self, place: usize, action: Action) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        let number = replica.actions;
        replica.actions += 1;
        let on_disk = matches!(action, Action::Sync | Action::Commit { .. });
        let often = if on_disk { 5 } else { 1 };
        let drawn = self.random.below(1_000_000) < self.scenario.crashes * often;
        let by_chance = drawn && !self.peace && self.replicas.len() > 1;
        let chosen = self.scenario.crash_at.filter(|at| (at.replica, at.action) == (place, number));
        if !by_chance && chosen.is_none() {
            return self.act(place, action);
        }
        if on_disk {
            self.act(place, action)?;
        }
        if chosen.is_some_and(|at| at.all) { self.outage() } else { self.crash(place) }
    }

    fn act(&mut self, place: usize, action: Action) -> Result<(), Failure> {
        let now = self.now;
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        let Some(life) = &mut replica.life else { return Ok(()) };
        match action {
            Action::Log(entry) => self.logged(place, |log| log.append(&entry)),
            Action::Sync if replica.planted == Some(Planted::UnflushedLog) => Ok(()),
            Action::Sync => {
                life.busy = Some(Busy::Flush);
                self.disk_works(place);
                Ok(())
            }
            Action::Restart => self.logged(place, hypermesh_wal::Log::restart),
            Action::Send(to, message) => self.send(place, to, message),
            Action::Start(timer, after) => {
                let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                self.start_timer(place, timer, after);
                Ok(())
            }
            Action::Stop(timer) => {
                life.timers.remove(&timer);
                Ok(())
            }
            Action::StopSteps => {
                life.timers.retain(|timer, _| !matches!(timer, Timer::Step(..)));
                Ok(())
            }
            Action::Prepare => {
                self.prepare(place);
                Ok(())
            }
            Action::Judge { block, fresh } => {
                let (clock, id) = (replica.clock(now), block.header.id(&replica.identity.cluster));
                let verdict = replica.ledger.judge(&block, fresh.then_some(clock));
                if let Err(why) = &verdict {
                    self.coverage.count("blocks that were found invalid");
                    self.tell(|| format!("r{place} finds block {} invalid: {why}", super::tell::short(&id)));
                }
                self.outcome(place, Event::Judged { block: id, verdict });
                Ok(())
            }
            Action::Commit { block, certificate } => {
                life.busy = Some(Busy::Commit(block, certificate));
                self.disk_works(place);
                Ok(())
            }
            Action::Forget(block) => {
                replica.ledger.forget(&block);
                Ok(())
            }
            Action::Load { from, most, to } => {
                let skipped = (from.0 as usize).saturating_sub(1);
                let blocks: Vec<_> =
                    replica.ledger.kept().blocks.iter().skip(skipped).take(most).cloned().collect();
                self.coverage.add("blocks that were caught up with", blocks.len() as u64);
                self.outcome(place, Event::Loaded { to, blocks });
                Ok(())
            }
            Action::Requests { requests, .. } => {
                for request in requests.iter().filter_map(|bytes| Request::decode(bytes).ok()) {
                    replica.ledger.enqueue(request);
                }
                let work = replica.ledger.has_work();
                self.outcome(place, Event::Work(work));
                Ok(())
            }
            Action::Passed(barrier) => self.answer_passed(place, barrier),
            Action::Evidence(evidence) => {
                self.coverage.count("contradictions that were proven");
                self.tell(|| format!("r{place} has proof against {}", evidence.key()));
                self.observe(&Observation::Accused(&evidence))
            }
        }
    }

    fn outcome(&mut self, place: usize, event: Event) {
        if let Some(life) = self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()) {
            life.outcomes.push_back(event);
        }
    }

    pub(super) fn logged(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut hypermesh_wal::Log<crate::disk::VirtualDisk>) -> Result<(), hypermesh_wal::WalError>,
    ) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        let Some(life) = &mut replica.life else { return Ok(()) };
        match act(&mut life.log) {
            Ok(()) => Ok(()),
            Err(error) => self.halted(place, &chain(&error)),
        }
    }

    fn start_timer(&mut self, place: usize, timer: Timer, after: u64) {
        self.later(after, Happening::Timer { replica: place, timer, number: self.number + 1 });
        let number = self.number;
        if let Some(life) = self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()) {
            life.timers.insert(timer, number);
        }
    }

    fn prepare(&mut self, place: usize) {
        let others: Vec<usize> = (0..self.replicas.len()).filter(|other| *other != place).collect();
        let Some(replica) = self.replicas.get_mut(place) else { return };
        let mut clock = replica.clock(self.now);
        let random = &mut self.random;
        let block = match &mut replica.behaviour {
            None => replica.ledger.prepare(clock, |waiting| waiting),
            Some(behaviour) => {
                clock.0 = clock.0.saturating_add_signed(behaviour.dates_by(random));
                let actor = Actor { identity: &replica.identity, others: &others };
                replica.ledger.prepare(clock, |waiting| behaviour.compose(actor, waiting, random))
            }
        };
        self.outcome(place, Event::Prepared(block));
    }

    /// A block is on the disk, for good.
    pub(super) fn commit(
        &mut self,
        place: usize,
        id: &Hash,
        certificate: &Certificate,
    ) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if replica.disk.is_full() {
            return self.halted(place, "its store has no room");
        }
        if let Err(why) = replica.ledger.commit(id, certificate) {
            return self.stopped(place, &why);
        }
        let (root, head, work) = (replica.ledger.root(), replica.ledger.head(), replica.ledger.has_work());
        let honest = replica.is_honest();
        let bytes = replica.ledger.kept().blocks.last().map(|(bytes, _)| bytes.clone()).unwrap_or_default();
        if let Some(life) = &mut replica.life {
            life.outcomes.push_back(Event::Committed { head, work });
        }
        self.record(&id.0);
        let block = Block::decode(&bytes).map_err(|error| self.failure("codec", error.to_string()))?;
        let digests: Vec<Hash> = block.requests.iter().map(Request::digest).collect();
        self.tell(|| super::tell::kept(place, id, &block, certificate));
        self.count_height(block.header.height.0, certificate.round, &digests);
        if honest {
            let clock = right_clock(self.now);
            self.observe(&Observation::Kept {
                replica: place,
                id: *id,
                block: &block,
                certificate,
                root,
                clock,
            })?;
        }
        self.answer_ordered(place, &digests)
    }

    fn count_height(&mut self, height: u64, round: u32, digests: &[Hash]) {
        if height <= self.height {
            return;
        }
        self.height = height;
        self.coverage.count("heights");
        self.coverage.add("heights decided in a later round", u64::from(round > 0));
        self.coverage.add("rounds that were entered", u64::from(round));
        for issued in digests.iter().filter_map(|digest| self.issued.get(digest)) {
            self.waited = self.waited.max(height - issued);
        }
    }

    /// An honest replica that stops is a fault; a liar may.
    pub(super) fn stopped(&mut self, place: usize, why: &str) -> Result<(), Failure> {
        self.tell(|| format!("r{place} stops: {why}"));
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        replica.stop();
        if replica.is_honest() {
            return Err(self.failure("nobody stops", format!("replica {place}: {why}")));
        }
        Ok(())
    }
}
