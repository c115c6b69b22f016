//! Who this replica is, and what it has said at the height that is being decided.
//!
//! Of each kind of statement a replica makes one a round, whatever it forgets and whatever its core makes of what it
//! reads again after a crash. The register is filled from the log before the core is asked anything, and a second
//! statement that differs is never signed: the replica stops instead.

use crate::context::{Proposal, Vote};
use crate::translate;
use hypermesh_chain::certificate::VoteKind;
use hypermesh_chain::{self as chain, ClusterId, GroupId, Hash, PublicKey, Signature, SigningKey};
use std::collections::BTreeMap;

/// Who this replica is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// It signs with this key.
    pub key: SigningKey,
    /// The cluster that everything signed is for.
    pub cluster: ClusterId,
    /// The replication group.
    pub group: GroupId,
}

/// What a statement is about: of each, a replica makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Proposal(u32),
    Vote(VoteKind, u32),
}

/// What a statement says there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Proposal(Hash, Option<u32>),
    Vote(Option<Hash>),
}

/// The replica was about to contradict what it has said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a second statement of height {} and round {round} would contradict the first", .height.0)]
pub struct Contradiction {
    /// The height of both.
    pub height: chain::Height,
    /// The round of both.
    pub round: u32,
}

/// Signs for a replica, each place once.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) identity: Identity,
    public: PublicKey,
    height: chain::Height,
    said: BTreeMap<Place, Said>,
}

impl Signer {
    pub(crate) fn new(identity: Identity) -> Self {
        let public = identity.key.public();
        Self { identity, public, height: chain::Height(0), said: BTreeMap::new() }
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.public
    }

    /// Goes to a height; what was said at others is of no more use.
    pub(crate) fn begin(&mut self, height: chain::Height) {
        if self.height != height {
            self.height = height;
            self.said.clear();
        }
    }

    /// Remembers what the log says was said.
    pub(crate) fn recall_vote(&mut self, vote: &chain::Vote) -> Result<(), Contradiction> {
        self.say(vote.height, vote.round, Place::Vote(vote.kind, vote.round), Said::Vote(vote.block))
    }

    /// Remembers what the log says was proposed.
    pub(crate) fn recall_proposal(&mut self, proposal: &chain::Proposal) -> Result<(), Contradiction> {
        let said = Said::Proposal(proposal.block, proposal.valid_round);
        self.say(proposal.height, proposal.round, Place::Proposal(proposal.round), said)
    }

    /// Whether it has proposed in a round.
    pub(crate) fn has_proposed(&self, round: u32) -> bool {
        self.said.contains_key(&Place::Proposal(round))
    }

    pub(crate) fn sign_vote(&mut self, vote: &Vote) -> Result<Signature, Contradiction> {
        let vote = translate::vote(self.identity.group, vote);
        self.recall_vote(&vote)?;
        Ok(self.identity.key.sign(&vote.message(&self.identity.cluster)))
    }

    pub(crate) fn sign_proposal(&mut self, proposal: &Proposal) -> Result<Signature, Contradiction> {
        let proposal = translate::proposal(self.identity.group, proposal);
        self.recall_proposal(&proposal)?;
        Ok(self.identity.key.sign(&proposal.message(&self.identity.cluster)))
    }

    fn say(
        &mut self,
        height: chain::Height,
        round: u32,
        place: Place,
        said: Said,
    ) -> Result<(), Contradiction> {
        let same = height == self.height && *self.said.entry(place).or_insert(said) == said;
        if same { Ok(()) } else { Err(Contradiction { height, round }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Address, BlockId, Height};
    use malachitebft_core_types::{NilOrVal, Round, VoteType};

    fn signer() -> Signer {
        let identity = Identity {
            key: SigningKey::from_seed(&[1; 32]),
            cluster: ClusterId(Hash([7; 32])),
            group: GroupId(0),
        };
        let mut signer = Signer::new(identity);
        signer.begin(chain::Height(4));
        signer
    }

    fn vote(kind: VoteType, round: u32, block: Option<u8>) -> Vote {
        let value = block.map_or(NilOrVal::Nil, |byte| NilOrVal::Val(BlockId(Hash([byte; 32]))));
        let voter = Address(SigningKey::from_seed(&[1; 32]).public());
        Vote { kind, height: Height(4), round: Round::new(round), value, voter }
    }

    #[test]
    fn the_same_is_said_as_often_as_it_is_asked_for() {
        let mut signer = signer();
        let vote = vote(VoteType::Prevote, 0, Some(1));
        let first = signer.sign_vote(&vote).unwrap();
        assert_eq!(signer.sign_vote(&vote), Ok(first));
        let said = translate::vote(GroupId(0), &vote);
        assert_eq!(signer.public().verify(&said.message(&ClusterId(Hash([7; 32]))), &first), Ok(()));
    }

    #[test]
    fn nothing_else_is_said_in_the_same_place() {
        let mut signer = signer();
        signer.sign_vote(&vote(VoteType::Prevote, 0, Some(1))).unwrap();
        for other in [None, Some(2)] {
            let refused = signer.sign_vote(&vote(VoteType::Prevote, 0, other));
            assert_eq!(refused, Err(Contradiction { height: chain::Height(4), round: 0 }));
        }
        // Another kind or round is another place.
        signer.sign_vote(&vote(VoteType::Precommit, 0, None)).unwrap();
        signer.sign_vote(&vote(VoteType::Prevote, 1, Some(2))).unwrap();
    }

    #[test]
    fn what_was_logged_counts_as_said() {
        let mut signer = signer();
        let logged = translate::vote(GroupId(0), &vote(VoteType::Precommit, 2, None));
        signer.recall_vote(&logged).unwrap();
        assert!(signer.sign_vote(&vote(VoteType::Precommit, 2, Some(1))).is_err());
        signer.begin(chain::Height(4));
        assert!(signer.sign_vote(&vote(VoteType::Precommit, 2, Some(1))).is_err(), "the height is the same");
    }

    #[test]
    fn one_height_is_signed_for_at_a_time() {
        let mut signer = signer();
        signer.begin(chain::Height(5));
        assert!(signer.sign_vote(&vote(VoteType::Prevote, 0, None)).is_err());
    }
}
