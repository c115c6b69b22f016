//! The end of a height, whether it was decided here or elsewhere.
//!
//! A block that comes with its certificate needs no votes of its own: the certificate is verified against the validators
//! that the chain names, the block is executed, and it is kept. That is how a replica catches up, and it is one way for
//! being a moment behind and for having been away for days.

use super::blocks::{Known, is_whole};
use super::{Engine, EngineError};
use crate::core::CoreError;
use crate::event::{Action, Head, Timer, To};
use crate::message::{Decided, Message};
use bytes::Bytes;
use hypermesh_chain::{Block, Canonical, Certificate, Hash, Height, PublicKey};
use std::sync::Arc;

impl Engine {
    /// The core has decided.
    pub(super) fn decided(&mut self, certificate: Certificate) -> Result<(), EngineError> {
        if self.deciding.is_some() {
            return Ok(());
        }
        let id = certificate.block;
        let Some(known) = self.blocks.get(&id) else {
            return Err(CoreError::Broken(format!("block {id} was decided and is not here")).into());
        };
        let (ready, block) = (known.ready, Arc::clone(&known.block));
        self.stop_steps();
        self.deciding = Some(certificate.clone());
        if ready {
            self.actions.push(Action::Commit { block: id, certificate });
        } else {
            self.actions.push(Action::Judge { block, fresh: false });
        }
        Ok(())
    }

    /// What the state machine says of a block that a quorum has decided.
    pub(super) fn judged_decided(
        &mut self,
        id: Hash,
        verdict: Result<(), String>,
    ) -> Result<(), EngineError> {
        verdict.map_err(|why| EngineError::Diverged { block: id, why })?;
        if let Some(certificate) = self.deciding.clone() {
            self.actions.push(Action::Commit { block: id, certificate });
        }
        Ok(())
    }

    /// A block is kept; the next height comes.
    pub(super) fn committed(&mut self, head: Head) -> Result<(), EngineError> {
        let expected = self.deciding.take().filter(|certificate| certificate.block == head.block);
        if expected.is_none() || head.height != self.height() {
            let height = head.height.0;
            return Err(CoreError::Broken(format!("height {height} was kept and not decided")).into());
        }
        self.head = head;
        self.barrier.next_height(expected);
        (self.running, self.votes, self.wanted) = (false, true, None);
        self.blocks.next(self.height());
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.sift(self.height(), |message| self.is_sound(message));
        self.ahead = ahead;
        self.stop_steps();
        self.speakers.clear();
        self.recalled.clear();
        self.actions.push(Action::Stop(Timer::Fetch));
        if self.logged > Self::MOST_LOG {
            (self.logged, self.dirty) = (0, false);
            self.actions.push(Action::Restart);
        }
        let height = self.head.height;
        self.told.retain(|_, told| *told > height);
        if self.take_decided() {
            return Ok(());
        }
        if self.told.is_empty() {
            self.asked = None;
            self.actions.push(Action::Stop(Timer::Ask));
        } else if self.told.values().any(|told| told.0 > height.0 + 1) {
            self.ask();
        }
        self.begin_if_due()
    }

    /// Another replica tells what its newest block is.
    pub(super) fn told_head(&mut self, from: PublicKey, height: Height) {
        if height <= self.head.height || self.head.validators.power(&from).is_none() {
            return;
        }
        let first = self.told.is_empty();
        let told = self.told.entry(from).or_insert(height);
        *told = height.max(*told);
        if self.asked.is_some() {
            return;
        }
        if height.0 > self.head.height.0 + 1 {
            self.ask();
        } else if first {
            // A moment behind is nothing to make a noise about: the votes are on their way.
            self.actions.push(Action::Start(Timer::Ask, self.timing.fetch));
        }
    }

    /// Asks somebody who told of more for what is missing here, another one each time.
    pub(super) fn ask(&mut self) {
        if self.deciding.is_some() {
            return self.actions.push(Action::Start(Timer::Ask, self.timing.repeat));
        }
        let newer = |key: &PublicKey| self.told.get(key).is_some_and(|told| *told > self.head.height);
        let candidates: Vec<PublicKey> = self.told.keys().filter(|key| newer(key)).copied().collect();
        let after = self.last_asked.and_then(|last| candidates.iter().find(|key| **key > last));
        let Some(key) = after.or(candidates.first()).copied() else { return };
        (self.asked, self.last_asked) = (Some(key), Some(key));
        self.send(To::One(key), Message::Ask { from: self.height() });
        self.actions.push(Action::Start(Timer::Ask, self.timing.repeat));
    }

    /// Nobody answered.
    pub(super) fn ask_again(&mut self) {
        if let Some(silent) = self.asked.take() {
            // It may tell of its head again, and is asked again then.
            self.told.remove(&silent);
        }
        self.ask();
    }

    pub(super) fn asked_by(&mut self, from: PublicKey, first: Height) {
        let known = first <= self.head.height && first > Height(0);
        if known && self.loading.insert(from) {
            self.actions.push(Action::Load { from: first, most: Message::MOST_BLOCKS, to: from });
        }
    }

    pub(super) fn loaded(&mut self, to: PublicKey, blocks: Vec<(Bytes, Certificate)>) {
        self.loading.remove(&to);
        let mut room = Block::MAX_BYTES;
        let fits = |(block, certificate): (Bytes, Certificate)| {
            let first = room == Block::MAX_BYTES;
            let size = block.len() + Certificate::MAX_BYTES;
            let fits = first || size <= room;
            room = room.saturating_sub(size);
            fits.then_some(Decided { block, certificate })
        };
        let decided: Vec<Decided> = blocks.into_iter().map_while(fits).collect();
        if !decided.is_empty() {
            self.send(To::One(to), Message::Decided(decided));
        }
    }

    pub(super) fn received_decided(
        &mut self,
        from: PublicKey,
        blocks: Vec<Decided>,
    ) -> Result<(), EngineError> {
        if self.asked != Some(from) {
            return Ok(());
        }
        self.asked = None;
        self.decided.clear();
        self.decided.extend(blocks.into_iter().map(|decided| (from, decided)));
        if self.deciding.is_none() {
            self.take_decided();
        }
        Ok(())
    }

    /// Takes the next of the decided blocks that were sent; whether there was one.
    fn take_decided(&mut self) -> bool {
        while let Some((from, decided)) = self.decided.pop_front() {
            match self.check_decided(&decided) {
                Ok(None) => {}
                Ok(Some((id, block))) => {
                    self.blocks.insert(id, Known::new(block, decided.block));
                    self.deciding = Some(decided.certificate.clone());
                    self.stop_steps();
                    let known = self.blocks.get(&id);
                    match known.map(|known| (known.ready, Arc::clone(&known.block))) {
                        Some((true, _)) => {
                            let certificate = decided.certificate;
                            self.actions.push(Action::Commit { block: id, certificate });
                        }
                        Some((false, block)) => self.actions.push(Action::Judge { block, fresh: false }),
                        None => {}
                    }
                    return true;
                }
                Err(why) => {
                    tracing::warn!(%from, why, "a replica sent blocks that were not decided");
                    self.decided.clear();
                    self.told.remove(&from);
                }
            }
        }
        false
    }

    /// Whether a block was decided; nothing if it is of a height that is not wanted now.
    fn check_decided(&self, decided: &Decided) -> Result<Option<(Hash, Block)>, String> {
        let Decided { block, certificate } = decided;
        if certificate.height < self.height() {
            return Ok(None);
        }
        if certificate.height != self.height() || certificate.group != self.group() {
            return Err("it is of another height or group".to_owned());
        }
        let cluster = self.core.identity().cluster;
        certificate.verify(&self.head.validators, &cluster).map_err(|error| error.to_string())?;
        let block = Block::decode(block).map_err(|error| error.to_string())?;
        let id = block.header.id(&cluster);
        if id != certificate.block || block.header.height != certificate.height {
            return Err("the certificate is another block's".to_owned());
        }
        if !is_whole(&block) {
            return Err("its requests are not those that its header names".to_owned());
        }
        Ok(Some((id, block)))
    }
}
