//! The kinds of HyperMesh as data: names, schemas, defaults, rules, printer columns.
//!
//! Our kinds are Rust types, one file each, whose structural schema is derived; the kinds of Kubernetes that are
//! served as they are there are schemas written by hand. The API server knows either only as a [`KindDefinition`].
//!
//! This crate imports no crate of ours and does no I/O. The types read what a server has validated: they check the
//! form of scalars, and leave rules that span fields to the schema.

pub mod asset;
pub mod cell;
pub mod certificate;
pub mod condition;
mod crd;
mod declare;
pub mod definition;
pub mod domain;
pub mod editor;
mod from_crd;
pub mod generated;
pub mod identity;
pub mod instance;
pub mod issuer;
pub mod kubernetes;
pub mod label_selector;
pub mod network;
pub mod node;
pub mod privacy;
mod structural;
pub mod value;
pub mod workload;

pub use declare::{GROUP, VERSION};
pub use definition::KindDefinition;

/// Every kind that is served from the start, in a fixed order: ours, then those of Kubernetes.
pub fn definitions() -> Vec<KindDefinition> {
    let mut kinds = vec![
        asset::definition(),
        certificate::definition(),
        domain::definition(),
        identity::definition(),
        instance::definition(),
        issuer::definition(),
        network::definition(),
        node::definition(),
        workload::definition(),
    ];
    kinds.extend(kubernetes::definitions());
    kinds
}
