//! How much an engine keeps of what others send, and how much that may be.

use super::{Engine, ahead, barrier, blocks};
use crate::message::Message;

/// How much an engine keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Statements about heights that are not begun.
    pub ahead: usize,
    /// Blocks that nobody has named.
    pub early: usize,
    /// Blocks that are named.
    pub named: usize,
    /// Blocks that are here.
    pub blocks: usize,
    /// Blocks that somebody has voted for.
    pub vouched: usize,
    /// Blocks that somebody was sent again.
    pub answered: usize,
    /// Blocks and rounds whose prevotes are kept for readers.
    pub polls: usize,
    /// The round of the height.
    pub round: u32,
    /// Replicas that told of a newer head.
    pub told: usize,
    /// Replicas that are known to speak at this height.
    pub speakers: usize,
    /// Decided blocks that wait to be kept.
    pub decided: usize,
    /// Inputs that wait their turn.
    pub inputs: usize,
}

impl Kept {
    /// What there is more of than there may be among so many validators; nothing if all is well.
    pub fn beyond(&self, validators: usize) -> Option<&'static str> {
        // The core counts votes up to ten rounds ahead, and of each validator at most two in a round and those that
        // contradict them.
        let rounds = self.round as usize + 12;
        let bounds = [
            // This height and the next.
            ("statements about later heights", self.ahead, 2 * validators * ahead::MOST),
            ("blocks that nobody named", self.early, validators),
            ("blocks that are named", self.named, blocks::MOST_NAMED),
            // One that was decided elsewhere need not be named.
            ("blocks", self.blocks, blocks::MOST_NAMED + 1),
            ("blocks that are voted for", self.vouched, 4 * validators * rounds),
            ("blocks that were sent again", self.answered, validators * (blocks::MOST_NAMED + 1)),
            ("prevotes for readers", self.polls, barrier::MOST_POLLS),
            ("replicas that are ahead", self.told, validators),
            ("replicas that speak", self.speakers, validators),
            ("decided blocks", self.decided, Message::MOST_BLOCKS),
            ("inputs", self.inputs, 0),
        ];
        bounds.into_iter().find(|(_, found, most)| found > most).map(|(what, ..)| what)
    }
}

impl Engine {
    /// How much is kept of what others sent, between two events.
    pub fn kept(&self) -> Kept {
        let blocks::Counts { early, named, known, vouched, answered } = self.blocks.counts();
        Kept {
            ahead: self.ahead.count(),
            early,
            named,
            blocks: known,
            vouched,
            answered,
            polls: self.barrier.polls(),
            round: self.core.round().unwrap_or(0),
            told: self.told.len(),
            speakers: self.speakers.len(),
            decided: self.decided.len(),
            inputs: self.queue.len(),
        }
    }
}
