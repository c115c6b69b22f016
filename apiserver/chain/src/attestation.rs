//! A replica's word on what its newest decided block is, given to one reader's nonce.
//!
//! A certificate proves that a block was decided, not that none was decided since. A reader who asks replicas with a
//! nonce it just drew knows that their answers are younger than the nonce; how many it asks, and which of the heights
//! they name it waits for, is the reader's. Attestations are never ordered.

use crate::{
    codec::{Canonical, RuleError},
    domain,
    genesis::ClusterId,
    ids::{GroupId, Hash, Height},
    key::{PublicKey, Signature, SignatureError, SigningKey},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// That a replica's newest decided block was this one after the nonce was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeadAttestation {
    /// The replication group.
    pub group: GroupId,
    /// The height of the newest decided block.
    pub height: Height,
    /// Its id.
    pub block: Hash,
    /// The reader's, drawn for this question.
    pub nonce: [u8; 32],
    /// Who says so.
    pub replica: PublicKey,
    /// Over all of it and the cluster.
    pub signature: Signature,
}

impl HeadAttestation {
    /// Attests that `block` at `height` is the newest, to the reader who drew `nonce`.
    pub fn sign(
        key: &SigningKey,
        cluster: &ClusterId,
        group: GroupId,
        height: Height,
        block: Hash,
        nonce: [u8; 32],
    ) -> Self {
        let signature = Signature([0; 64]);
        let mut attestation = Self { group, height, block, nonce, replica: key.public(), signature };
        attestation.signature = key.sign(&attestation.message(cluster));
        attestation
    }

    /// Verifies that the replica answered this reader's `nonce`, for this cluster.
    pub fn verify(&self, cluster: &ClusterId, nonce: &[u8; 32]) -> Result<(), AttestationError> {
        if self.nonce != *nonce {
            return Err(AttestationError::Nonce);
        }
        self.replica.verify(&self.message(cluster), &self.signature).map_err(AttestationError::Signature)
    }

    fn message(&self, cluster: &ClusterId) -> Vec<u8> {
        let (group, height) = (self.group.0.to_le_bytes(), self.height.0.to_le_bytes());
        domain::ATTEST.message(&[&cluster.0.0, &group, &height, &self.block.0, &self.nonce])
    }
}

/// Why an attestation attests nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// It answers another question.
    #[error("the attestation answers another nonce")]
    Nonce,
    /// The replica did not sign it.
    #[error("the attestation is not signed as it claims")]
    Signature(#[source] SignatureError),
}

impl Canonical for HeadAttestation {
    const WHAT: &'static str = "head attestation";
    const MAX_BYTES: usize = 4 + 8 + 32 + 32 + 32 + 64;

    fn check(&self) -> Result<(), RuleError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attestation_answers_one_question_about_one_head() {
        let (cluster, nonce) = (ClusterId(Hash([7; 32])), [9; 32]);
        let key = SigningKey::from_seed(&[1; 32]);
        let good = HeadAttestation::sign(&key, &cluster, GroupId(1), Height(2), Hash([3; 32]), nonce);
        assert_eq!(HeadAttestation::decode(&good.encode()).unwrap().verify(&cluster, &nonce), Ok(()));
        assert_eq!(good.verify(&cluster, &[8; 32]), Err(AttestationError::Nonce));
        assert!(good.verify(&ClusterId(Hash([8; 32])), &nonce).is_err());
        let changes: [fn(&mut HeadAttestation); 4] = [
            |a| a.group.0 += 1,
            |a| a.height.0 += 1,
            |a| a.block.0[0] ^= 1,
            |a| a.replica = SigningKey::from_seed(&[2; 32]).public(),
        ];
        for change in changes {
            let mut other = good;
            change(&mut other);
            assert!(other.verify(&cluster, &nonce).is_err());
        }
    }
}
