//! The kinds of HyperMesh as data: names, schemas, defaults, rules, printer columns.
//!
//! This crate imports no crate of ours and does no I/O. The API server knows a kind only through its
//! [`KindDefinition`].

pub mod definition;

pub use definition::KindDefinition;
