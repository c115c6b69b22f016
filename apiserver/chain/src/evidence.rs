//! Proof that a validator said two things of which an honest one says one.
//!
//! Two signed statements about one height and round that exclude each other: no honest validator makes both, whatever it
//! saw and however often it was restarted. Everyone can verify it who knows the cluster's id; that the key belonged to a
//! validator of the height is the reader's to compare.

use crate::{
    certificate::Vote,
    codec::{Canonical, RuleError},
    genesis::ClusterId,
    ids::Height,
    key::{PublicKey, Signature, SignatureError},
    proposal::Proposal,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// That a validator contradicted itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// It voted twice.
    Votes {
        /// Who.
        key: PublicKey,
        /// The two votes, the lesser first.
        votes: [(Vote, Signature); 2],
    },
    /// It proposed twice.
    Proposals {
        /// Who.
        key: PublicKey,
        /// The two proposals, the lesser first.
        proposals: [(Proposal, Signature); 2],
    },
}

impl Evidence {
    /// Evidence of two votes in any order; `None` where an honest validator may have cast both.
    pub fn of_votes(key: PublicKey, mut votes: [(Vote, Signature); 2]) -> Option<Self> {
        votes.sort_by_key(|(vote, _)| vote.block);
        Some(Self::Votes { key, votes }).filter(|evidence| evidence.check().is_ok())
    }

    /// Evidence of two proposals in any order; `None` where an honest validator may have made both.
    pub fn of_proposals(key: PublicKey, mut proposals: [(Proposal, Signature); 2]) -> Option<Self> {
        proposals.sort_by_key(|(proposal, _)| *proposal);
        Some(Self::Proposals { key, proposals }).filter(|evidence| evidence.check().is_ok())
    }

    /// Who contradicted itself.
    pub fn key(&self) -> PublicKey {
        match self {
            Self::Votes { key, .. } | Self::Proposals { key, .. } => *key,
        }
    }

    /// The height at which it did.
    pub fn height(&self) -> Height {
        match self {
            Self::Votes { votes: [(vote, _), _], .. } => vote.height,
            Self::Proposals { proposals: [(proposal, _), _], .. } => proposal.height,
        }
    }

    /// Verifies that the key signed both.
    pub fn verify(&self, cluster: &ClusterId) -> Result<(), SignatureError> {
        match self {
            Self::Votes { key, votes } => {
                votes.iter().try_for_each(|(vote, signature)| key.verify(&vote.message(cluster), signature))
            }
            Self::Proposals { key, proposals } => proposals
                .iter()
                .try_for_each(|(proposal, signature)| key.verify(&proposal.message(cluster), signature)),
        }
    }
}

impl Canonical for Evidence {
    const WHAT: &'static str = "evidence";
    const MAX_BYTES: usize = 512;

    fn check(&self) -> Result<(), RuleError> {
        let same_place = match self {
            Self::Votes { votes: [(a, _), (b, _)], .. } => Vote { block: b.block, ..*a } == *b,
            Self::Proposals { proposals: [(a, _), (b, _)], .. } => {
                (a.group, a.height, a.round) == (b.group, b.height, b.round)
            }
        };
        RuleError::ensure(same_place, "statements", "are of different heights, rounds or kinds")?;
        match self {
            Self::Votes { votes: [(a, _), (b, _)], .. } => {
                RuleError::ascending("votes", [a.block, b.block].iter())
            }
            Self::Proposals { proposals: [(a, _), (b, _)], .. } => {
                RuleError::ascending("proposals", [a, b].iter())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::VoteKind;
    use crate::ids::{GroupId, Hash};
    use crate::key::SigningKey;

    const CLUSTER: ClusterId = ClusterId(Hash([7; 32]));

    fn vote(block: Option<u8>) -> Vote {
        let block = block.map(|byte| Hash([byte; 32]));
        Vote { kind: VoteKind::Prevote, group: GroupId(0), height: Height(4), round: 1, block }
    }

    fn signed(key: &SigningKey, vote: Vote) -> (Vote, Signature) {
        (vote, key.sign(&vote.message(&CLUSTER)))
    }

    #[test]
    fn two_votes_for_different_blocks_prove_it() {
        let key = SigningKey::from_seed(&[1; 32]);
        let (a, b) = (signed(&key, vote(Some(1))), signed(&key, vote(None)));
        let evidence = Evidence::of_votes(key.public(), [a, b]).unwrap();
        assert_eq!(Some(&evidence), Evidence::of_votes(key.public(), [b, a]).as_ref(), "it has one form");
        assert_eq!(evidence.verify(&CLUSTER), Ok(()));
        assert_eq!((evidence.key(), evidence.height()), (key.public(), Height(4)));
        assert_eq!(Evidence::decode(&evidence.encode()).unwrap(), evidence);
        assert!(evidence.verify(&ClusterId(Hash([8; 32]))).is_err());
    }

    #[test]
    fn what_an_honest_validator_says_proves_nothing() {
        let key = SigningKey::from_seed(&[1; 32]);
        let a = signed(&key, vote(Some(1)));
        assert_eq!(Evidence::of_votes(key.public(), [a, a]), None);
        for other in [
            Vote { round: 2, ..vote(Some(2)) },
            Vote { height: Height(5), ..vote(Some(2)) },
            Vote { kind: VoteKind::Precommit, ..vote(Some(2)) },
            Vote { group: GroupId(1), ..vote(Some(2)) },
        ] {
            assert_eq!(Evidence::of_votes(key.public(), [a, signed(&key, other)]), None);
        }
    }

    #[test]
    fn two_proposals_of_a_round_prove_it() {
        let key = SigningKey::from_seed(&[1; 32]);
        let first = Proposal {
            group: GroupId(0),
            height: Height(4),
            round: 1,
            valid_round: None,
            block: Hash([1; 32]),
        };
        let sign = |proposal: Proposal| (proposal, key.sign(&proposal.message(&CLUSTER)));
        let second = Proposal { block: Hash([2; 32]), ..first };
        let evidence = Evidence::of_proposals(key.public(), [sign(second), sign(first)]).unwrap();
        assert_eq!(evidence.verify(&CLUSTER), Ok(()));
        let forged = [(second, Signature([0; 64])), sign(first)];
        assert!(Evidence::of_proposals(key.public(), forged).unwrap().verify(&CLUSTER).is_err());
        let later = Proposal { round: 2, ..second };
        assert_eq!(Evidence::of_proposals(key.public(), [sign(first), sign(later)]), None);
    }
}
