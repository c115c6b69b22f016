//! The controllers of HyperMesh: reconcilers, a folder each, over the [`runtime`] they share.
//!
//! They reach the store through the public API alone, as any client does, with rights of their own ([`rights`]). A folder
//! holds the five steps of its reconciler, a file each; `docs/guides/adding-a-kind.md` shows how one is added.

pub mod bootstrap_token;
pub mod certificate_request;
mod connect;
pub mod event;
pub mod namespace;
pub mod node;
pub mod process;
pub mod rights;
pub mod root_bundle;
pub mod runtime;
pub mod scheduler;
pub mod settings;
pub mod workload;

pub use connect::{ConnectError, connect};
pub use process::{Process, ProcessError};
pub use settings::{DEFAULT_LOG, DEFAULT_METRICS, Election, Settings};
