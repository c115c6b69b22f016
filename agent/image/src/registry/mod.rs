//! Registries: the seam, what is asked of them, and what they may answer with.
//!
//! A [`Registry`] gives manifests and blobs and decides nothing: what comes is unverified bytes, bounded in time and
//! number. Pulling (`pull`) verifies. [`HttpRegistry`] speaks the OCI distribution specification over HTTP/1.1; tests
//! put others in its place.

mod address;
mod auth;
mod challenge;
mod client;
mod error;
mod token;

pub use client::{HttpOptions, HttpRegistry, TlsError, authorities};
pub use error::RegistryError;

use crate::credentials::Credential;
use crate::digest::Digest;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A repository at a host that serves it: the registry itself, or a mirror of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Host, with its port if it has one.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// For a mirror: which registry is mirrored, as containerd tells it by `?ns=`.
    pub mirrored: Option<String>,
    /// What to show, best first; none is asking anonymously.
    pub credentials: Vec<Credential>,
}

/// A manifest as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it was announced as.
    pub media_type: Option<String>,
    /// Which digest the registry says it has.
    pub digest: Option<Digest>,
    /// What was shown when it was given. Where nothing had to be, it is for everybody.
    pub opened: Credential,
}

/// A blob on its way.
pub struct Body {
    /// Where in the blob it begins: what was asked for, or 0 where the registry cannot begin elsewhere.
    pub offset: u64,
    /// Its bytes. After an error nothing more comes.
    pub chunks: BoxStream<'static, Result<Bytes, RegistryError>>,
}

/// What gives manifests and blobs.
pub trait Registry: Send + Sync + 'static {
    /// A manifest by tag or digest.
    fn manifest<'a>(
        &'a self,
        from: &'a Source,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, RegistryError>>;

    /// A blob, from an offset on if the registry can.
    fn blob<'a>(
        &'a self,
        from: &'a Source,
        digest: &'a Digest,
        offset: u64,
    ) -> BoxFuture<'a, Result<Body, RegistryError>>;
}
