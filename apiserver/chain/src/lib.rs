//! Headers, blocks, requests, certificates, the authenticated tree and its proofs.
//!
//! What leaves a replica and can be checked by who does not trust it. No dependency on the server, the store or a
//! kind; no I/O, clock or randomness. Everything that is hashed or signed has one byte form: borsh's, or for requests
//! that are signed over HTTP, RFC 9421's. Every decoder is bounded ([`codec`]); every hash has its domain.

pub mod address;
pub mod attestation;
pub mod block;
pub mod bundle;
pub mod certificate;
pub mod codec;
mod domain;
pub mod evidence;
pub mod genesis;
pub mod ids;
pub mod key;
pub mod list;
pub mod object;
pub mod planted;
pub mod proposal;
pub mod request;
pub mod signature;
pub mod tree;
pub mod validator;

pub use address::ClusterPrefix;
pub use attestation::HeadAttestation;
pub use block::{Block, BlockError, Header, Receipt, event_leaf, events_root, receipts_root};
pub use bundle::Bundle;
pub use certificate::{Certificate, CertificateError, Vote, VoteKind};
pub use codec::{Canonical, DecodeError, RuleError};
pub use evidence::Evidence;
pub use genesis::{ClusterId, Genesis};
pub use ids::{GroupId, Hash, Height, Revision, Timestamp, Uid};
pub use key::{BatchError, PublicKey, Signature, SignatureError, SigningKey, verify_batch};
pub use list::InclusionProof;
pub use object::{Change, Effect, Facts, KeyError, KeyRange, ObjectKey, Record};
pub use proposal::Proposal;
pub use request::{
    Authority, BatchEndorsement, Endorsement, Media, Method, Request, RequestSignature, User, ValidityError,
};
pub use tree::{Proof, ProofError, RangeProof, StateTree};
pub use validator::{Validator, ValidatorSet};
