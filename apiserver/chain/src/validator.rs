//! Who may certify blocks, and how many of them it takes.
//!
//! Invariant of a [`ValidatorSet`], kept by its constructor and its decoder: keys strictly ascending, powers positive,
//! their sum within `u64`. It may be empty only by default; an empty set certifies nothing.

use crate::{
    codec::{RuleError, at_most, to_bytes},
    domain,
    ids::Hash,
    key::PublicKey,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::io;

/// A replica that votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// It signs votes with this key.
    pub key: PublicKey,
    /// The weight of its vote.
    pub power: u64,
}

/// The validators of a height, in order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
}

impl ValidatorSet {
    /// The most validators a set may hold.
    pub const MAX: usize = 256;

    /// A set of `validators` in any order. Refused: a key twice, a power of zero, a total above `u64`, too many.
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, RuleError> {
        validators.sort_unstable();
        Self::checked(validators)
    }

    fn checked(validators: Vec<Validator>) -> Result<Self, RuleError> {
        RuleError::limit("validators", validators.len(), Self::MAX)?;
        RuleError::ascending("validators", validators.iter().map(|validator| validator.key))?;
        RuleError::ensure(validators.iter().all(|v| v.power > 0), "validators", "a power is zero")?;
        let total = validators.iter().try_fold(0_u64, |sum, validator| sum.checked_add(validator.power));
        RuleError::ensure(total.is_some(), "validators", "the total power exceeds 64 bits")?;
        Ok(Self { validators })
    }

    /// The members, in order of their keys.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The power of `key`; `None` if it is no member.
    pub fn power(&self, key: &PublicKey) -> Option<u64> {
        let index = self.validators.binary_search_by_key(key, |validator| validator.key).ok()?;
        self.validators.get(index).map(|validator| validator.power)
    }

    /// The power of all.
    pub fn total(&self) -> u64 {
        self.validators.iter().map(|validator| validator.power).sum()
    }

    /// The least power that certifies: more than two thirds of the total. At least 1, so an empty set never does.
    pub fn quorum(&self) -> u64 {
        (self.total() / 3) * 2 + (self.total() % 3) * 2 / 3 + 1
    }

    /// What headers name the set by.
    pub fn hash(&self) -> Hash {
        domain::VALIDATORS.hash(&[&to_bytes(self)])
    }
}

impl BorshDeserialize for ValidatorSet {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let validators = at_most::<_, _, { Self::MAX }>(reader)?;
        Self::checked(validators).map_err(|rule| io::Error::new(io::ErrorKind::InvalidData, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(powers: &[u64]) -> Result<ValidatorSet, RuleError> {
        let validator =
            |(i, power): (usize, &u64)| Validator { key: PublicKey([i as u8; 32]), power: *power };
        ValidatorSet::new(powers.iter().enumerate().map(validator).collect())
    }

    #[test]
    fn quorum_is_more_than_two_thirds() {
        for (powers, quorum) in
            [(&[][..], 1), (&[1], 1), (&[1; 2], 2), (&[1; 3], 3), (&[1; 4], 3), (&[1; 7], 5)]
        {
            assert_eq!(set(powers).unwrap().quorum(), quorum, "{powers:?}");
        }
        assert_eq!(set(&[u64::MAX]).unwrap().quorum(), (u128::from(u64::MAX) * 2 / 3 + 1) as u64);
    }

    #[test]
    fn what_a_set_refuses() {
        assert!(set(&[1, 0]).is_err());
        assert!(set(&[u64::MAX, 1]).is_err());
        assert!(set(&[1; ValidatorSet::MAX + 1]).is_err());
        let one = Validator { key: PublicKey([1; 32]), power: 1 };
        let other = Validator { key: PublicKey([0; 32]), power: 1 };
        assert!(ValidatorSet::new(vec![one, Validator { power: 2, ..one }]).is_err());
        let unordered = to_bytes(&vec![one, other]);
        assert!(borsh::from_slice::<ValidatorSet>(&unordered).is_err());
        assert_eq!(ValidatorSet::new(vec![one, other]).unwrap().validators(), [other, one]);
    }

    proptest! {
        #[test]
        fn two_quorums_share_more_than_a_third(powers in prop::collection::vec(1_u64..=u64::MAX / 300, 1..20)) {
            let set = set(&powers).unwrap();
            let (total, quorum) = (u128::from(set.total()), u128::from(set.quorum()));
            prop_assert!(3 * (2 * quorum - total) > total);
            prop_assert!(quorum <= total);
            prop_assert!(3 * (quorum - 1) <= 2 * total);
        }
    }
}
