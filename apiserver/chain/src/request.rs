//! What is replicated: a request, and by what right it is made.
//!
//! A request is a set of facts that every replica judges alike: nothing in it depends on the replica that took it.
//! Its body is JSON, whatever the client sent. This module says what a request is, what its digests are and when it
//! is still valid; authorization, and what the request does, are the pipeline's.
//!
//! Three digests, each for one use:
//! - [`Request::content`]: what is asked for. Signatures by several keys belong together if it is the same.
//! - [`Request::digest`]: content and authority, all but the signatures' own bytes. It names the request: uids are
//!   derived from it, receipts quote it.
//! - [`Request::uses`]: one digest for each right that the request uses up. Replay protection remembers these, not
//!   the digest: else a request with two signatures, and the same with one of them taken away, would both run.

mod authority;

pub use authority::{Authority, BatchEndorsement, Endorsement, RequestSignature, User};

use crate::{
    codec::{Canonical, RuleError, to_bytes},
    domain,
    genesis::ClusterId,
    ids::{Hash, Timestamp},
    signature::{self, Message},
};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use std::fmt;

/// How long a request is valid, in microseconds of block time after it was signed or taken.
pub const VALIDITY: u64 = 60_000_000;

/// How far a signer's clock may be ahead of block time, in microseconds. A use is remembered for at least
/// [`VALIDITY`] + [`SKEW`].
pub const SKEW: u64 = 10_000_000;

/// A method that may change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Method {
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Change in part, or apply.
    Patch,
    /// Delete, one or a collection.
    Delete,
}

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Media {
    /// An object.
    Json,
    /// A JSON Patch (RFC 6902).
    JsonPatch,
    /// A JSON Merge Patch (RFC 7386).
    MergePatch,
    /// Kubernetes' strategic merge patch.
    StrategicMergePatch,
    /// A server-side apply configuration.
    ApplyPatch,
    /// There is no body.
    None,
}

/// A request as replicas agree on it.
///
/// Rules ([`Canonical::check`]): the target starts with `/` and holds visible ASCII without `#`; the body is empty
/// exactly if the media is [`Media::None`]; lengths are within the constants below.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Path and query, as the client sent them.
    pub target: String,
    /// What the body is.
    pub media: Media,
    /// JSON, or nothing.
    pub body: Bytes,
    /// By whose right.
    pub authority: Authority,
}

/// Why a request is not valid at a block's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// Its time has passed.
    #[error("the request expired at {until} µs; block time is {now} µs")]
    Expired {
        /// Until when it was valid, in microseconds since the Unix epoch.
        until: u64,
        /// Block time.
        now: u64,
    },
    /// It is from the future: the signer's clock is wrong.
    #[error("the request was made at {from} µs, too far ahead of block time {now} µs")]
    Early {
        /// When it was made, in microseconds since the Unix epoch.
        from: u64,
        /// Block time.
        now: u64,
    },
}

impl Request {
    /// The longest target, in bytes.
    pub const MAX_TARGET: usize = 16 << 10;
    /// The longest body, in bytes.
    pub const MAX_BODY: usize = 3 << 20;

    /// How many bytes it takes of a block, or little more.
    pub fn size(&self) -> usize {
        let authority = borsh::object_length(&self.authority).unwrap_or(Authority::MAX_BYTES);
        self.target.len() + self.body.len() + authority + 16
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.split().0
    }

    /// The query without its question mark; `None` when there is none.
    pub fn query(&self) -> Option<&str> {
        self.split().1
    }

    fn split(&self) -> (&str, Option<&str>) {
        self.target.split_once('?').map_or((self.target.as_str(), None), |(path, query)| (path, Some(query)))
    }

    /// Plain SHA-256 of the body: what Content-Digest shows.
    pub fn body_digest(&self) -> Hash {
        Hash::of(&[&self.body])
    }

    /// The digest of what is asked for, without who asks.
    pub fn content(&self) -> Hash {
        self.content_of(&self.body_digest())
    }

    fn content_of(&self, body: &Hash) -> Hash {
        domain::REQUEST_CONTENT.hash(&[&to_bytes(&(self.method, &self.target, self.media, body))])
    }

    /// The request's name: the digest of content and authority, without the signatures' own bytes.
    pub fn digest(&self) -> Hash {
        self.digest_of(&self.body_digest())
    }

    /// [`Request::digest`] with the body given by its digest, for who does not hold the body.
    pub fn digest_of(&self, body: &Hash) -> Hash {
        domain::REQUEST.hash(&[&self.content_of(body).0, &self.authority.unsigned_bytes()])
    }

    /// One digest for each right that running this request uses up: each signature's (content, key, times, nonce), or
    /// the endorsed request itself. A request runs only if none of them was used before.
    pub fn uses(&self) -> Vec<Hash> {
        let Authority::Signed { signatures } = &self.authority else {
            return vec![self.digest()];
        };
        let content = self.content();
        signatures.iter().map(|s| domain::REPLAY.hash(&[&content.0, &s.unsigned_bytes()])).collect()
    }

    /// Whether the request is within its time at block time `now`: of several signatures, all must be.
    pub fn valid_at(&self, now: Timestamp) -> Result<(), ValidityError> {
        let within = |from: u64, until: u64| {
            if now.0 > until {
                Err(ValidityError::Expired { until, now: now.0 })
            } else if from > now.0.saturating_add(SKEW) {
                Err(ValidityError::Early { from, now: now.0 })
            } else {
                Ok(())
            }
        };
        match &self.authority {
            Authority::Endorsed(e) => within(e.received.0, e.received.0.saturating_add(VALIDITY)),
            Authority::Signed { signatures } => signatures.iter().try_for_each(|signature| {
                let from = signature.created.saturating_mul(1_000_000);
                let expires = signature.expires.map_or(u64::MAX, |seconds| seconds.saturating_mul(1_000_000));
                within(from, expires.min(from.saturating_add(VALIDITY)))
            }),
        }
    }

    /// Verifies the signatures of a signed request. An endorsed one has none of its own: its batch's endorsement is
    /// verified with the block.
    pub fn verify(&self, cluster: &ClusterId) -> Result<(), signature::VerifyError> {
        match &self.authority {
            Authority::Signed { signatures } => signature::verify(cluster, &Message::of(self), signatures),
            Authority::Endorsed(_) => Ok(()),
        }
    }
}

impl Canonical for Request {
    const WHAT: &'static str = "request";
    const MAX_BYTES: usize = Self::MAX_TARGET + Self::MAX_BODY + Authority::MAX_BYTES + 16;

    fn check(&self) -> Result<(), RuleError> {
        check_target(&self.target)?;
        RuleError::limit("body", self.body.len(), Self::MAX_BODY)?;
        let paired = self.body.is_empty() == (self.media == Media::None);
        RuleError::ensure(paired, "body", "a body has a media type, and no body has none")?;
        self.authority.check()
    }
}

/// Refuses targets that two HTTP implementations could read differently.
fn check_target(target: &str) -> Result<(), RuleError> {
    RuleError::limit("target", target.len(), Request::MAX_TARGET)?;
    RuleError::ensure(target.starts_with('/'), "target", "must start with a slash")?;
    let sound = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    RuleError::ensure(sound, "target", "must be visible ASCII without a fragment")
}

impl Method {
    /// The HTTP method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Reads an HTTP method; `None` for one that changes nothing.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|method| method.as_str() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Media {
    /// The Content-Type that stands for it, exactly as a signed request must send it; `None` without a body.
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("application/json"),
            Self::JsonPatch => Some("application/json-patch+json"),
            Self::MergePatch => Some("application/merge-patch+json"),
            Self::StrategicMergePatch => Some("application/strategic-merge-patch+json"),
            Self::ApplyPatch => Some("application/apply-patch+yaml"),
            Self::None => None,
        }
    }

    /// Reads a Content-Type without parameters; `None` if it is no medium of a request.
    pub fn parse(content_type: &str) -> Option<Self> {
        [Self::Json, Self::JsonPatch, Self::MergePatch, Self::StrategicMergePatch, Self::ApplyPatch]
            .into_iter()
            .find(|media| media.content_type() == Some(content_type))
    }
}

#[cfg(test)]
mod tests;
