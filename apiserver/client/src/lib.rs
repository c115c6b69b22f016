//! How HyperMesh's own programs reach its API server.
//!
//! [`connect`] gives kube's client, [`Client`] the tower service below it: requests for paths in, replies out. Between
//! them lie, from the outside in:
//! - signing: writes are signed end to end by an Ed25519 client key, as they will be ordered;
//! - sending again: a signed write whose fate is unknown is sent again as it is, and gets its first receipt; nothing else
//!   is repeated that could be done twice;
//! - redirects of membership, within the trust of the cluster;
//! - connections: kept, pinged so that a peer that is gone is noticed, opened by racing what a name leads to.
//!
//! A kubeconfig that was renewed on disk is taken up while the client lives. Nothing here knows a kind, and nothing here
//! decides what a refusal means: a refusal is a reply.
//!
//! ```no_run
//! # fn main() -> Result<(), hypermesh_client::Error> {
//! let config = hypermesh_client::Config::from_kubeconfig("admin.kubeconfig".as_ref())?.agent("my-controller/1");
//! let client: kube::Client = hypermesh_client::connect(&config)?;
//! # Ok(()) }
//! ```

mod body;
mod client;
mod config;
mod error;
mod kubeconfig;
mod layer;
pub mod material;
mod metrics;
pub mod pem;
mod redirect;
mod retry;
mod sign;
mod wire;

pub use body::{Body, BoxError, CollectError, Streamed};
pub use client::Client;
pub use config::{
    Acquaintance, Config, Identity, Material, Meet, Server, Source, Transport, Trust, public_key,
};
pub use error::Error;
pub use hypermesh_chain::ClusterId;
pub use kubeconfig::{CLUSTER_EXTENSION, NO_USER, NOT_SPOKEN, SIGNING_EXTENSION};
pub use metrics::{Metrics, Protocol};
pub use sign::Clock;
pub use wire::{ConnectError, any_certificate, system_roots};

// A crate that uses kube has to say which version of the API it means, even where it names no kind.
use k8s_openapi as _;

/// kube's client for a configuration. Nothing is dialled yet; has to be called within a tokio runtime.
///
/// # Errors
/// What of the configuration cannot be used, by the field that names it.
pub fn connect(config: &Config) -> Result<kube::Client, Error> {
    let service: Client = Client::new(config)?;
    Ok(kube::Client::new(service, config.namespace.clone()))
}
