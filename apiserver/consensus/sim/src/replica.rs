//! A replica of a simulation: its disk, its state machine, and, while it is up, its engine and its log.

use crate::behaviour::Behaviour;
use crate::disk::VirtualDisk;
use crate::ledger::Ledger;
use crate::scenario::Planted;
use hypermesh_bft::entry::Entry;
use hypermesh_bft::{Action, Engine, Event, Identity, Timer, Timing};
use hypermesh_chain::{Certificate, Hash, Timestamp};
use hypermesh_wal::Log;
use std::collections::{BTreeMap, VecDeque};

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
    /// A fault that it has.
    pub planted: Option<Planted>,
    /// Whether every crash takes its log with it, which it knows.
    pub loses_log: bool,
    /// Whether it ever was up.
    pub began: bool,
    /// Actions that it has begun, in all its lives.
    pub actions: u64,
    /// Barriers that it has asked for, in all its lives.
    pub barriers: u64,
}

/// What a replica has while it is up.
#[derive(Debug)]
pub(crate) struct Life {
    pub engine: Engine,
    pub log: Log<VirtualDisk>,
    /// What is to be done, in order.
    pub actions: VecDeque<Action>,
    /// What own actions came to: it goes before what comes from outside.
    pub outcomes: VecDeque<Event>,
    pub inbox: VecDeque<Incoming>,
    /// What it waits for before it does anything else.
    pub busy: Option<Busy>,
    /// The timers that run, by the number of their start.
    pub timers: BTreeMap<Timer, u64>,
}

/// Something that comes to a replica from outside.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    Event(Event),
    /// A timer went off, if it is still the one that was started.
    Timer(Timer, u64),
}

/// What a disk does.
#[derive(Clone, Debug)]
pub(crate) enum Busy {
    /// It flushes the log.
    Flush,
    /// It keeps a block.
    Commit(Hash, Certificate),
}

/// Microseconds since the epoch that a right clock shows.
pub(crate) fn right_clock(now: u64) -> u64 {
    BEGINNING + now
}

impl Replica {
    pub fn is_honest(&self) -> bool {
        self.behaviour.is_none()
    }

    /// What its clock shows.
    pub fn clock(&self, now: u64) -> Timestamp {
        Timestamp(right_clock(now).saturating_add_signed(self.skew))
    }

    /// Whether a crash takes its log with it.
    fn forgets(&self) -> bool {
        self.planted == Some(Planted::ForgottenLog)
            || self.behaviour.as_ref().is_some_and(|behaviour| !behaviour.remembers())
    }

    /// Begins, or begins again: from its disk alone, with what its log leads to still to be done. Tells what was wrong with
    /// the log.
    pub fn start(&mut self) -> Result<Option<&'static str>, String> {
        let lost = self.loses_log && self.began;
        if lost || self.forgets() {
            self.disk.replace();
        }
        let (log, recovered) = Log::open(self.disk.clone()).map_err(|error| chain(&error))?;
        let head = self.ledger.head();
        let mut engine =
            Engine::new(self.identity.clone(), head, Timing::default()).map_err(|error| chain(&error))?;
        let mut entries = recovered.entries;
        if self.planted == Some(Planted::ForgottenLock) {
            let key = self.identity.key.public();
            let own = |entry: &Vec<u8>| matches!(Entry::decode(entry), Some(Entry::Vote(vote)) if vote.voter == key);
            entries.retain(own);
        }
        let actions = engine.recover(&entries, lost).map_err(|error| chain(&error))?.into();
        let (outcomes, inbox, timers) = (VecDeque::new(), VecDeque::new(), BTreeMap::new());
        self.life = Some(Life { engine, log, actions, outcomes, inbox, busy: None, timers });
        self.began = true;
        let torn = recovered.torn.map(|_| "frames that were torn");
        Ok(if lost { Some("logs that were lost") } else { torn })
    }

    /// Stops at once.
    pub fn stop(&mut self) {
        self.life = None;
        self.ledger.crash();
    }
}

/// An error and what led to it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
