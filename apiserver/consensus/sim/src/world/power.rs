//! Power, disks and clocks: how replicas lose them, and what is left.

use super::{Failure, Happening, World};
use crate::replica::{Busy, Incoming};
use crate::scenario::SECOND;
use hypermesh_bft::Event;

impl World {
    /// A disk has something to do, which takes time. With a number it is told when that is done.
    pub(super) fn disk_works(&mut self, place: usize) {
        let disks = self.scenario.disks;
        let mut after = self.random.between(disks.flush.0..disks.flush.1);
        if self.random.chance(disks.stalls) && !self.peace {
            after += self.random.below(disks.stall);
            self.coverage.count("stalls of a disk");
            self.tell(|| format!("the disk of r{place} stalls for {after} µs"));
        }
        let life = self.life_of(place);
        self.later(after, Happening::Disk { replica: place, number: life });
    }

    /// Tells one life of a replica from another: what was begun in one is not ended in the next.
    fn life_of(&self, place: usize) -> u64 {
        self.lives.get(place).copied().unwrap_or(0)
    }

    /// What a disk was doing is done.
    pub(super) fn disk_done(&mut self, place: usize, life: u64) -> Result<(), Failure> {
        if life != self.life_of(place) {
            return Ok(());
        }
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        let Some(busy) = replica.life.as_mut().and_then(|life| life.busy.take()) else { return Ok(()) };
        match busy {
            Busy::Flush => {
                if !self.peace && self.random.below(1_000_000) < self.scenario.disks.broken {
                    self.coverage.count("flushes that failed");
                    if let Some(replica) = self.replicas.get(place) {
                        replica.disk.break_flush();
                    }
                }
                self.logged(place, hypermesh_wal::Log::sync)?;
            }
            Busy::Commit(block, certificate) => self.commit(place, &block, &certificate)?,
        }
        self.pump(place)
    }

    /// A replica loses power.
    pub(super) fn crash(&mut self, place: usize) -> Result<(), Failure> {
        self.coverage.count("crashes");
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        let busy = replica.life.as_mut().and_then(|life| life.busy.take());
        match busy {
            Some(Busy::Flush) => {
                // It was being written: any part of it may be there.
                self.coverage.count("crashes while flushing");
                replica.disk.break_flush();
                if let Some(life) = &mut replica.life {
                    let _ = life.log.sync();
                }
            }
            Some(Busy::Commit(block, certificate)) => {
                // It is there, or it is not.
                self.coverage.count("crashes while keeping a block");
                if self.random.chance(500) && !replica.disk.is_full() {
                    self.commit(place, &block, &certificate)?;
                }
            }
            None => {}
        }
        self.go_down(place);
        let down = self.random.between(10_000..3 * SECOND);
        self.later(down, Happening::Up(place));
        Ok(())
    }

    fn go_down(&mut self, place: usize) {
        if let Some(life) = self.lives.get_mut(place) {
            *life += 1;
        }
        let Some(replica) = self.replicas.get_mut(place) else { return };
        replica.stop();
        let lost = replica.disk.crash(&mut self.random);
        self.tell(|| format!("r{place} is down, with {lost} bytes that were not flushed"));
    }

    /// Everybody who is up loses power.
    pub(super) fn outage(&mut self) -> Result<(), Failure> {
        self.coverage.count("power failures of all");
        for place in 0..self.replicas.len() {
            if self.replicas.get(place).is_some_and(|replica| replica.life.is_some()) {
                self.crash(place)?;
            }
        }
        Ok(())
    }

    /// A replica cannot write, and stops by itself. That is a fault unless its disk is why.
    pub(super) fn halted(&mut self, place: usize, why: &str) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(place) else { return Ok(()) };
        let (full, broken) = (replica.disk.is_full(), replica.disk.is_broken());
        if !full && !broken {
            return Err(self.failure("log", format!("replica {place}: {why}")));
        }
        self.tell(|| format!("r{place} halts: {why}"));
        self.go_down(place);
        if full {
            self.coverage.count("halts on a full disk");
        } else {
            let down = self.random.between(10_000..SECOND);
            self.later(down, Happening::Up(place));
        }
        Ok(())
    }

    /// Some disk has no room for a while.
    pub(super) fn fill_disk(&mut self) {
        let place = self.random.below(self.replicas.len() as u64) as usize;
        let lasts = self.random.between(SECOND / 2..4 * SECOND);
        if self.peace {
            return;
        }
        self.tell(|| format!("the disk of r{place} is full"));
        if let Some(replica) = self.replicas.get(place) {
            replica.disk.set_full(true);
        }
        self.later(lasts, Happening::Room(place));
    }

    /// A disk has room again, and a replica that halted comes up.
    pub(super) fn make_room(&mut self, place: usize) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(place).filter(|replica| replica.disk.is_full()) else {
            return Ok(());
        };
        replica.disk.set_full(false);
        self.tell(|| format!("the disk of r{place} has room"));
        self.up(place)
    }

    /// Some clock that is sound is set anew.
    pub(super) fn set_clock(&mut self) {
        let place = self.random.below(self.replicas.len() as u64) as usize;
        let most = self.scenario.skew;
        let skew = self.random.below(2 * most + 1) as i64 - most as i64;
        let wrong = self.scenario.wrong_clock.is_some_and(|(wrong, _)| wrong == place);
        if let Some(replica) = self.replicas.get_mut(place).filter(|_| !wrong) {
            replica.skew = skew;
            self.coverage.count("clocks that were set anew");
        }
    }

    /// A replica comes up, from its disk alone.
    pub(super) fn up(&mut self, place: usize) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(place) else { return Ok(()) };
        if replica.life.is_some() {
            return Ok(());
        }
        match replica.start() {
            Ok(wrong) => wrong.into_iter().for_each(|what| self.coverage.count(what)),
            // It tries again when there is room.
            Err(_) if replica.disk.is_full() => return Ok(()),
            Err(why) => return self.stopped(place, &why),
        }
        self.tell(|| format!("r{place} is up"));
        for other in (0..self.replicas.len()).filter(|other| *other != place) {
            let key = self.replicas.get(other).map(|replica| replica.identity.key.public());
            if let (Some(key), Some(life)) =
                (key, self.replicas.get_mut(place).and_then(|replica| replica.life.as_mut()))
            {
                life.inbox.push_back(Incoming::Event(Event::Connected(key)));
            }
        }
        self.pump(place)?;
        let key = self.replicas.get(place).map(|replica| replica.identity.key.public());
        for other in (0..self.replicas.len()).filter(|other| *other != place) {
            if let Some(key) = key {
                self.drive(other, Incoming::Event(Event::Connected(key)))?;
            }
        }
        Ok(())
    }
}
