//! From a log to the point at which the replica was when it stopped.
//!
//! Everything that led to a statement was logged before it was sent, and the core is a function of what goes in. So what
//! was logged goes in again, in its order; the same statements come out, are signed the same, and are sent once more.
//! Only what the log lacks is logged.

use super::blocks::Known;
use super::{Engine, EngineError, members_after};
use crate::entry::Entry;
use crate::event::Action;
use hypermesh_chain::{Block, Canonical};

impl Engine {
    /// Takes up what the log holds. To be called once, before any event.
    ///
    /// `lost` says that there should be a log and is none: a replica with other replicas beside it, which might have
    /// spoken of the height after its head and cannot know. It does not vote at that height. At later ones it cannot have
    /// spoken, since a replica keeps a block before it speaks of the next.
    pub fn recover(&mut self, log: &[Vec<u8>], lost: bool) -> Result<Vec<Action>, EngineError> {
        self.votes = !lost;
        self.logged = log.iter().map(|entry| entry.len() as u64).sum();
        let height = self.height();
        let mut entries = Vec::new();
        for (index, bytes) in log.iter().enumerate() {
            let entry = Entry::decode(bytes).ok_or(EngineError::Entry { index })?;
            if entry.height() > height {
                return Err(EngineError::LogAhead { log: entry.height(), store: self.head.height });
            }
            if entry.height() == height {
                self.recalled.insert(bytes.clone());
                entries.push(entry);
            }
        }
        if !entries.is_empty() {
            self.recall(&entries)?;
        }
        Ok(std::mem::take(&mut self.actions))
    }

    fn recall(&mut self, entries: &[Entry]) -> Result<(), EngineError> {
        let height = self.height();
        for (index, entry) in entries.iter().enumerate() {
            if let Entry::Block { bytes, .. } = entry {
                let block = Block::decode(bytes).map_err(|_| EngineError::Entry { index })?;
                let id = block.header.id(&self.core.identity().cluster);
                self.blocks.insert(id, Known::new(block, bytes.clone()));
            }
        }
        for entry in entries {
            if let Entry::Verdict { block, valid, .. } = entry
                && let Some(known) = self.blocks.get_mut(block)
            {
                known.valid = Some(*valid);
            }
        }
        self.core.recall(height, entries)?;
        let acts = self.core.start(height, members_after(&self.head)?, self.votes)?;
        self.running = true;
        self.perform(acts)?;
        for entry in entries {
            if self.deciding.is_some() {
                break;
            }
            let acts = self.core.replay(entry)?;
            self.perform(acts)?;
        }
        self.core.recalled();
        Ok(())
    }
}
