//! What replicas say to each other, and its one byte form.
//!
//! A message is borsh after one byte of version. Limits hold before memory is taken: a short message is at most
//! [`Message::MOST_SHORT`] bytes, one that carries blocks at most [`Message::MOST_LONG`]. What is decoded is well-formed
//! and nothing more: signatures are verified by whoever acts on it.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hypermesh_chain::certificate::{Vote, VoteKind};
use hypermesh_chain::codec::{Canonical, DecodeError, RuleError};
use hypermesh_chain::{
    Block, Certificate, GroupId, Hash, Height, Proposal, PublicKey, Signature, ValidatorSet,
};
use std::io;

/// The version of the form.
pub const VERSION: u8 = 1;

/// A vote with who cast it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// Who cast it.
    pub voter: PublicKey,
    /// Over the vote's message.
    pub signature: Signature,
}

/// A proposal with who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedProposal {
    /// The proposal.
    pub proposal: Proposal,
    /// Who made it.
    pub proposer: PublicKey,
    /// Over the proposal's message.
    pub signature: Signature,
}

/// That a quorum prevoted a block in a round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Polka {
    /// The replication group.
    pub group: GroupId,
    /// The height that is decided.
    pub height: Height,
    /// The round of the prevotes.
    pub round: u32,
    /// The block's id.
    pub block: Hash,
    /// Who prevoted it.
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Why a round may be entered: votes of it from more than a third, or a quorum's precommits of the round before.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundEntry {
    /// The replication group.
    pub group: GroupId,
    /// The height that is decided.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// Whether they are a quorum's precommits.
    pub precommits: bool,
    /// The votes: kind, block or nil, who, and the signature.
    pub votes: Vec<(VoteKind, Option<Hash>, PublicKey, Signature)>,
}

/// A block that was decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// The block's bytes.
    pub block: Bytes,
    /// What decided it.
    pub certificate: Certificate,
}

/// Why a block may have been decided at a height.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Reach {
    /// It was.
    Decided(Certificate),
    /// A quorum prevoted it, and who says so has precommitted it.
    Polka(Polka),
}

/// A message from one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// A vote.
    Vote(SignedVote),
    /// A proposal.
    Proposal(SignedProposal),
    /// A quorum's prevotes.
    Polka(Polka),
    /// Why a round may be entered.
    Round(RoundEntry),
    /// A block of a height that is not decided.
    Block {
        /// Its height.
        height: Height,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The bytes of a block are missing.
    Want {
        /// Its height.
        height: Height,
        /// Its id.
        block: Hash,
    },
    /// The newest block that is decided here.
    Head {
        /// Its height.
        height: Height,
    },
    /// Decided blocks are missing.
    Ask {
        /// The first of them.
        from: Height,
    },
    /// Decided blocks, one after another.
    Decided(Vec<Decided>),
    /// Requests that wait to be ordered, as the state machine encodes them.
    Requests(Vec<Bytes>),
    /// Which height may have been decided by now, anywhere? Asked before a consistent read.
    Probe {
        /// The asker's number for the question.
        number: u64,
        /// The newest height that is decided at the asker.
        height: Height,
    },
    /// The answer to a [`Message::Probe`].
    Reached {
        /// The number of the question.
        number: u64,
        /// The highest height at which this replica has precommitted a block, or knows one to be decided.
        height: Height,
        /// Why; not needed where the asker is that far itself.
        proof: Option<Reach>,
    },
    /// Requests that a proposer did not order, since they come to nothing.
    LeftOut {
        /// They come to nothing once this height is decided.
        height: Height,
        /// Their digests.
        requests: Vec<Hash>,
    },
}

impl Message {
    /// The longest message that carries no block, in bytes.
    pub const MOST_SHORT: usize = 96 << 10;
    /// The longest message, in bytes.
    pub const MOST_LONG: usize = Block::MAX_BYTES + Certificate::MAX_BYTES + 64;
    /// The most blocks of one answer.
    pub const MOST_BLOCKS: usize = 16;
    /// The most requests of one message.
    pub const MOST_REQUESTS: usize = 2048;

    /// The byte form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        // Writing to memory fails only for lists that are longer than 2^32.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// Reads the byte form, all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (what, length) = (Self::WHAT, bytes.len());
        let Some((&version, mut rest)) = bytes.split_first() else { return Err(malformed("it is empty")) };
        if version != VERSION {
            return Err(malformed("it has another version"));
        }
        let long = rest.first().is_some_and(|tag| LONG.contains(tag));
        let limit = if long { Self::MOST_LONG } else { Self::MOST_SHORT };
        if length > limit {
            return Err(DecodeError::TooLong { what, length, limit });
        }
        let message =
            Self::deserialize(&mut rest).map_err(|source| DecodeError::Malformed { what, source })?;
        if !rest.is_empty() {
            return Err(malformed("bytes are left over"));
        }
        message.check().map_err(|source| DecodeError::Invalid { what, source })?;
        Ok(message)
    }

    const WHAT: &'static str = "message";

    fn check(&self) -> Result<(), RuleError> {
        match self {
            Self::Vote(_)
            | Self::Want { .. }
            | Self::Head { .. }
            | Self::Ask { .. }
            | Self::Probe { .. }
            | Self::Reached { proof: None, .. } => Ok(()),
            Self::Reached { proof: Some(Reach::Decided(certificate)), .. } => certificate.check(),
            Self::Reached { proof: Some(Reach::Polka(polka)), .. } => {
                limit("signatures", polka.signatures.len(), ValidatorSet::MAX)
            }
            Self::LeftOut { requests, .. } => limit("requests", requests.len(), Self::MOST_REQUESTS),
            Self::Proposal(signed) => signed.proposal.check(),
            Self::Polka(polka) => limit("signatures", polka.signatures.len(), ValidatorSet::MAX),
            Self::Round(entry) => limit("votes", entry.votes.len(), ValidatorSet::MAX),
            Self::Block { bytes, .. } => limit("bytes", bytes.len(), Block::MAX_BYTES),
            Self::Decided(decided) => {
                limit("blocks", decided.len(), Self::MOST_BLOCKS)?;
                decided.iter().try_for_each(|decided| {
                    limit("block", decided.block.len(), Block::MAX_BYTES)?;
                    decided.certificate.check()
                })
            }
            Self::Requests(requests) => limit("requests", requests.len(), Self::MOST_REQUESTS),
        }
    }
}

/// Tags of the messages that carry blocks or requests.
const LONG: [u8; 3] = [4, 8, 9];

fn limit(part: &'static str, length: usize, limit: usize) -> Result<(), RuleError> {
    if length > limit { Err(RuleError::TooLong { part, length, limit }) } else { Ok(()) }
}

fn malformed(why: &'static str) -> DecodeError {
    let source = io::Error::new(io::ErrorKind::InvalidData, why);
    DecodeError::Malformed { what: Message::WHAT, source }
}

#[cfg(test)]
mod tests;
