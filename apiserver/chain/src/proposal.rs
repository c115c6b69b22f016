//! What a proposer signs: which block is to be decided, and why it may be.
//!
//! A proposal names a block by its id. Its bytes travel apart, and need no signature: they are the only ones with this id.

use crate::{
    codec::{Canonical, RuleError, to_bytes},
    domain,
    genesis::ClusterId,
    ids::{GroupId, Hash, Height},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// That a block is proposed at a height and a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The replication group.
    pub group: GroupId,
    /// The height that is decided.
    pub height: Height,
    /// The attempt at it, from 0.
    pub round: u32,
    /// The earlier round in which a quorum prevoted this block; none if it is proposed for the first time.
    pub valid_round: Option<u32>,
    /// The block's id.
    pub block: Hash,
}

impl Proposal {
    /// What is signed: domain ‖ cluster ‖ group ‖ height ‖ round ‖ valid round or none ‖ block. Integers are
    /// little-endian.
    pub fn message(&self, cluster: &ClusterId) -> Vec<u8> {
        domain::PROPOSAL.message(&[&cluster.0.0, &to_bytes(self)])
    }
}

impl Canonical for Proposal {
    const WHAT: &'static str = "proposal";
    const MAX_BYTES: usize = 4 + 8 + 4 + 5 + 32;

    fn check(&self) -> Result<(), RuleError> {
        let earlier = self.valid_round.is_none_or(|valid| valid < self.round);
        RuleError::ensure(earlier, "valid_round", "must lie before the round")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_signed() {
        let (cluster, other) = (ClusterId(Hash([7; 32])), ClusterId(Hash([8; 32])));
        let good = Proposal {
            group: GroupId(1),
            height: Height(2),
            round: 3,
            valid_round: Some(1),
            block: Hash([5; 32]),
        };
        let changes: [fn(&mut Proposal); 5] = [
            |p| p.group.0 += 1,
            |p| p.height.0 += 1,
            |p| p.round += 1,
            |p| p.valid_round = None,
            |p| p.block.0[0] ^= 1,
        ];
        for change in changes {
            let mut changed = good;
            change(&mut changed);
            assert_ne!(changed.message(&cluster), good.message(&cluster));
        }
        assert_ne!(good.message(&other), good.message(&cluster));
        assert_eq!(Proposal::decode(&good.encode()).unwrap(), good);
        assert!(Proposal::decode(&Proposal { valid_round: Some(3), ..good }.encode()).is_err());
        insta::assert_snapshot!(hex::encode(good.message(&cluster)), @"686d3a70726f706f73616c3a3100000007070707070707070707070707070707070707070707070707070707070707070100000002000000000000000300000001010000000505050505050505050505050505050505050505050505050505050505050505");
    }
}
