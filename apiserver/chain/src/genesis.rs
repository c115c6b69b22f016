//! What a cluster starts from, and the id that follows from it.
//!
//! The id is in every block id, vote, endorsement and request signature, so nothing that was signed for one cluster
//! means anything to another.

use crate::{
    codec::{self, Canonical, RuleError, to_bytes},
    domain,
    ids::{Hash, Timestamp},
    key::PublicKey,
    validator::ValidatorSet,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::{fmt, str::FromStr};

/// A cluster's id: the digest of its genesis, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct ClusterId(pub Hash);

/// Text that is no cluster id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cluster id is 64 lower-case hexadecimal digits")]
pub struct ParseClusterIdError;

/// What all replicas of a cluster hold before the first block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// A name for people, 1 to [`Genesis::MAX_NAME`] bytes.
    pub name: String,
    /// Bytes drawn when the cluster was made: two clusters of one name differ.
    pub seed: [u8; 32],
    /// When it was made; no block is older.
    pub time: Timestamp,
    /// The pipeline's version that executes the first block.
    pub version: u16,
    /// Who replicates at first.
    pub validators: ValidatorSet,
    /// Keys that are administrators by birth, strictly ascending.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Genesis::MAX_ADMINISTRATORS }>")]
    pub administrators: Vec<PublicKey>,
}

impl Genesis {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 253;
    /// The most administrators.
    pub const MAX_ADMINISTRATORS: usize = 64;

    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId(domain::GENESIS.hash(&[&to_bytes(self)]))
    }
}

impl Canonical for Genesis {
    const WHAT: &'static str = "genesis";
    const MAX_BYTES: usize = 64 << 10;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::ensure(!self.name.is_empty(), "name", "must not be empty")?;
        RuleError::limit("name", self.name.len(), Self::MAX_NAME)?;
        RuleError::limit("administrators", self.administrators.len(), Self::MAX_ADMINISTRATORS)?;
        RuleError::ascending("administrators", self.administrators.iter())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({})", &hex::encode(self.0.0)[..12])
    }
}

impl FromStr for ClusterId {
    type Err = ParseClusterIdError;

    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ParseClusterIdError);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseClusterIdError)?;
        Ok(Self(Hash(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, Validator};

    fn genesis() -> Genesis {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public();
        let validators = ValidatorSet::new(vec![Validator { key: key(1), power: 1 }]).unwrap();
        let administrators = vec![key(2)];
        Genesis {
            name: "lab".into(),
            seed: [7; 32],
            time: Timestamp(1),
            version: 1,
            validators,
            administrators,
        }
    }

    #[test]
    fn every_field_is_in_the_id() {
        let id = genesis().cluster_id();
        let changes: [fn(&mut Genesis); 6] = [
            |g| g.name.push('x'),
            |g| g.seed[31] ^= 1,
            |g| g.time.0 += 1,
            |g| g.version += 1,
            |g| {
                g.validators =
                    ValidatorSet::new(vec![Validator { key: PublicKey([9; 32]), power: 1 }]).unwrap()
            },
            |g| g.administrators.clear(),
        ];
        for change in changes {
            let mut other = genesis();
            change(&mut other);
            assert_ne!(other.cluster_id(), id);
        }
        insta::assert_snapshot!(id, @"d364a25d1bef803c8732a920535885d3b5c142eb3f93823b6175ad268cf5ecbc");
    }

    #[test]
    fn the_id_reads_what_it_shows() {
        let id = genesis().cluster_id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<ClusterId>(), Err(ParseClusterIdError));
        assert_eq!("00".parse::<ClusterId>(), Err(ParseClusterIdError));
    }

    #[test]
    fn rules_hold_when_decoding() {
        assert_eq!(Genesis::decode(&genesis().encode()).unwrap(), genesis());
        let mut twice = genesis();
        twice.administrators.push(twice.administrators[0]);
        assert!(Genesis::decode(&twice.encode()).is_err());
        let mut nameless = genesis();
        nameless.name.clear();
        assert!(Genesis::decode(&nameless.encode()).is_err());
    }
}
