//! Headers, blocks, requests, certificates, the authenticated tree and its proofs.
//!
//! What leaves a replica and can be checked by who does not trust it. No dependency on the server, the store or a
//! kind; no I/O, clock or randomness. Everything that is hashed or signed has one byte form: borsh's.

pub mod ids;
pub mod object;

pub use ids::{GroupId, Hash, Height, Revision, Timestamp, Uid};
pub use object::{Change, Effect, Facts, KeyRange, ObjectKey, Record};
