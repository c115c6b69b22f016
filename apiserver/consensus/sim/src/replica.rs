//! A replica of a simulation: its disk, its state machine, and, while it is up, its engine and its log.

use crate::behaviour::Behaviour;
use crate::disk::VirtualDisk;
use crate::ledger::Ledger;
use crate::scenario::Planted;
use hypermesh_bft::entry::Entry;
use hypermesh_bft::{Action, Engine, Identity, Timer, Timing};
use hypermesh_chain::Timestamp;
use hypermesh_wal::Log;
use std::collections::BTreeMap;

/// Microseconds since the epoch at which a simulation begins.
const BEGINNING: u64 = 1_767_225_600_000_000;

/// A replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub identity: Identity,
    pub disk: VirtualDisk,
    pub ledger: Ledger,
    /// What it has while it is up.
    pub life: Option<Life>,
    /// By how much its clock is ahead of the simulation's, in microseconds.
    pub skew: i64,
    /// How it lies; nothing if it is honest.
    pub behaviour: Option<Box<dyn Behaviour>>,
    /// The timers that run, by the number of their start.
    pub timers: BTreeMap<Timer, u64>,
    /// A fault that it has.
    pub planted: Option<Planted>,
}

/// What a replica has while it is up.
#[derive(Debug)]
pub(crate) struct Life {
    pub engine: Engine,
    pub log: Log<VirtualDisk>,
}

impl Replica {
    pub fn is_honest(&self) -> bool {
        self.behaviour.is_none()
    }

    /// What its clock shows.
    pub fn clock(&self, now: u64) -> Timestamp {
        Timestamp((BEGINNING + now).saturating_add_signed(self.skew))
    }

    /// Begins, or begins again: from its disk alone. The actions are those that its log leads to.
    pub fn start(&mut self) -> Result<Vec<Action>, String> {
        if self.planted == Some(Planted::ForgottenLog) {
            self.disk.replace();
        }
        let (log, recovered) = Log::open(self.disk.clone()).map_err(|error| error.to_string())?;
        let head = self.ledger.head();
        let mut engine =
            Engine::new(self.identity.clone(), head, Timing::default()).map_err(|error| error.to_string())?;
        let mut entries = recovered.entries;
        if self.planted == Some(Planted::ForgottenLock) {
            let key = self.identity.key.public();
            let own = |entry: &Vec<u8>| matches!(Entry::decode(entry), Some(Entry::Vote(vote)) if vote.voter == key);
            entries.retain(own);
        }
        let actions = engine.recover(&entries, false).map_err(|error| error.to_string())?;
        self.life = Some(Life { engine, log });
        Ok(actions)
    }

    /// Stops at once.
    pub fn stop(&mut self) {
        self.life = None;
        self.timers.clear();
        self.ledger.crash();
    }
}
