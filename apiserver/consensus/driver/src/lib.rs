//! Does what an engine of many replicas wants done: to a log and to a state machine.
//!
//! A [`Driver`] holds the three together. Events go in; what goes out is for the world around it: messages to send, timers
//! to start and stop, requests that others told of. It owns no clock, thread or socket.
//!
//! What is logged is sealed by whoever has a key for it ([`Sealer`]): the log holds requests, and a disk is not private.
//!
//! The order of actions is kept: nothing is given out that stands behind a flush before the flush has succeeded. After a
//! failure nothing more is done, and nothing more is said: a replica that does not know what it has written, or whose
//! machine failed half-way, is silent until its process begins anew.

use hypermesh_bft::event::{Action, Event, Head, Timer, To};
use hypermesh_bft::{Engine, EngineError, Identity, Message, Timing};
use hypermesh_chain::{Canonical, Height, PublicKey, Timestamp};
use hypermesh_consensus::{Limits, Proposal, StateMachine, Verdict};
use hypermesh_wal::{Disk, Log, Torn, WalError};
use std::collections::VecDeque;
use std::time::Duration;
use thiserror::Error;

/// What the world around a replica has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send(To, Message),
    /// Tell of a timer after this long; one that runs begins anew.
    Start(Timer, Duration),
    /// Tell of it no more.
    Stop(Timer),
    /// Tell of no timer of a step any more.
    StopSteps,
    /// Requests of another replica wait to be ordered.
    Requests {
        /// Whose.
        from: PublicKey,
        /// As the state machine encodes them.
        requests: Vec<bytes::Bytes>,
    },
    /// The machine's state holds all that was acknowledged anywhere before the barrier of this number, or of a lower one,
    /// was asked for.
    Passed(u64),
}

/// Keeps what is logged from who reads the disk.
pub trait Sealer: Send {
    /// Seals an entry.
    fn seal(&self, entry: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens a sealed entry.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// An entry cannot be sealed or opened.
#[derive(Debug, Error)]
#[error("an entry cannot be sealed, or is not what was sealed here")]
pub struct SealError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The replica has stopped.
#[derive(Debug, Error)]
pub enum DriverError<E: std::error::Error + 'static> {
    /// The log cannot be read or written.
    #[error("the replica stops: its log failed")]
    Log(#[source] WalError),
    /// An entry of the log cannot be sealed or opened.
    #[error("the replica stops: its log cannot be sealed or opened")]
    Seal(#[source] SealError),
    /// The engine cannot go on.
    #[error("the replica stops: its engine cannot go on")]
    Engine(#[source] EngineError),
    /// The state machine failed.
    #[error("the replica stops: its state machine failed")]
    Machine(#[source] E),
    /// It stopped before.
    #[error("the replica has stopped; its process must begin anew")]
    Stopped,
}

/// What is there when a replica begins without a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLog {
    /// There has been none: the replica is new, or was alone until now.
    New,
    /// There was one, or nobody knows: it may have spoken at the height after its newest block.
    Lost,
}

/// A replica among others: engine, log and state machine.
pub struct Driver<M, D> {
    engine: Engine,
    log: Log<D>,
    sealer: Box<dyn Sealer>,
    machine: M,
    limits: Limits,
    stopped: bool,
}

/// A driver that was opened.
#[derive(Debug)]
pub struct Opened<M, D> {
    /// It.
    pub driver: Driver<M, D>,
    /// What its log leads to.
    pub outputs: Vec<Output>,
    /// What was cut off the log's end.
    pub torn: Option<Torn>,
}

impl<M: StateMachine, D: Disk> Driver<M, D> {
    /// Opens a replica: its log is read, and what it said before it stopped is said again.
    pub fn open(
        machine: M,
        disk: D,
        sealer: Box<dyn Sealer>,
        identity: Identity,
        timing: Timing,
        no_log: NoLog,
        now: Timestamp,
    ) -> Result<Opened<M, D>, DriverError<M::Error>> {
        let (log, recovered) = Log::open(disk).map_err(DriverError::Log)?;
        let engine = Engine::new(identity, head(&machine), timing).map_err(DriverError::Engine)?;
        let limits = Limits::default();
        let opened: Result<Vec<_>, _> = recovered.entries.iter().map(|entry| sealer.open(entry)).collect();
        let entries = opened.map_err(DriverError::Seal)?;
        let mut driver = Self { engine, log, sealer, machine, limits, stopped: false };
        let began = driver.engine.head().height > Height(0);
        let lost = recovered.new && began && no_log == NoLog::Lost;
        let actions = driver.engine.recover(&entries, lost).map_err(DriverError::Engine)?;
        let mut events = VecDeque::new();
        let mut outputs = driver.perform(actions, now, &mut events)?;
        events.push_back(Event::Work(driver.machine.has_work()));
        outputs.extend(driver.drain(events, now)?);
        Ok(Opened { driver, outputs, torn: recovered.torn })
    }

    /// Takes an event, at time `now` of the replica's clock.
    ///
    /// # Errors
    /// The replica has stopped, and every further call says so.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Result<Vec<Output>, DriverError<M::Error>> {
        if self.stopped {
            return Err(DriverError::Stopped);
        }
        self.stopped = true;
        let outputs = self.drain(VecDeque::from([event]), now)?;
        self.stopped = false;
        Ok(outputs)
    }

    /// The state machine, to hand requests to; then [`Event::Work`] says that there are some.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives machine and disk back, as a crash would: what was not flushed is lost.
    pub fn into_parts(self) -> (M, D) {
        (self.machine, self.log.into_disk())
    }

    fn drain(
        &mut self,
        mut events: VecDeque<Event>,
        now: Timestamp,
    ) -> Result<Vec<Output>, DriverError<M::Error>> {
        let mut outputs = Vec::new();
        while let Some(event) = events.pop_front() {
            let actions = self.engine.handle(event).map_err(DriverError::Engine)?;
            outputs.extend(self.perform(actions, now, &mut events)?);
        }
        Ok(outputs)
    }

    fn perform(
        &mut self,
        actions: Vec<Action>,
        now: Timestamp,
        events: &mut VecDeque<Event>,
    ) -> Result<Vec<Output>, DriverError<M::Error>> {
        let mut outputs = Vec::new();
        for action in actions {
            match action {
                Action::Log(entry) => {
                    let sealed = self.sealer.seal(&entry).map_err(DriverError::Seal)?;
                    self.log.append(&sealed).map_err(DriverError::Log)?;
                }
                Action::Sync => self.log.sync().map_err(DriverError::Log)?,
                Action::Restart => self.log.restart().map_err(DriverError::Log)?,
                Action::Send(to, message) => outputs.push(Output::Send(to, message)),
                Action::Start(timer, after) => outputs.push(Output::Start(timer, after)),
                Action::Stop(timer) => outputs.push(Output::Stop(timer)),
                Action::StopSteps => outputs.push(Output::StopSteps),
                Action::Requests { from, requests } => outputs.push(Output::Requests { from, requests }),
                Action::Passed(number) => outputs.push(Output::Passed(number)),
                other => events.extend(self.ask_machine(other, now).map_err(DriverError::Machine)?),
            }
        }
        Ok(outputs)
    }

    /// What the state machine has to do, and what it came to.
    fn ask_machine(&mut self, action: Action, now: Timestamp) -> Result<Option<Event>, M::Error> {
        Ok(match action {
            Action::Prepare => Some(Event::Prepared(self.machine.prepare(&self.limits, now)?)),
            Action::Judge { block, fresh } => {
                let proposal = if fresh { Proposal::Fresh(now) } else { Proposal::Known };
                let verdict = match self.machine.validate(&block, proposal)? {
                    Verdict::Valid => Ok(()),
                    Verdict::Invalid(why) => Err(why),
                };
                Some(Event::Judged { block: self.engine.id(&block), verdict })
            }
            Action::Commit { block, certificate } => {
                self.machine.commit(&block, &certificate)?;
                Some(Event::Committed { head: head(&self.machine), work: self.machine.has_work() })
            }
            Action::Forget(block) => {
                self.machine.abandon(&block);
                None
            }
            Action::Load { from, most, to } => {
                Some(Event::Loaded { to, blocks: self.machine.blocks(from, most)? })
            }
            Action::Evidence(evidence) => {
                tracing::warn!(key = %evidence.key(), height = evidence.height().0, "a validator contradicted itself");
                self.machine.evidence(&evidence.encode())?;
                None
            }
            // The rest is not the machine's.
            _ => None,
        })
    }
}

impl<M: std::fmt::Debug, D: std::fmt::Debug> std::fmt::Debug for Driver<M, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("engine", &self.engine)
            .field("machine", &self.machine)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

/// The newest block of a machine, as an engine wants it.
fn head<M: StateMachine>(machine: &M) -> Head {
    let (height, block) = machine.head();
    Head { height, block, proposer: machine.proposer(), validators: machine.validators().clone() }
}
