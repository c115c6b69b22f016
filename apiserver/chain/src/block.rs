//! Headers, blocks and receipts, and the roots that bind them.
//!
//! A header's id commits to everything in its block, the bytes of signatures and endorsements too: one id, one block.
//! (Were signatures left out, a proposer could send the same id with good signatures to some replicas and with bad
//! ones to others.) Nothing in a block depends on the round or the certificate that decided it.

use crate::{
    codec::{self, Canonical, RuleError, to_bytes},
    domain,
    genesis::ClusterId,
    ids::{GroupId, Hash, Height, Revision, Timestamp},
    key::PublicKey,
    list,
    object::{Change, Effect},
    request::{BatchEndorsement, Request},
};
use borsh::{BorshDeserialize, BorshSerialize};

mod authorities;

pub(crate) use authorities::{check as check_authorities, verify as verify_authorities};

/// What is certified of a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The version of the pipeline that executed the block.
    pub version: u16,
    /// The replication group.
    pub group: GroupId,
    /// The block's height: its parent's and one.
    pub height: Height,
    /// The id of the block before; zero at the first.
    pub parent: Hash,
    /// Block time, later than the parent's.
    pub time: Timestamp,
    /// Who composed the block.
    pub proposer: PublicKey,
    /// The validator set that decides this height.
    pub validators: Hash,
    /// The validator set that decides the next height.
    pub next_validators: Hash,
    /// [`Block::requests_root`].
    pub requests: Hash,
    /// [`receipts_root`].
    pub receipts: Hash,
    /// [`events_root`].
    pub events: Hash,
    /// The state tree's root after the block.
    pub state: Hash,
    /// The revision of the block's first write: the parent's last and one, whether or not there are writes.
    pub first_revision: Revision,
    /// The revision of the block's last write; `first_revision` less one if it wrote nothing.
    pub last_revision: Revision,
}

impl Header {
    /// The block's id.
    pub fn id(&self, cluster: &ClusterId) -> Hash {
        domain::HEADER.hash(&[&cluster.0.0, &to_bytes(self)])
    }

    /// How many writes the block made.
    pub fn writes(&self) -> u64 {
        (self.last_revision.0.wrapping_add(1)).saturating_sub(self.first_revision.0)
    }
}

impl Canonical for Header {
    const WHAT: &'static str = "header";
    const MAX_BYTES: usize = 512;

    fn check(&self) -> Result<(), RuleError> {
        let ordered = self.last_revision.0.checked_add(1).is_some_and(|next| next >= self.first_revision.0);
        RuleError::ensure(ordered, "last_revision", "lies before first_revision")
    }
}

/// What is replicated at one height.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// What is certified of it.
    pub header: Header,
    /// In the order of execution.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Block::MAX_REQUESTS }>")]
    pub requests: Vec<Request>,
    /// They cover every endorsed request, each once.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Block::MAX_REQUESTS }>")]
    pub endorsements: Vec<BatchEndorsement>,
}

/// Why a block's authorities do not hold.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The header names other requests.
    #[error("the header's requests root is {header}, the requests' is {found}")]
    Requests {
        /// What the header says.
        header: Hash,
        /// What the requests give.
        found: Hash,
    },
    /// An endorsement covers no request, or one beyond the block.
    #[error("endorsement {endorsement} covers request {index}, which the block does not have")]
    OutOfRange {
        /// Place of the endorsement.
        endorsement: usize,
        /// The place it names.
        index: u32,
    },
    /// An endorsement covers a request that is not its replica's, or that another covers.
    #[error("request {index} is not endorsement {endorsement}'s to cover")]
    Misplaced {
        /// Place of the endorsement.
        endorsement: usize,
        /// Place of the request.
        index: u32,
    },
    /// What an endorsement names as absent does not fit its batch.
    #[error("endorsement {endorsement} names absent requests out of order, or beyond its batch")]
    Absent {
        /// Place of the endorsement.
        endorsement: usize,
    },
    /// An endorsement names a request twice.
    #[error("endorsement {endorsement} names request {digest} twice")]
    Twice {
        /// Place of the endorsement.
        endorsement: usize,
        /// The request's digest.
        digest: Hash,
    },
    /// An endorsed request that no endorsement covers.
    #[error("request {index} is endorsed by no replica")]
    Uncovered {
        /// Place of the request.
        index: usize,
    },
    /// An endorsement's signature does not verify.
    #[error("endorsement {endorsement} does not verify")]
    Endorsement {
        /// Place of the endorsement.
        endorsement: usize,
        /// Why.
        source: crate::SignatureError,
    },
    /// A signed request's signature does not verify.
    #[error("request {index} is not signed as it claims")]
    Signature {
        /// Place of the request.
        index: usize,
        /// Why.
        source: crate::signature::VerifyError,
    },
}

impl Block {
    /// The most requests of a block.
    pub const MAX_REQUESTS: usize = BatchEndorsement::MAX_REQUESTS;
    /// The most requests that a block's endorsements together may name as absent. It bounds what a block that orders
    /// little can make others hash.
    pub const MAX_ABSENT: usize = 1 << 16;

    /// What the header commits to: the list of the requests' digests, and their witness (the bytes of all signatures
    /// and endorsements). The witness stands beside the list, so a proof of one request needs one digest of it.
    pub fn requests_root(requests: &[Request], endorsements: &[BatchEndorsement]) -> Hash {
        let digests: Vec<_> = requests.iter().map(Request::digest).collect();
        Self::requests_root_of(&digests, requests, endorsements)
    }

    /// [`Block::requests_root`] with the requests' digests at hand.
    pub fn requests_root_of(
        digests: &[Hash],
        requests: &[Request],
        endorsements: &[BatchEndorsement],
    ) -> Hash {
        let witness = Self::witness(requests, endorsements);
        domain::REQUESTS.hash(&[&list::root(digests).0, &witness.0])
    }

    /// The digest of all signatures and endorsements.
    fn witness(requests: &[Request], endorsements: &[BatchEndorsement]) -> Hash {
        let signatures: Vec<_> =
            requests.iter().flat_map(|request| request.authority.signatures()).map(|s| s.signature).collect();
        domain::WITNESS.hash(&[&to_bytes(&(signatures, endorsements))])
    }

    /// Verifies what needs no state: that the header names these requests, and that every signature and endorsement
    /// holds. Times, replays and rights are the pipeline's.
    pub fn verify_authorities(&self, cluster: &ClusterId) -> Result<(), BlockError> {
        self.verify_authorities_but(cluster, |_, _| false).map(drop)
    }

    /// [`Block::verify_authorities`] for who has verified some of the requests before: of those that are `known` (given
    /// the request and its digest; the answer must rest on the signatures' bytes too) no signature is verified again.
    /// Endorsements are. Returns the requests' digests.
    pub fn verify_authorities_but(
        &self,
        cluster: &ClusterId,
        known: impl Fn(&Request, &Hash) -> bool,
    ) -> Result<Vec<Hash>, BlockError> {
        let digests: Vec<_> = self.requests.iter().map(Request::digest).collect();
        let found = Self::requests_root_of(&digests, &self.requests, &self.endorsements);
        if found != self.header.requests {
            return Err(BlockError::Requests { header: self.header.requests, found });
        }
        verify_authorities(&self.requests, &self.endorsements, &digests, cluster, known)?;
        Ok(digests)
    }
}

impl Canonical for Block {
    const WHAT: &'static str = "block";
    const MAX_BYTES: usize = 32 << 20;

    fn check(&self) -> Result<(), RuleError> {
        self.header.check()?;
        check_authorities(&self.requests, &self.endorsements)
    }
}

/// What became of a request: refusals have one too.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The request's digest.
    pub request: Hash,
    /// The reply's HTTP status.
    pub code: u16,
    /// The last revision that it wrote; 0 if it wrote none.
    pub revision: Revision,
    /// How many writes it made.
    pub writes: u32,
    /// SHA-256 of the reply's body.
    pub body: Hash,
}

impl Receipt {
    /// Its element in the list of receipts.
    pub fn leaf(&self) -> Hash {
        domain::RECEIPT.hash(&[&to_bytes(self)])
    }
}

impl Canonical for Receipt {
    const WHAT: &'static str = "receipt";
    const MAX_BYTES: usize = 96;

    fn check(&self) -> Result<(), RuleError> {
        let paired = (self.revision.0 == 0) == (self.writes == 0);
        RuleError::ensure(paired, "revision", "is set exactly if there were writes")
    }
}

/// The root of a block's receipts, in the order of its requests.
pub fn receipts_root(receipts: &[Receipt]) -> Hash {
    list::root(&receipts.iter().map(Receipt::leaf).collect::<Vec<_>>())
}

/// The root of a block's writes, in the order of their revisions. `first_revision` and `last_revision` of the header
/// say how many there are, so a watcher who was given all of them can tell.
pub fn events_root(effects: &[Effect]) -> Hash {
    list::root(&effects.iter().map(event_leaf).collect::<Vec<_>>())
}

/// [`events_root`] for who has the effects' object leaves ([`crate::Record::leaf`]) at hand, in the same order.
pub fn events_root_of(effects: &[Effect], leaves: &[Hash]) -> Hash {
    let events =
        effects.iter().zip(leaves).map(|(effect, leaf)| event_leaf_of(effect, &effect.key.encode(), leaf));
    list::root(&events.collect::<Vec<_>>())
}

/// A write's element in the list of events: H(domain ‖ revision ‖ tag of the change ‖ object leaf ‖ key). The tag is 0
/// for created, 1 for updated, 2 for deleted; the leaf of a deletion is that of the last state.
pub fn event_leaf(effect: &Effect) -> Hash {
    let key = effect.key.encode();
    let leaf = effect.change.record().leaf(&key);
    event_leaf_of(effect, &key, &leaf)
}

fn event_leaf_of(effect: &Effect, key: &[u8], leaf: &Hash) -> Hash {
    let tag = match effect.change {
        Change::Created(_) => 0,
        Change::Updated(_) => 1,
        Change::Deleted(_) => 2,
    };
    domain::EVENT.hash(&[&effect.revision.0.to_le_bytes(), &[tag], &leaf.0, key])
}

#[cfg(test)]
mod tests;
