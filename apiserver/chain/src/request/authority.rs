//! By what right a request is made: its author's signatures, or a replica's word.
//!
//! An endorsed request carries who the replica says its user is; the batch endorsement is the replica's signature over
//! many of them at once. It covers the digests in the order of the batch, and neither height nor place in a block: a
//! batch is endorsed when its requests are told to the other replicas, before a proposer takes it up. What a block leaves
//! out of a batch is named by its digest, so that the one signature goes on holding for the rest.

use crate::{
    codec::{self, RuleError, to_bytes},
    domain,
    genesis::ClusterId,
    ids::{Hash, Timestamp},
    key::{PublicKey, Signature, SignatureError, SigningKey},
    list,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// By whose right a request is made.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Authority {
    /// By its authors', end to end.
    Signed {
        /// A set: at least one, strictly ascending by key.
        #[borsh(deserialize_with = "codec::at_most::<_, _, { Authority::MAX_SIGNATURES }>")]
        signatures: Vec<RequestSignature>,
    },
    /// By its user's, on the word of the replica that took it.
    Endorsed(Endorsement),
}

/// One author's HTTP message signature over a request (module `signature` has its form).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RequestSignature {
    /// The author.
    pub key: PublicKey,
    /// When it was signed, in seconds since the Unix epoch.
    pub created: u64,
    /// When it ends, in seconds since the Unix epoch, if before the time every request has.
    pub expires: Option<u64>,
    /// Makes the author's request unlike any other.
    pub nonce: u64,
    /// Over the signature base.
    pub signature: Signature,
}

/// What a replica vouches for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Endorsement {
    /// The replica that took the request.
    pub replica: PublicKey,
    /// Whom it authenticated.
    pub user: User,
    /// When it took the request.
    pub received: Timestamp,
    /// Makes the request unlike any other of the replica.
    pub nonce: u64,
    /// The field manager if the request names none: from the User-Agent.
    pub manager: String,
}

/// An authenticated user, as Kubernetes' authenticators describe one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// Empty if the authenticator knows none.
    pub uid: String,
    /// In the authenticator's order.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { User::MAX_ITEMS }>")]
    pub groups: Vec<String>,
    /// Keys and values, strictly ascending by key.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { User::MAX_ITEMS }>")]
    pub extra: Vec<(String, Vec<String>)>,
}

/// A replica's signature over the requests that it endorses together.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchEndorsement {
    /// The replica.
    pub replica: PublicKey,
    /// Where in the block the batch's requests stand, in the batch's order. It is the proposer's to fill in and not
    /// signed: a wrong place leads to other digests, over which the signature does not verify.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { BatchEndorsement::MAX_REQUESTS }>")]
    pub indices: Vec<u32>,
    /// What else is in the batch: places in it, strictly rising, and digests. All other places are those of `indices`.
    /// The proposer's to fill in, too, and bound by the signature as the indices are.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { BatchEndorsement::MAX_REQUESTS }>")]
    pub absent: Vec<(u32, Hash)>,
    /// Over cluster, count and list root of the digests of the whole batch.
    pub signature: Signature,
}

impl Authority {
    /// The most signatures of one request.
    pub const MAX_SIGNATURES: usize = 16;
    /// The longest encoding, in bytes.
    pub const MAX_BYTES: usize = 64 << 10;

    /// What the request's digest covers: all but the signatures' own bytes.
    pub(super) fn unsigned_bytes(&self) -> Vec<u8> {
        match self {
            Self::Signed { signatures } => {
                let mut bytes = vec![0];
                bytes.extend_from_slice(&(signatures.len() as u32).to_le_bytes());
                signatures.iter().for_each(|signature| bytes.extend(signature.unsigned_bytes()));
                bytes
            }
            Self::Endorsed(endorsement) => {
                let mut bytes = vec![1];
                bytes.extend(to_bytes(endorsement));
                bytes
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), RuleError> {
        match self {
            Self::Signed { signatures } => {
                RuleError::ensure(!signatures.is_empty(), "signatures", "must not be empty")?;
                RuleError::limit("signatures", signatures.len(), Self::MAX_SIGNATURES)?;
                RuleError::ascending("signatures", signatures.iter().map(|signature| signature.key))
            }
            Self::Endorsed(endorsement) => {
                RuleError::limit("manager", endorsement.manager.len(), Endorsement::MAX_MANAGER)?;
                endorsement.user.check()
            }
        }
    }

    /// The endorsement, if it is one.
    pub fn endorsement(&self) -> Option<&Endorsement> {
        match self {
            Self::Endorsed(endorsement) => Some(endorsement),
            Self::Signed { .. } => None,
        }
    }

    /// The signatures; none for an endorsed request.
    pub fn signatures(&self) -> &[RequestSignature] {
        match self {
            Self::Signed { signatures } => signatures,
            Self::Endorsed(_) => &[],
        }
    }
}

impl RequestSignature {
    /// All but the signature itself.
    pub(super) fn unsigned_bytes(&self) -> Vec<u8> {
        to_bytes(&(self.key, self.created, self.expires, self.nonce))
    }
}

impl Endorsement {
    /// The longest field manager, in bytes (Kubernetes' limit).
    pub const MAX_MANAGER: usize = 128;
}

impl User {
    /// The longest name, uid, group, extra key or value, in bytes.
    pub const MAX_TEXT: usize = 1024;
    /// The most groups, extra keys, or values of one key.
    pub const MAX_ITEMS: usize = 256;
    /// All of it, in bytes.
    pub const MAX_BYTES: usize = 48 << 10;

    /// Whether it keeps its limits and its order. An authenticator's answer is checked with this before it is used.
    pub fn check(&self) -> Result<(), RuleError> {
        let mut total = 0;
        let mut text = |part, text: &str| {
            total += text.len() + 4;
            RuleError::limit(part, text.len(), Self::MAX_TEXT)
        };
        text("user.name", &self.name)?;
        text("user.uid", &self.uid)?;
        RuleError::limit("user.groups", self.groups.len(), Self::MAX_ITEMS)?;
        self.groups.iter().try_for_each(|group| text("user.groups", group))?;
        RuleError::limit("user.extra", self.extra.len(), Self::MAX_ITEMS)?;
        RuleError::ascending("user.extra", self.extra.iter().map(|(key, _)| key))?;
        for (key, values) in &self.extra {
            text("user.extra", key)?;
            RuleError::limit("user.extra", values.len(), Self::MAX_ITEMS)?;
            values.iter().try_for_each(|value| text("user.extra", value))?;
        }
        RuleError::limit("user", total, Self::MAX_BYTES)
    }
}

impl BatchEndorsement {
    /// The most requests of one batch.
    pub const MAX_REQUESTS: usize = 1 << 14;

    /// Endorses the requests with these `digests`, which stand in the block at `indices`.
    pub fn sign(key: &SigningKey, cluster: &ClusterId, digests: &[Hash], indices: Vec<u32>) -> Self {
        let signature = key.sign(&Self::message(cluster, digests));
        Self { replica: key.public(), indices, absent: Vec::new(), signature }
    }

    /// Verifies that the replica endorsed exactly these `digests`, in this order: those of the whole batch.
    pub fn verify(&self, cluster: &ClusterId, digests: &[Hash]) -> Result<(), SignatureError> {
        self.replica.verify(&Self::message(cluster, digests), &self.signature)
    }

    /// How many requests the batch has, those that are absent too.
    pub fn total(&self) -> usize {
        self.indices.len() + self.absent.len()
    }

    /// The digests of the whole batch in its order, given those that are `present`. `None` if what is absent does not fit
    /// between them.
    pub fn whole(&self, present: &[Hash]) -> Option<Vec<Hash>> {
        self.check().ok()?;
        let (mut present, mut absent) = (present.iter(), self.absent.iter().peekable());
        let next = |place| match absent.next_if(|(at, _)| *at as usize == place) {
            Some((_, digest)) => Some(*digest),
            None => present.next().copied(),
        };
        (0..self.total()).map(next).collect()
    }

    /// Whether the batch keeps its rules: at least one request is there, and what is absent stands in the batch, in
    /// strictly rising order.
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        RuleError::ensure(!self.indices.is_empty(), "endorsements", "one covers no request")?;
        RuleError::limit("endorsements.absent", self.total(), Self::MAX_REQUESTS)?;
        RuleError::ascending("endorsements.absent", self.absent.iter().map(|(place, _)| place))?;
        let within = self.absent.last().is_none_or(|(place, _)| (*place as usize) < self.total());
        RuleError::ensure(within, "endorsements.absent", "names a place beyond the batch")
    }

    /// What is signed.
    pub fn message(cluster: &ClusterId, digests: &[Hash]) -> Vec<u8> {
        let count = (digests.len() as u64).to_le_bytes();
        domain::ENDORSE.message(&[&cluster.0.0, &count, &list::root(digests).0])
    }
}
