//! The cluster's certificate authorities, certificates and tokens, as files of a data folder.
//!
//! Layout of `DIR/pki` (folder 0700, keys 0600): `ca` signs the server, `client-ca` signs clients, `server` and
//! `admin`, `controllers` and `agent` (where one runs) are what they signed, `replica` is the replica's own key,
//! `service-accounts` signs tokens (what belongs to it is told by the public key beside it). Files are replaced whole, so
//! a reader never sees half of one. While authorities are changed, the former ones are `*.old.*` ([`rotation`]).
//!
//! Inside the mesh no authority makes anyone: identities are keys registered in the state. The authorities here serve
//! clients that speak X.509. This crate reads no clock: times are arguments.

mod agent;
mod certificate;
mod check;
mod error;
mod files;
mod issue;
mod keys;
mod kubeconfig;
mod legible;
mod pki;
pub mod request;
pub mod rotation;
mod share;
pub mod signer;
pub mod token;

pub use agent::{NODES, node_user};
pub use certificate::{Held, Subject};
pub use check::{Finding, Pinned, check};
pub use error::PkiError;
pub use issue::{LONGEST_LIFE, SHORTEST_LIFE, request as make_request};
pub use keys::{KeyFile, ed25519_key};
pub use kubeconfig::{Access, kubeconfig};
pub use pki::{CONTROLLERS, Pki, Renewal, Settings};
pub use share::{replica_key, share};
