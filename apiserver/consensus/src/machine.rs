//! The trait between an engine and a state machine.

use bytes::Bytes;
use hypermesh_chain::{
    Block, Certificate, Hash, Height, PublicKey, Revision, Signature, Timestamp, ValidatorSet,
};
use std::io::{Read, Write};
use std::sync::Arc;

/// How large a block may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in one block.
    pub requests: usize,
    /// Bytes of their bodies together.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 2048, bytes: 16 << 20 }
    }
}

/// How a block came to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// Proposed for the first time, at this time of the replica's clock: its time must be near.
    Fresh(Timestamp),
    /// Proposed again because a quorum saw it before, or replayed: its time has been judged.
    Known,
}

/// What a state machine says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be decided. Its outcome is kept, by its id, until the height is decided.
    Valid,
    /// It must not be voted for.
    Invalid(String),
}

/// A replica's word on its newest block, for who wants proof that a read is fresh. Attestations are never ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The newest height.
    pub height: Height,
    /// Its block's id.
    pub block: Hash,
    /// The asker's nonce.
    pub nonce: [u8; 32],
    /// The replica's signature over all of it.
    pub signature: Signature,
}

/// A replicated state machine.
pub trait StateMachine {
    /// What may go wrong in the machine itself (never in a block).
    type Error: std::error::Error + Send + Sync + 'static;

    /// The newest committed height and block.
    fn head(&self) -> (Height, Hash);

    /// Revision of the newest committed write.
    fn revision(&self) -> Revision;

    /// Who decides the next height.
    fn validators(&self) -> &ValidatorSet;

    /// Who composed the newest block.
    fn proposer(&self) -> PublicKey;

    /// Whether there is something to order: requests that wait, or work of the machine's own.
    fn has_work(&self) -> bool;

    /// Decided blocks from a height on, each as its bytes and what decided it: at most so many, without a gap, and none
    /// where history does not reach back to the first.
    fn blocks(&self, from: Height, most: usize) -> Result<Vec<(Bytes, Certificate)>, Self::Error>;

    /// Makes the next block of what is waiting, at time `now`. `None` when nothing waits that has to be ordered.
    fn prepare(&mut self, limits: &Limits, now: Timestamp) -> Result<Option<Arc<Block>>, Self::Error>;

    /// Judges a block that follows the newest one.
    fn validate(&mut self, block: &Block, proposal: Proposal) -> Result<Verdict, Self::Error>;

    /// Keeps a block that was made or found valid here, for good.
    fn commit(&mut self, block: &Hash, certificate: &Certificate) -> Result<(), Self::Error>;

    /// Forgets a block that will not be decided.
    fn abandon(&mut self, block: &Hash);

    /// Signs the newest height for an asker's nonce.
    fn attest_head(&self, nonce: [u8; 32]) -> Attestation;

    /// Writes the state as of the newest block, in provable chunks.
    fn snapshot(&self, output: &mut dyn Write) -> Result<(), Self::Error>;

    /// Replaces an empty state by a snapshot.
    fn restore(&mut self, input: &mut dyn Read) -> Result<(), Self::Error>;

    /// Keeps proof that a validator misbehaved (canonical bytes), to be shown to operators.
    fn evidence(&mut self, proof: &[u8]) -> Result<(), Self::Error>;
}
