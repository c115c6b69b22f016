//! Blocks of the height that is being decided: which are named, which are here, and what is thought of them.
//!
//! A proposal names a block; its bytes come from anybody. Bytes that nobody has named wait, one block a sender. Bytes
//! that do not come are asked for, of those first who voted for the block: they have it.

use super::{Engine, EngineError};
use crate::entry::Entry;
use crate::event::{Action, Timer, To};
use crate::message::{Message, SignedProposal};
use bytes::Bytes;
use hypermesh_chain::{Block, Canonical, Hash, Height, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A replica is sent the same block again only so often.
const MOST_ANSWERS: u32 = 4;
/// Blocks that may be named at one height.
pub(super) const MOST_NAMED: usize = 32;

/// A block that is here.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) block: Arc<Block>,
    pub(super) bytes: Bytes,
    /// What the state machine said of it; nothing if it was not asked yet.
    pub(super) valid: Option<bool>,
    /// Whether the state machine holds what it comes to: it was judged in this life of the process.
    pub(super) ready: bool,
    judging: bool,
}

/// A proposal of a block.
#[derive(Clone, Copy, Debug)]
struct Named {
    round: u32,
    /// Whether somebody vouches that a quorum prevoted it before.
    again: bool,
}

/// The blocks of one height.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    known: BTreeMap<Hash, Known>,
    named: BTreeMap<Hash, Vec<Named>>,
    /// Blocks that came before anyone named them.
    early: BTreeMap<PublicKey, (Height, Bytes)>,
    /// Who voted for a block.
    vouchers: BTreeMap<Hash, BTreeSet<PublicKey>>,
    /// How often a block was asked for.
    asked: BTreeMap<Hash, usize>,
    /// How often a block was sent to somebody who wanted it.
    answered: BTreeMap<(PublicKey, Hash), u32>,
    fetching: bool,
}

/// How much there is of everything, as [`super::Kept`] has it.
pub(super) struct Counts {
    pub(super) early: usize,
    pub(super) named: usize,
    pub(super) known: usize,
    pub(super) vouched: usize,
    pub(super) answered: usize,
}

/// Whether a block holds what its header names. Else its bytes are not those of the block with this id, whoever sent
/// them: of that one, nothing is known by them.
pub(super) fn is_whole(block: &Block) -> bool {
    Block::requests_root(&block.requests, &block.endorsements) == block.header.requests
}

impl Known {
    pub(super) fn new(block: Block, bytes: Bytes) -> Self {
        Self { block: Arc::new(block), bytes, valid: None, ready: false, judging: false }
    }
}

impl Blocks {
    pub(super) fn get(&self, id: &Hash) -> Option<&Known> {
        self.known.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &Hash) -> Option<&mut Known> {
        self.known.get_mut(id)
    }

    pub(super) fn insert(&mut self, id: Hash, known: Known) {
        self.known.entry(id).or_insert(known);
    }

    pub(super) fn vouched(&mut self, id: &Hash, voter: PublicKey) {
        self.vouchers.entry(*id).or_default().insert(voter);
    }

    /// Whether some block was proposed in a round.
    pub(super) fn is_proposed_in(&self, round: u32) -> bool {
        self.named.values().flatten().any(|named| named.round == round)
    }

    /// How much there is of everything.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            early: self.early.len(),
            named: self.named.len(),
            known: self.known.len(),
            vouched: self.vouchers.len(),
            answered: self.answered.len(),
        }
    }

    /// Goes to the next height; what came early for it stays.
    pub(super) fn next(&mut self, height: Height) {
        let early = std::mem::take(&mut self.early);
        let early = early.into_iter().filter(|(_, (of, _))| *of >= height).collect();
        *self = Self { early, ..Self::default() };
    }
}

impl Engine {
    /// A proposal was accepted.
    pub(super) fn proposed(&mut self, signed: &SignedProposal) -> Result<(), EngineError> {
        let id = signed.proposal.block;
        if self.blocks.named.len() >= MOST_NAMED && !self.blocks.named.contains_key(&id) {
            return Ok(());
        }
        let named = Named { round: signed.proposal.round, again: signed.proposal.valid_round.is_some() };
        self.blocks.named.entry(id).or_default().push(named);
        self.release();
        if !self.blocks.known.contains_key(&id) {
            self.adopt_early();
        }
        if self.blocks.known.contains_key(&id) {
            self.judge_if_due(&id);
        } else {
            self.fetch_later();
        }
        Ok(())
    }

    /// Takes the blocks that came before they were named.
    fn adopt_early(&mut self) {
        let height = self.height();
        let due: Vec<PublicKey> =
            self.blocks.early.iter().filter(|(_, (of, _))| *of == height).map(|(k, _)| *k).collect();
        for key in due {
            let Some((_, bytes)) = self.blocks.early.get(&key) else { continue };
            let bytes = bytes.clone();
            match Block::decode(&bytes) {
                Ok(block) => {
                    let id = block.header.id(&self.core.identity().cluster);
                    if self.blocks.named.contains_key(&id) {
                        self.blocks.early.remove(&key);
                        if is_whole(&block) {
                            self.blocks.insert(id, Known::new(block, bytes));
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, %key, "a block does not decode");
                    self.blocks.early.remove(&key);
                }
            }
        }
    }

    pub(super) fn received_block(
        &mut self,
        from: PublicKey,
        height: Height,
        bytes: Bytes,
    ) -> Result<(), EngineError> {
        let next = self.height();
        // Of others than validators no block is kept: they propose none, and validators are few.
        let near = height >= next && height.0 - next.0 <= 1;
        if !near || self.head.validators.power(&from).is_none() {
            return Ok(());
        }
        self.blocks.early.insert(from, (height, bytes));
        if height == next && self.blocks.named.keys().any(|id| !self.blocks.known.contains_key(id)) {
            self.adopt_early();
            let named: Vec<Hash> = self.blocks.named.keys().copied().collect();
            named.iter().for_each(|id| self.judge_if_due(id));
        }
        Ok(())
    }

    /// Asks the state machine what it thinks of a block that is named and here.
    fn judge_if_due(&mut self, id: &Hash) {
        let fresh = self.blocks.named.get(id).is_some_and(|named| named.iter().all(|named| !named.again));
        let Some(known) = self.blocks.known.get_mut(id) else { return };
        if known.valid.is_some() || known.judging || self.deciding.is_some() {
            return;
        }
        known.judging = true;
        self.actions.push(Action::Judge { block: Arc::clone(&known.block), fresh });
    }

    pub(super) fn judged(&mut self, id: Hash, verdict: Result<(), String>) -> Result<(), EngineError> {
        if self.deciding.as_ref().is_some_and(|certificate| certificate.block == id) {
            return self.judged_decided(id, verdict);
        }
        let valid = verdict.is_ok();
        if let Err(why) = verdict {
            tracing::warn!(block = %id, why, "a proposed block is invalid");
        }
        let Some(known) = self.blocks.known.get_mut(&id) else { return Ok(()) };
        known.judging = false;
        known.valid = Some(valid);
        known.ready = valid;
        let bytes = known.bytes.clone();
        if self.deciding.is_some() || !self.running {
            return Ok(());
        }
        if valid {
            let height = self.height();
            self.log(&Entry::Block { height, bytes });
        }
        let round = self.blocks.named.get(&id).and_then(|named| named.iter().map(|named| named.round).min());
        let acts = self.core.judged(round.unwrap_or(0), &id, valid)?;
        self.perform(acts)
    }

    /// A block of this replica is there to be proposed.
    pub(super) fn prepared(&mut self, block: Arc<Block>) -> Result<(), EngineError> {
        let id = block.header.id(&self.core.identity().cluster);
        let due = self.running && self.deciding.is_none() && block.header.height == self.height();
        let Some(round) = self.core.round().filter(|round| due && !self.core.has_proposed(*round)) else {
            self.actions.push(Action::Forget(id));
            return Ok(());
        };
        let (height, bytes) = (self.height(), Bytes::from(block.encode()));
        let known = Known { block, bytes: bytes.clone(), valid: Some(true), ready: true, judging: false };
        self.blocks.insert(id, known);
        // Bytes alone say nothing: they may travel while the log is flushed.
        self.send(To::All, Message::Block { height, bytes: bytes.clone() });
        self.log(&Entry::Block { height, bytes });
        let acts = self.core.propose(round, &id)?;
        self.perform(acts)
    }

    /// Sends a block to all others again.
    pub(super) fn restream(&mut self, id: &Hash) {
        if let Some(known) = self.blocks.known.get(id) {
            let (height, bytes) = (self.height(), known.bytes.clone());
            self.send(To::All, Message::Block { height, bytes });
        }
    }

    /// Another replica lacks a block.
    pub(super) fn wanted_by(&mut self, from: PublicKey, height: Height, id: &Hash) {
        if height <= self.head.height {
            return self.send(To::One(from), Message::Head { height: self.head.height });
        }
        let Some(known) = self.blocks.known.get(id).filter(|_| height == self.height()) else { return };
        let bytes = known.bytes.clone();
        let answers = self.blocks.answered.entry((from, *id)).or_default();
        if *answers < MOST_ANSWERS {
            *answers += 1;
            self.send(To::One(from), Message::Block { height, bytes });
        }
    }

    fn fetch_later(&mut self) {
        if !self.blocks.fetching {
            self.blocks.fetching = true;
            self.actions.push(Action::Start(Timer::Fetch, self.timing.fetch));
        }
    }

    /// Asks for the blocks that are named and did not come, another replica each time.
    pub(super) fn fetch(&mut self) {
        self.blocks.fetching = false;
        if !self.running || self.deciding.is_some() {
            return;
        }
        let me = self.core.public();
        let missing: Vec<Hash> =
            self.blocks.named.keys().filter(|id| !self.blocks.known.contains_key(*id)).copied().collect();
        for id in &missing {
            let vouchers = self.blocks.vouchers.get(id);
            let has = |key: &PublicKey| vouchers.is_some_and(|vouchers| vouchers.contains(key));
            let mut others: Vec<PublicKey> = self.core.members().keys().filter(|key| *key != me).collect();
            others.sort_by_key(|key| !has(key));
            let tries = self.blocks.asked.entry(*id).or_default();
            let place = *tries % others.len().max(1);
            *tries += 1;
            if let Some(key) = others.get(place) {
                let message = Message::Want { height: self.height(), block: *id };
                self.send(To::One(*key), message);
            }
        }
        if !missing.is_empty() {
            self.fetch_later();
        }
    }
}
