//! What is logged of a height that is not decided: everything that a restarted replica must know to say the same again.
//!
//! An entry is borsh after one byte of version. Entries come from this replica's own disk; they are still decoded as if
//! they did not.

use crate::message::{Polka, SignedProposal, SignedVote};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hypermesh_chain::{Hash, Height};

/// The version of the form.
const VERSION: u8 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// A vote was counted, an own one or another's.
    Vote(SignedVote),
    /// A proposal was accepted, an own one or another's.
    Proposal(SignedProposal),
    /// A quorum's prevotes were counted.
    Polka(Polka),
    /// Time ran out.
    Timeout {
        /// At this height.
        height: Height,
        /// In this round.
        round: u32,
        /// In this step.
        step: Step,
    },
    /// A block was judged.
    Verdict {
        /// Its height.
        height: Height,
        /// The round it was judged in.
        round: u32,
        /// Its id.
        block: Hash,
        /// Whether it may be voted for.
        valid: bool,
    },
    /// The bytes of a block that is about to be voted for. If every replica lost them after a quorum locked the block,
    /// its height could never end.
    Block {
        /// Its height.
        height: Height,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// What a round waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Step {
    /// A proposal.
    Propose,
    /// Prevotes that agree.
    Prevote,
    /// Precommits that agree.
    Precommit,
    /// Anything at all: then what was said is said again.
    Rebroadcast,
}

impl Entry {
    /// The byte form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        // Writing to memory fails only for lists that are longer than 2^32.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// Reads the byte form, all of `bytes`; `None` if it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, mut rest) = bytes.split_first()?;
        let entry = Self::deserialize(&mut rest).ok()?;
        (version == VERSION && rest.is_empty()).then_some(entry)
    }

    /// The height it belongs to.
    pub fn height(&self) -> Height {
        match self {
            Self::Vote(signed) => signed.vote.height,
            Self::Proposal(signed) => signed.proposal.height,
            Self::Polka(polka) => polka.height,
            Self::Timeout { height, .. } | Self::Verdict { height, .. } | Self::Block { height, .. } => {
                *height
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (height, round) = (Height(3), 1);
        let entries = [
            Entry::Timeout { height, round, step: Step::Propose },
            Entry::Verdict { height, round, block: Hash([1; 32]), valid: true },
            Entry::Block { height, bytes: Bytes::from_static(b"block") },
        ];
        for entry in entries {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes).as_ref(), Some(&entry));
            assert_eq!(entry.height(), height);
            assert_eq!(Entry::decode(&bytes[..bytes.len() - 1]), None);
            assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(Entry::decode(&[&[2], &bytes[1..]].concat()), None);
        }
        assert_eq!(Entry::decode(&[]), None);
    }
}
