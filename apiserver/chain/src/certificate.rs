//! Votes of the replication protocol, and the certificate that a quorum of them makes.
//!
//! What a vote signs is separated by cluster, group, height, round and kind, so a vote counts once and for one thing
//! only. A certificate's signatures stand in the order of their keys: one set of votes has one form.

use crate::{
    codec::{self, Canonical, RuleError},
    domain,
    genesis::ClusterId,
    ids::{GroupId, Hash, Height},
    key::{PublicKey, Signature, verify_batch},
    planted,
    validator::ValidatorSet,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// The two kinds of vote of Tendermint's rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum VoteKind {
    /// The first: the proposal is acceptable.
    Prevote,
    /// The second: a quorum prevoted. A quorum of these decides.
    Precommit,
}

/// What a validator votes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The replication group.
    pub group: GroupId,
    /// The height that is decided.
    pub height: Height,
    /// The attempt at it, from 0.
    pub round: u32,
    /// The block's id, or nothing (`nil`).
    pub block: Option<Hash>,
}

impl Vote {
    /// What is signed: domain ‖ cluster ‖ kind ‖ group ‖ height ‖ round ‖ block or none. Integers are little-endian.
    pub fn message(&self, cluster: &ClusterId) -> Vec<u8> {
        domain::VOTE.message(&[&cluster.0.0, &codec::to_bytes(self)])
    }
}

/// That a quorum precommitted a block: the block is decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// The replication group.
    pub group: GroupId,
    /// The block's height.
    pub height: Height,
    /// The round that decided it.
    pub round: u32,
    /// The block's id.
    pub block: Hash,
    /// Who precommitted, strictly ascending by key.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { ValidatorSet::MAX }>")]
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Why a certificate certifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Keys repeat or are out of order.
    #[error("the signatures are not in strictly ascending order of their keys")]
    Unordered,
    /// A signer is no validator of this height.
    #[error("{0} is no validator of this height")]
    Foreign(PublicKey),
    /// The signers are too few.
    #[error("the signers' power is {power}, a quorum needs {quorum}")]
    TooFew {
        /// The power of those who signed.
        power: u64,
        /// The power that is needed.
        quorum: u64,
    },
    /// A signature does not verify.
    #[error("the precommit of {0} does not verify")]
    Signature(PublicKey),
}

impl Certificate {
    /// The vote that every signature of the certificate is over.
    pub fn vote(&self) -> Vote {
        let Self { group, height, round, block, .. } = *self;
        Vote { kind: VoteKind::Precommit, group, height, round, block: Some(block) }
    }

    /// Verifies the certificate against the validators of its height. That the block is the one the caller holds, and
    /// that `validators` is the set its header names, is the caller's to compare.
    pub fn verify(&self, validators: &ValidatorSet, cluster: &ClusterId) -> Result<(), CertificateError> {
        if !self.signatures.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(CertificateError::Unordered);
        }
        let mut power = 0;
        for (key, _) in &self.signatures {
            // Distinct members of one set: the sum is at most the set's total.
            power += validators.power(key).ok_or(CertificateError::Foreign(*key))?;
        }
        let quorum = validators.quorum();
        if power < quorum && !planted::is(planted::Fault::SmallCertificate) {
            return Err(CertificateError::TooFew { power, quorum });
        }
        let message = self.vote().message(cluster);
        let items: Vec<_> = self.signatures.iter().map(|(key, s)| (*key, message.as_slice(), *s)).collect();
        verify_batch(&items).map_err(|error| {
            let (crate::SignatureError::Key(key) | crate::SignatureError::Mismatch(key)) = error.source;
            CertificateError::Signature(key)
        })
    }
}

impl Canonical for Certificate {
    const WHAT: &'static str = "certificate";
    const MAX_BYTES: usize = 64 + ValidatorSet::MAX * 96;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("signatures", self.signatures.len(), ValidatorSet::MAX)?;
        RuleError::ascending("signatures", self.signatures.iter().map(|(key, _)| key))
    }
}

#[cfg(test)]
mod tests;
