//! Our types as the core of Tendermint wants them.
//!
//! The value that is agreed on is a block's id. Addresses are public keys. Who proposes follows from the validator set
//! alone: it carries who is first at its height, and every further round is the next one's, in order of keys.

use hypermesh_chain::{Hash, PublicKey, Signature, SigningKey, ValidatorSet};
use malachitebft_core_types::{
    self as core, LinearTimeouts, NilOrVal, Round, SignedExtension, SigningScheme, VoteType, VotingPower,
};
use std::fmt;
use std::sync::Arc;

/// The names of our types.
#[derive(Clone, Copy, Debug)]
pub struct Tendermint;

/// A height of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

/// A block's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockId(pub Hash);

/// A validator's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub PublicKey);

/// A validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    address: Address,
    power: u64,
}

/// The validators of a height, and who proposes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// In order of keys.
    list: Arc<[Member]>,
    total: u64,
    /// The place of the proposer of round 0.
    first: usize,
}

/// A proposal, before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: BlockId,
    pub(crate) pol_round: Round,
    pub(crate) proposer: Address,
}

/// A vote, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<BlockId>,
    pub(crate) voter: Address,
}

/// Blocks travel by a way of their own: there are no parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPart;

/// Ed25519 as `hypermesh-chain` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

/// Why a validator set cannot be counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// Nobody votes.
    #[error("the validator set is empty")]
    Empty,
    /// Thrice the total must be a number of 64 bits, since thresholds are counted so.
    #[error("the validators' power of {0} is too much to count thresholds with")]
    TooMuchPower(u64),
}

impl Members {
    /// The most power of a set.
    pub const MOST_POWER: u64 = u64::MAX / 3;

    /// The validators of a height whose first round is proposed by `first`; by the first of them if that is none.
    pub fn new(validators: &ValidatorSet, first: &PublicKey) -> Result<Self, MembersError> {
        let member = |v: &hypermesh_chain::Validator| Member { address: Address(v.key), power: v.power };
        let list: Arc<[Member]> = validators.validators().iter().map(member).collect();
        let total = validators.total();
        if list.is_empty() {
            return Err(MembersError::Empty);
        }
        if total > Self::MOST_POWER {
            return Err(MembersError::TooMuchPower(total));
        }
        let first = list.iter().position(|member| member.address.0 == *first).unwrap_or(0);
        Ok(Self { list, total, first })
    }

    /// Who proposes in a round.
    pub fn proposer(&self, round: u32) -> &Member {
        // Neither is the list empty nor a remainder out of it.
        let place = (self.first + round as usize % self.list.len()) % self.list.len();
        &self.list[place]
    }

    /// The keys of all, in their order.
    pub fn keys(&self) -> impl Iterator<Item = PublicKey> + '_ {
        self.list.iter().map(|member| member.address.0)
    }

    /// The power of a key; 0 if it is no validator's.
    pub fn power(&self, key: &PublicKey) -> u64 {
        core::ValidatorSet::<Tendermint>::get_by_address(self, &Address(*key))
            .map_or(0, |member| member.power)
    }

    /// The power of all.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl Member {
    /// The validator's key.
    pub fn key(&self) -> PublicKey {
        self.address.0
    }
}

impl core::Context for Tendermint {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Members;
    type Timeouts = LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, members: &'a Members, _height: Height, round: Round) -> &'a Member {
        members.proposer(round.as_u32().unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockId,
        pol_round: Round,
        proposer: Address,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl core::Address for Address {}

impl core::Validator<Tendermint> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.address.0
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

impl core::ValidatorSet<Tendermint> for Members {
    fn count(&self) -> usize {
        self.list.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.total
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        let place = self.list.binary_search_by_key(address, |member| member.address).ok()?;
        self.list.get(place)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.list.get(index)
    }
}

impl core::Proposal<Tendermint> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.value
    }

    fn take_value(self) -> BlockId {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

impl core::Vote<Tendermint> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Tendermint>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Tendermint>> {
        None
    }

    /// Extensions are disabled at every height, so the core has none to give.
    fn extend(self, _extension: SignedExtension<Tendermint>) -> Self {
        self
    }
}

impl core::ProposalPart<Tendermint> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl SigningScheme for Ed25519 {
    type DecodingError = WrongLength;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, WrongLength> {
        bytes.try_into().map(Signature).map_err(|_| WrongLength)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, WrongLength> {
        bytes.try_into().map(PublicKey).map_err(|_| WrongLength)
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// Bytes of another length than a key or signature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes have another length")]
pub struct WrongLength;

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::Validator;

    fn members(first: u8) -> Members {
        let validators = (1..=4).map(|i| Validator { key: PublicKey([i; 32]), power: 1 }).collect();
        Members::new(&ValidatorSet::new(validators).unwrap(), &PublicKey([first; 32])).unwrap()
    }

    #[test]
    fn rounds_go_around_from_the_first() {
        let members = members(3);
        let round = |round| members.proposer(round).key().0[0];
        assert_eq!([0, 1, 2, 3, 4].map(round), [3, 4, 1, 2, 3]);
        assert_eq!(round(u32::MAX), [3, 4, 1, 2][u32::MAX as usize % 4]);
    }

    #[test]
    fn who_is_gone_from_the_set_is_not_first() {
        assert_eq!(members(9).proposer(0).key(), PublicKey([1; 32]));
    }

    #[test]
    fn a_set_that_cannot_be_counted_with_is_refused() {
        let much = Validator { key: PublicKey([1; 32]), power: u64::MAX / 2 };
        let set = ValidatorSet::new(vec![much]).unwrap();
        let first = PublicKey([1; 32]);
        assert_eq!(Members::new(&set, &first), Err(MembersError::TooMuchPower(u64::MAX / 2)));
        assert_eq!(Members::new(&ValidatorSet::default(), &first), Err(MembersError::Empty));
    }
}
