//! The thread of a replica among others: it drives the engine, and is all that touches the machine.
//!
//! Everything that happens comes by a channel or a timer, and is dealt with in turns: what others say, what they tell of
//! requests, what clients ask, what time is up. A turn takes a bounded part of each, so that neither catching up nor a
//! flood of requests keeps votes waiting. The thread sleeps while nothing happens; while nothing waits no timer runs.

use crate::alone::refuse_when_full;
use crate::error::{MachineError, OpenError};
use crate::heard::Heard;
use crate::intake::{self, MOST_UNREAD, Told};
use crate::log_sealer::LogSealer;
use crate::open::LOG_FOLDER;
use crate::pool::Hold;
use crate::replica::now;
use crate::state::Machine;
use crate::submission::{Submission, Waiting};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use hypermesh_api::Status;
use hypermesh_bft::{Event, Identity, Message, Timer, Timing, To};
use hypermesh_chain::{Bundle, Canonical, GroupId, Hash, PublicKey};
use hypermesh_consensus::StateMachine;
use hypermesh_driver::{Driver, DriverError, NoLog, Output};
use hypermesh_wal::Folder;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Of each channel, what a turn takes at most.
const MOST_SAID: usize = 64;
const MOST_HEARD: usize = 8;
const MOST_ASKED: usize = 2048;
/// How often requests that wait are seen after.
const TICK: Duration = Duration::from_millis(250);
/// Barriers begin no sooner one after another: what is asked and answered for reads must leave votes their share of a
/// connection.
const BETWEEN_BARRIERS: Duration = Duration::from_micros(500);
/// How long a replica that ends waits for what it has taken.
const FAREWELL: Duration = Duration::from_secs(2);

/// The way to the other replicas.
pub trait Transport: Send {
    /// Sends a message, as soon as that is possible. It does not wait, and may lose messages: what matters is said again.
    fn send(&self, to: To, message: Message);
}

/// What comes from other replicas. Who they are was proven; what they say is not.
pub enum Incoming {
    /// One can be reached from now on.
    Connected(PublicKey),
    /// One says something.
    Received {
        /// Who.
        from: PublicKey,
        /// What.
        message: Message,
        /// Dropped once the message is dealt with; of requests, once all of them are settled.
        hold: Option<Hold>,
    },
}

/// What a replica needs to be one of several.
pub struct Others {
    /// How long they are waited for.
    pub timing: Timing,
    /// The way to them.
    pub transport: Box<dyn Transport>,
    /// What comes from them.
    pub incoming: Receiver<Incoming>,
    /// What it means if there is no log: [`NoLog::Lost`] unless the replica is certainly new.
    pub no_log: NoLog,
}

/// What is asked of the thread.
pub(crate) enum Job {
    /// Have a request ordered.
    Submit(Box<Submission>),
    /// Say when all is here that was acknowledged anywhere until now.
    Barrier(oneshot::Sender<()>),
}

/// Who waits for a barrier.
enum Behind {
    Reader(oneshot::Sender<()>),
    /// Own requests that came to nothing.
    Aside(Vec<Hash>),
}

type Failure = DriverError<MachineError>;

/// A replica among others.
struct Member {
    driver: Driver<Machine, Folder>,
    transport: Box<dyn Transport>,
    jobs: Receiver<Job>,
    incoming: Receiver<Incoming>,
    heard: Receiver<Heard>,
    intake: Sender<Told>,
    timers: BTreeMap<Timer, Instant>,
    /// When requests that wait are seen after, if there are some.
    tick: Option<Instant>,
    /// Whether those that have waited for long are to be looked at.
    look: bool,
    /// Who asked for decided blocks in this turn.
    asked: BTreeSet<PublicKey>,
    /// The number of the newest barrier.
    barrier: u64,
    /// When it was asked for; at the beginning, the beginning.
    asked_at: Instant,
    /// Who waits for the next one to be asked for.
    next: Vec<Behind>,
    behind: VecDeque<(u64, Vec<Behind>)>,
    /// Nothing is taken any more; until when what was taken is waited for.
    closing: Option<Instant>,
}

/// Takes up where the log ends, and starts the threads.
pub(crate) fn start(
    machine: Machine,
    others: Others,
    jobs: Receiver<Job>,
    failure: Arc<Mutex<Option<String>>>,
) -> Result<JoinHandle<()>, OpenError> {
    let path = machine.dir.join(LOG_FOLDER);
    let disk = Folder::open(&path).map_err(|source| OpenError::Log { path, source })?;
    let sealer = Box::new(LogSealer::new(&machine.store)?);
    let cluster = machine.cluster;
    let identity = Identity { key: machine.key.clone(), cluster, group: GroupId(0) };
    let Others { timing, transport, incoming, no_log } = others;
    let opened = Driver::open(machine, disk, sealer, identity, timing, no_log, now())
        .map_err(|error| OpenError::GoOn(Box::new(error)))?;
    if let Some(torn) = opened.torn {
        let (file, bytes) = (torn.file, torn.bytes);
        tracing::info!(
            file,
            bytes,
            "the end of the replication log was not flushed when the replica stopped, and is cut off"
        );
    }
    let (intake, told) = crossbeam_channel::bounded(MOST_UNREAD);
    let (sender, heard) = crossbeam_channel::bounded(MOST_UNREAD);
    std::thread::Builder::new()
        .name("intake".to_owned())
        .spawn(move || intake::run(cluster, &told, &sender))
        .map_err(OpenError::Thread)?;
    let member = Member {
        driver: opened.driver,
        transport,
        jobs: jobs.clone(),
        incoming,
        heard,
        intake,
        timers: BTreeMap::new(),
        tick: None,
        look: false,
        asked: BTreeSet::new(),
        // Numbers of barriers rise over restarts, too.
        barrier: now().0,
        asked_at: Instant::now(),
        next: Vec::new(),
        behind: VecDeque::new(),
        closing: None,
    };
    let outputs = opened.outputs;
    std::thread::Builder::new()
        .name("replica".to_owned())
        .spawn(move || guarded(member, outputs, &jobs, &failure))
        .map_err(OpenError::Thread)
}

/// Runs the turns, and says so if they end by a fault: a replica that is silent must not look ready.
fn guarded(member: Member, outputs: Vec<Output>, jobs: &Receiver<Job>, failure: &Mutex<Option<String>>) {
    let run = AssertUnwindSafe(|| member.run(outputs, failure));
    if catch_unwind(run).is_err() {
        tracing::error!("the replica stops writing: its thread panicked");
        *failure.lock() = Some("the replica's thread panicked; restart the server".to_owned());
    }
    // What still comes is told why; readers see that their sender is gone.
    for late in jobs.iter() {
        if let Job::Submit(late) = late {
            late.waiting.refuse(&MachineError::Unsupported(
                "the replica has stopped; ask another, or restart the server",
            ));
        }
    }
}

impl Member {
    fn run(mut self, outputs: Vec<Output>, failure: &Mutex<Option<String>>) {
        let mut result = self.perform(outputs);
        while result.is_ok() && !self.is_over() {
            result = self.turn();
        }
        match result {
            Ok(()) => self.part(),
            Err(error) => self.fail(&error, failure),
        }
    }

    fn is_over(&mut self) -> bool {
        let Some(until) = self.closing else { return false };
        let machine = self.driver.machine();
        let done = machine.queue.is_empty() && machine.pool.awaited() == 0;
        done || Instant::now() >= until
    }

    /// Waits for something to happen, and deals with it.
    fn turn(&mut self) -> Result<(), Failure> {
        self.wait();
        self.listen()?;
        let mut new = self.hear();
        new |= self.take_jobs();
        self.ask_barrier()?;
        self.elapse()?;
        self.tell();
        if new {
            self.work()?;
        }
        self.review()
    }

    fn wait(&self) {
        let mut select = Select::new();
        select.recv(&self.jobs);
        select.recv(&self.incoming);
        select.recv(&self.heard);
        let timers = self.timers.values().copied().chain(self.tick).chain(self.closing);
        match timers.chain(self.barrier_due()).min() {
            Some(due) => drop(select.ready_deadline(due)),
            None => drop(select.ready()),
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        let outputs = self.driver.handle(event, now())?;
        self.perform(outputs)
    }

    fn perform(&mut self, outputs: Vec<Output>) -> Result<(), Failure> {
        for output in outputs {
            match output {
                Output::Send(to, message) => self.transport.send(to, message),
                Output::Start(timer, after) => drop(self.timers.insert(timer, Instant::now() + after)),
                Output::Stop(timer) => drop(self.timers.remove(&timer)),
                Output::StopSteps => self.timers.retain(|timer, _| !matches!(timer, Timer::Step(..))),
                Output::Requests { from, requests } => self.told(from, requests, None),
                Output::Passed(number) => self.passed(number)?,
            }
        }
        Ok(())
    }

    /// What other replicas say.
    fn listen(&mut self) -> Result<(), Failure> {
        self.asked.clear();
        for _ in 0..MOST_SAID {
            match self.incoming.try_recv() {
                Ok(Incoming::Connected(peer)) => self.connected(peer)?,
                Ok(Incoming::Received { from, message, hold }) => self.received(from, message, hold)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.incoming = crossbeam_channel::never(),
            }
        }
        Ok(())
    }

    fn connected(&mut self, peer: PublicKey) -> Result<(), Failure> {
        for bundle in self.driver.machine().tell_all(now()) {
            self.send_bundle(To::One(peer), &bundle);
        }
        self.handle(Event::Connected(peer))
    }

    fn received(&mut self, from: PublicKey, message: Message, hold: Option<Hold>) -> Result<(), Failure> {
        match message {
            Message::Requests(requests) => {
                self.told(from, requests, hold);
                Ok(())
            }
            Message::LeftOut { height, requests } => {
                let proposes = self.driver.engine().proposer() == Some(from);
                self.driver.machine().left_out_by(from, proposes, height, &requests);
                Ok(())
            }
            // Blocks are read for a peer once a turn, however often it asks: it asks again.
            Message::Ask { .. } if !self.asked.insert(from) => Ok(()),
            message => self.handle(Event::Received { from, message }),
        }
    }

    fn told(&mut self, from: PublicKey, bundles: Vec<Bytes>, hold: Option<Hold>) {
        // There is so much to read that this is let go: it is told again.
        if self.intake.try_send(Told { from, bundles, hold }).is_err() {
            tracing::debug!(%from, "too many requests wait to be read");
        }
    }

    /// What other replicas tell of requests; whether something is new.
    fn hear(&mut self) -> bool {
        let mut new = false;
        for _ in 0..MOST_HEARD {
            match self.heard.try_recv() {
                Ok(heard) => new |= self.driver.machine().hear(heard, now()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.heard = crossbeam_channel::never(),
            }
        }
        new
    }

    /// What clients ask; whether there is something to order.
    fn take_jobs(&mut self) -> bool {
        let mut asked = false;
        for _ in 0..MOST_ASKED {
            match self.jobs.try_recv() {
                Ok(Job::Submit(submission)) => {
                    self.driver.machine().queue.push_back(*submission);
                    asked = true;
                }
                Ok(Job::Barrier(reader)) => self.next.push(Behind::Reader(reader)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.jobs = crossbeam_channel::never();
                    self.closing = Some(Instant::now() + FAREWELL);
                }
            }
        }
        asked
    }

    /// When the next barrier may be asked for, if somebody waits for it.
    fn barrier_due(&self) -> Option<Instant> {
        (!self.next.is_empty()).then(|| self.asked_at + BETWEEN_BARRIERS)
    }

    fn ask_barrier(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.barrier_due().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.barrier += 1;
        self.asked_at = now;
        self.behind.push_back((self.barrier, std::mem::take(&mut self.next)));
        self.handle(Event::Barrier(self.barrier))
    }

    fn passed(&mut self, number: u64) -> Result<(), Failure> {
        while let Some((_, behind)) = self.behind.pop_front_if(|(waits, _)| *waits <= number) {
            for waits in behind {
                match waits {
                    // Who went away does not want to know.
                    Behind::Reader(reader) => drop(reader.send(())),
                    Behind::Aside(requests) => {
                        let settled = self.driver.machine().settle(&requests, now());
                        settled.map_err(DriverError::Machine)?;
                        self.tick = Some(Instant::now());
                    }
                }
            }
        }
        Ok(())
    }

    /// What time is up.
    fn elapse(&mut self) -> Result<(), Failure> {
        let instant = Instant::now();
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= instant).map(|(timer, _)| *timer).collect();
        for timer in due {
            // One that went off before may have stopped it.
            if self.timers.remove(&timer).is_some() {
                self.handle(Event::Elapsed(timer))?;
            }
        }
        if self.tick.is_some_and(|at| at <= instant) {
            let now = now();
            for bundle in self.driver.machine().tell_again(now) {
                self.send_bundle(To::All, &bundle);
            }
            self.driver.machine().expire(now);
            (self.tick, self.look) = (None, true);
            self.work()?;
        }
        Ok(())
    }

    /// Tells the others of what clients asked here.
    fn tell(&mut self) {
        let machine = self.driver.machine();
        if !machine.queue.is_empty() {
            let _ = refuse_when_full(machine);
            for bundle in self.driver.machine().tell(now()) {
                self.send_bundle(To::All, &bundle);
            }
        }
        let machine = self.driver.machine();
        if self.tick.is_none() && (machine.pool.len() > 0 || !machine.queue.is_empty()) {
            self.tick = Some(Instant::now() + TICK);
        }
    }

    fn send_bundle(&self, to: To, bundle: &Bundle) {
        self.transport.send(to, Message::Requests(vec![Bytes::from(bundle.encode())]));
    }

    fn work(&mut self) -> Result<(), Failure> {
        let work = StateMachine::has_work(self.driver.machine());
        self.handle(Event::Work(work))
    }

    /// Looks after requests that may come to nothing.
    fn review(&mut self) -> Result<(), Failure> {
        let machine = self.driver.machine();
        let left_out = machine.take_left_out();
        if !std::mem::take(&mut self.look) && !machine.pool.has_doubts() {
            return Ok(());
        }
        let (before, head) = (machine.pool.len(), machine.head().0);
        let aside = machine.review(now()).map_err(DriverError::Machine)?;
        let changed = !aside.is_empty() || machine.pool.len() != before;
        for (height, requests) in left_out {
            self.leave_out(height, &requests);
        }
        if !aside.is_empty() {
            // Nobody is to order what is about to be refused.
            self.leave_out(head, &aside);
            self.next.push(Behind::Aside(aside));
            self.ask_barrier()?;
        }
        if changed { self.work() } else { Ok(()) }
    }

    fn leave_out(&self, height: hypermesh_chain::Height, requests: &[Hash]) {
        for requests in requests.chunks(Message::MOST_REQUESTS) {
            self.transport.send(To::All, Message::LeftOut { height, requests: requests.to_vec() });
        }
    }

    /// The end: what was not settled in time, nobody knows.
    fn part(mut self) {
        for waits in self.waiting() {
            waits.refuse_as(Status::unavailable(
                "the server is shutting down before the request was ordered; it is not known whether it will be",
                1,
            ));
        }
    }

    /// A replica that does not know what it has written must not go on: it answers everyone, and reads stay.
    fn fail(mut self, error: &Failure, failure: &Mutex<Option<String>>) {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        tracing::error!(error = %text, "the replica stops writing");
        *failure.lock() = Some(text.clone());
        for waits in self.waiting() {
            waits.refuse_as(Status::internal(format!(
                "{text}; it is not known whether this write will be kept"
            )));
        }
    }

    fn waiting(&mut self) -> Vec<Waiting> {
        let machine = self.driver.machine();
        let mut waiting = machine.pool.drain();
        waiting.extend(machine.queue.drain(..).map(|submission| submission.waiting));
        waiting
    }
}
