//! One replica of a group, as a machine of steps: an event goes in, actions come out.
//!
//! The engine is what stands around Tendermint's core: it knows which blocks are there, asks for those that are not,
//! starts a height when there is something to decide, catches up where others are ahead, and bounds what any one of them
//! can make it keep. It reads no clock and does no I/O, so a simulator and a server drive the same code.
//!
//! # When it is silent
//! A height is begun when requests wait here, when its proposer proposes, or when more than a third speak of it. While
//! nothing waits here and nobody has shown a block, no timer runs: one replica that lies can wake the others, and cannot
//! keep them awake.
//!
//! # What is never lost
//! Everything that led to a statement is logged and flushed before the statement is sent; so are the bytes of a block that
//! it is about.

mod ahead;
mod barrier;
mod blocks;
mod decide;
mod kept;
mod recover;
mod silence;

use crate::context::{Members, MembersError};
use crate::core::{Act, Core, CoreError};
use crate::entry::{Entry, Step};
use crate::event::{Action, Event, Head, Timer, To};
use crate::message::{Decided, Message, SignedVote};
use crate::signer::Identity;
use crate::timing::Timing;
use ahead::Ahead;
use barrier::Barrier;
use blocks::Blocks;
use hypermesh_chain::{Certificate, Hash, Height, PublicKey};
pub use kept::Kept;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A proposer goes on for this many heights; then it is the next one's turn, whoever proposed. It keeps a proposer that
/// leaves out somebody's requests from doing so for long.
const TURN: u64 = 64;

/// The replica must stop.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The core does.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The validators cannot be counted with.
    #[error("the validators of height {} cannot decide it", .height.0)]
    Members {
        /// The height.
        height: Height,
        /// Why.
        source: MembersError,
    },
    /// A quorum certified a block that is invalid here: this replica's state or program is not the others'.
    #[error(
        "a quorum decided block {block}, which is invalid here: {why}; this replica's data or program differs from theirs"
    )]
    Diverged {
        /// The block.
        block: Hash,
        /// Why it is invalid here.
        why: String,
    },
    /// An entry of the log is none.
    #[error("entry {index} of the log is not readable: the log belongs to another version, or is damaged")]
    Entry {
        /// Its place, from 0.
        index: usize,
    },
    /// The log knows of heights that the store does not.
    #[error("the log is at height {} and the store at {}: the store has lost blocks", .log.0, .store.0)]
    LogAhead {
        /// The log's newest height.
        log: Height,
        /// The store's.
        store: Height,
    },
}

/// A replica's engine.
#[derive(Debug)]
pub struct Engine {
    core: Core,
    timing: Timing,
    head: Head,
    /// Whether the height after the head was begun.
    running: bool,
    /// Whether this replica may vote at the height after the head.
    votes: bool,
    /// Whether requests wait here.
    work: bool,
    /// The round for which a block is wanted of this replica.
    wanted: Option<u32>,
    blocks: Blocks,
    ahead: Ahead,
    /// A block that is decided and not committed yet.
    deciding: Option<Certificate>,
    /// Timers of steps that run.
    armed: BTreeMap<Timer, Duration>,
    /// Timers of steps that wait for something to decide.
    held: BTreeMap<Timer, Duration>,
    /// Who spoke in which round of this height.
    speakers: BTreeMap<PublicKey, u32>,
    /// The highest head that others told of, and who.
    told: BTreeMap<PublicKey, Height>,
    /// Asked for decided blocks, and not answered.
    asked: Option<PublicKey>,
    last_asked: Option<PublicKey>,
    /// Decided blocks that were sent, and who sent them.
    decided: VecDeque<(PublicKey, Decided)>,
    /// Who waits for decided blocks.
    loading: BTreeSet<PublicKey>,
    barrier: Barrier,
    /// Whether entries were logged since the last flush.
    dirty: bool,
    /// Entries in the log since it was begun anew, in bytes.
    logged: u64,
    /// What the log held of this height: it is not logged again.
    recalled: BTreeSet<Vec<u8>>,
    /// Inputs that wait their turn: own actions lead to further ones.
    queue: VecDeque<Act>,
    actions: Vec<Action>,
}

impl Engine {
    /// After so many bytes the log is begun anew, at the end of a height.
    const MOST_LOG: u64 = 64 << 20;

    /// An engine at `head`, before anything was said at the next height. What its log holds is told by
    /// [`Engine::recover`].
    pub fn new(identity: Identity, head: Head, timing: Timing) -> Result<Self, EngineError> {
        let members = members_after(&head)?;
        Ok(Self {
            core: Core::new(identity, members),
            timing,
            head,
            running: false,
            votes: true,
            work: false,
            wanted: None,
            blocks: Blocks::default(),
            ahead: Ahead::default(),
            deciding: None,
            armed: BTreeMap::new(),
            held: BTreeMap::new(),
            speakers: BTreeMap::new(),
            told: BTreeMap::new(),
            asked: None,
            last_asked: None,
            decided: VecDeque::new(),
            loading: BTreeSet::new(),
            barrier: Barrier::default(),
            dirty: false,
            logged: 0,
            recalled: BTreeSet::new(),
            queue: VecDeque::new(),
            actions: Vec::new(),
        })
    }

    /// A block's id in this cluster.
    pub fn id(&self, block: &hypermesh_chain::Block) -> Hash {
        block.header.id(&self.core.identity().cluster)
    }

    /// The newest decided block.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The round of the height after the head; none if it was not begun.
    pub fn round(&self) -> Option<u32> {
        self.running.then(|| self.core.round()).flatten()
    }

    /// Who proposes in the round that runs.
    pub fn proposer(&self) -> Option<PublicKey> {
        self.round().map(|round| self.core.members().proposer(round).key())
    }

    /// Takes an event.
    ///
    /// # Errors
    /// The replica must stop, and none of the actions that this event led to may be done.
    pub fn handle(&mut self, event: Event) -> Result<Vec<Action>, EngineError> {
        match event {
            Event::Received { from, message } => self.received(from, message)?,
            Event::Elapsed(timer) => self.elapsed(timer)?,
            Event::Connected(peer) => self.send(To::One(peer), Message::Head { height: self.head.height }),
            Event::Work(work) => {
                self.work = work;
                self.begin_if_due()?;
                self.release();
                self.hush();
                self.prepare_if_wanted();
            }
            Event::Barrier(number) => self.barrier_wanted(number),
            Event::Prepared(Some(block)) => self.prepared(block)?,
            Event::Prepared(None) => self.nothing_prepared(),
            Event::Judged { block, verdict } => self.judged(block, verdict)?,
            Event::Committed { head, work } => {
                self.work = work;
                self.committed(head)?;
                self.settle_barrier();
            }
            Event::Loaded { to, blocks } => self.loaded(to, blocks),
        }
        Ok(std::mem::take(&mut self.actions))
    }

    /// The height that is decided next.
    fn height(&self) -> Height {
        Height(self.head.height.0.saturating_add(1))
    }

    fn group(&self) -> hypermesh_chain::GroupId {
        self.core.identity().group
    }

    fn send(&mut self, to: To, message: Message) {
        self.actions.push(Action::Send(to, message));
    }

    fn log(&mut self, entry: &Entry) {
        let bytes = entry.encode();
        if self.recalled.contains(&bytes) {
            return;
        }
        self.logged += bytes.len() as u64;
        self.dirty = true;
        self.actions.push(Action::Log(bytes));
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.actions.push(Action::Sync);
        }
    }

    /// Does what the core wants, and what that leads to.
    fn perform(&mut self, acts: Vec<Act>) -> Result<(), EngineError> {
        self.queue.extend(acts);
        while let Some(act) = self.queue.pop_front() {
            match act {
                Act::Log(entry) => self.logged_entry(&entry)?,
                Act::Say(message) => {
                    self.flush();
                    self.send(To::All, message);
                }
                Act::StartTimer(step, round) => {
                    self.start(Timer::Step(step, round), self.timing.of(step, round));
                }
                Act::StopTimer(step, round) => self.stop(Timer::Step(step, round)),
                Act::StopTimers => self.stop_steps(),
                Act::Round(_) => self.wanted = None,
                Act::Propose(round) => {
                    self.wanted = Some(round);
                    self.prepare_if_wanted();
                }
                Act::Restream(block) => self.restream(&block),
                Act::Decide(certificate) => self.decided(certificate)?,
                Act::Evidence(evidence) => self.actions.push(Action::Evidence(evidence)),
            }
        }
        Ok(())
    }

    /// Logs what the core wants logged, and learns from it what the core has accepted.
    fn logged_entry(&mut self, entry: &Entry) -> Result<(), EngineError> {
        self.log(entry);
        match entry {
            Entry::Proposal(signed) => self.proposed(signed),
            Entry::Vote(signed @ SignedVote { vote, voter, .. }) => {
                self.barrier.voted(signed, &self.core.public());
                self.speakers.insert(*voter, vote.round);
                if let Some(block) = vote.block {
                    self.blocks.vouched(&block, *voter);
                }
                self.release();
                Ok(())
            }
            Entry::Polka(polka) => {
                self.barrier.polled(polka);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks the state machine for a block, if one is wanted and there is something to order.
    fn prepare_if_wanted(&mut self) {
        let due = self.running && self.work && self.deciding.is_none();
        if let Some(round) = self.wanted.filter(|_| due)
            && self.core.round() == Some(round)
            && !self.core.has_proposed(round)
        {
            self.wanted = None;
            self.actions.push(Action::Prepare);
        }
    }

    fn elapsed(&mut self, timer: Timer) -> Result<(), EngineError> {
        match timer {
            Timer::Step(step, round) => {
                self.armed.remove(&timer);
                if self.running && self.deciding.is_none() {
                    let acts = self.core.elapsed(step, round)?;
                    self.perform(acts)?;
                    if step == Step::Rebroadcast {
                        // Whoever is behind, or ahead, learns where this replica is.
                        self.send(To::All, Message::Head { height: self.head.height });
                    }
                }
            }
            Timer::Fetch => self.fetch(),
            Timer::Ask => self.ask_again(),
            Timer::Barrier => self.barrier_again(),
        }
        Ok(())
    }

    fn received(&mut self, from: PublicKey, message: Message) -> Result<(), EngineError> {
        match message {
            Message::Vote(_) | Message::Proposal(_) | Message::Polka(_) | Message::Round(_) => {
                self.received_statement(from, message)
            }
            Message::Block { height, bytes } => self.received_block(from, height, bytes),
            Message::Want { height, block } => {
                self.wanted_by(from, height, &block);
                Ok(())
            }
            Message::Head { height } => {
                self.told_head(from, height);
                Ok(())
            }
            Message::Ask { from: first } => {
                self.asked_by(from, first);
                Ok(())
            }
            Message::Decided(blocks) => self.received_decided(from, blocks),
            Message::Requests(requests) => {
                self.actions.push(Action::Requests { from, requests });
                Ok(())
            }
            Message::Probe { number, height } => {
                self.probed(from, number, height);
                Ok(())
            }
            Message::Reached { number, height, proof } => {
                self.told_reach(from, number, height, proof);
                Ok(())
            }
            // What is left out is between state machines.
            Message::LeftOut { .. } => Ok(()),
        }
    }

    /// A vote, a proposal, or a certificate of votes.
    fn received_statement(&mut self, from: PublicKey, message: Message) -> Result<(), EngineError> {
        let (group, height) = match &message {
            Message::Vote(signed) => (signed.vote.group, signed.vote.height),
            Message::Proposal(signed) => (signed.proposal.group, signed.proposal.height),
            Message::Polka(polka) => (polka.group, polka.height),
            Message::Round(entry) => (entry.group, entry.height),
            _ => return Ok(()),
        };
        if group != self.group() {
            return Ok(());
        }
        if height <= self.head.height {
            // Who says it does not know that the height is decided.
            self.send(To::One(from), Message::Head { height: self.head.height });
            return Ok(());
        }
        if self.head.validators.power(&from).is_none() {
            return Ok(());
        }
        if height > self.height() {
            self.ahead.keep(from, height, message, self.height());
            self.told_head(from, Height(height.0 - 1));
            return Ok(());
        }
        if !self.running {
            // Whoever is told to wake up checks first by whom: what does not hold is not kept.
            if self.is_sound(&message) {
                self.ahead.keep(from, height, message, height);
            }
            return self.begin_if_due();
        }
        if self.deciding.is_some() {
            return Ok(());
        }
        let acts = match &message {
            Message::Vote(signed) => self.core.vote(signed)?,
            Message::Proposal(signed) => self.core.proposal(signed)?,
            Message::Polka(polka) => self.core.polka(polka)?,
            Message::Round(entry) => self.core.round_entry(entry)?,
            _ => Vec::new(),
        };
        self.perform(acts)
    }
}

/// The validators of the height after a head. The proposer of its block goes on, until its turn ends: decided blocks say
/// so, and nothing that only some replicas know.
fn members_after(head: &Head) -> Result<Members, EngineError> {
    let height = Height(head.height.0.saturating_add(1));
    let failed = |source| EngineError::Members { height, source };
    let members = Members::new(&head.validators, &head.proposer).map_err(failed)?;
    if height.0.is_multiple_of(TURN) {
        let next = members.proposer(1).key();
        return Members::new(&head.validators, &next).map_err(failed);
    }
    Ok(members)
}
