//! HTTP message signatures (RFC 9421) with Content-Digest (RFC 9530): how an author signs a request end to end.
//!
//! The form is fixed, so that a replica can rebuild what was signed from the replicated request alone, without the
//! headers it came in:
//! - Covered components, in this order: `"@method" "@path" "@query"`, and with a body `"content-digest"
//!   "content-type"`. `@authority` is left out on purpose: any replica may take the request.
//! - Parameters, in this order: `created`, `expires` (optional), `nonce` (16 lower-case hexadecimal digits), `keyid`
//!   (the public key in lower-case hexadecimal), `alg="ed25519"`, `tag="hypermesh:<cluster id>"`.
//! - Content-Digest is exactly `sha-256=:…:` of the bytes sent; Content-Type is exactly [`Media::content_type`], and the
//!   body is JSON: what is signed is what is replicated.
//!
//! The tag binds the cluster. A covered header of its own could do so as well; the tag is what the RFC has for telling
//! applications apart, needs no further header, and lets a refusal say which cluster a signature was made for.
//!
//! Several authors sign as several labels. Anything else in the headers is refused, never skipped: a signature that
//! was not understood must not look as if it had counted. Verification is under ZIP-215.

mod fields;
mod headers;

pub use headers::{HeaderError, Received, SignedHeaders, authenticate, content_digest, headers, parse};

use crate::{
    genesis::ClusterId,
    ids::Hash,
    key::{BatchError, SigningKey, verify_batch},
    request::{Media, Method, Request, RequestSignature},
};

/// What precedes the cluster's id in the tag parameter.
pub const TAG_PREFIX: &str = "hypermesh:";

/// The label of the first signature in headers that are made here.
pub const LABEL: &str = "sig1";

/// What a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The method.
    pub method: Method,
    /// Path and query, as they are sent.
    pub target: &'a str,
    /// What the body is.
    pub media: Media,
    /// SHA-256 of the body, which is JSON.
    pub body: Hash,
}

/// A signature of a set that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's signatures do not verify")]
pub struct VerifyError {
    /// Which, and why.
    pub source: BatchError,
}

impl<'a> Message<'a> {
    /// What a signature over `request` covers.
    pub fn of(request: &'a Request) -> Self {
        Self {
            method: request.method,
            target: &request.target,
            media: request.media,
            body: request.body_digest(),
        }
    }

    /// The covered components and their values, in order.
    fn components(&self) -> Vec<(&'static str, String)> {
        let (path, query) = match self.target.find('?') {
            Some(at) => self.target.split_at(at),
            // RFC 9421 section 2.2.7: an absent query is a lone question mark.
            None => (self.target, "?"),
        };
        let mut components = vec![
            ("@method", self.method.as_str().to_owned()),
            ("@path", path.to_owned()),
            ("@query", query.to_owned()),
        ];
        if let Some(content_type) = self.media.content_type() {
            components.push(("content-digest", content_digest(&self.body)));
            components.push(("content-type", content_type.to_owned()));
        }
        components
    }

    /// The names of the covered components as an inner list.
    fn component_names(&self) -> String {
        let names: Vec<_> = self.components().iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("({})", names.join(" "))
    }

    /// The signature parameters as Signature-Input shows them: components, then parameters.
    fn parameters(&self, cluster: &ClusterId, signature: &RequestSignature) -> String {
        let RequestSignature { key, created, expires, nonce, .. } = signature;
        let expires = expires.map(|seconds| format!(";expires={seconds}")).unwrap_or_default();
        format!(
            "{};created={created}{expires};nonce=\"{nonce:016x}\";keyid=\"{key}\";alg=\"ed25519\";tag=\"{TAG_PREFIX}{cluster}\"",
            self.component_names(),
        )
    }

    /// What is signed (RFC 9421 section 2.5). Of `signature`, its own bytes do not matter.
    pub fn base(&self, cluster: &ClusterId, signature: &RequestSignature) -> String {
        signature_base(&self.components(), &self.parameters(cluster, signature))
    }
}

/// RFC 9421 section 2.5: one line a component, then the parameters; no newline at the end.
fn signature_base(components: &[(&str, String)], parameters: &str) -> String {
    let mut base = String::new();
    for (name, value) in components {
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    base
}

/// Signs `message` for `cluster`. Times are seconds since the Unix epoch; the nonce must be new for each request.
pub fn sign(
    key: &SigningKey,
    cluster: &ClusterId,
    message: &Message<'_>,
    created: u64,
    expires: Option<u64>,
    nonce: u64,
) -> RequestSignature {
    let unsigned = crate::key::Signature([0; 64]);
    let mut signature = RequestSignature { key: key.public(), created, expires, nonce, signature: unsigned };
    signature.signature = key.sign(message.base(cluster, &signature).as_bytes());
    signature
}

/// Verifies that all `signatures` are over `message`, for `cluster`.
pub fn verify(
    cluster: &ClusterId,
    message: &Message<'_>,
    signatures: &[RequestSignature],
) -> Result<(), VerifyError> {
    let bases: Vec<_> = signatures.iter().map(|signature| message.base(cluster, signature)).collect();
    let items: Vec<_> =
        signatures.iter().zip(&bases).map(|(s, base)| (s.key, base.as_bytes(), s.signature)).collect();
    verify_batch(&items).map_err(|source| VerifyError { source })
}

#[cfg(test)]
mod tests;
