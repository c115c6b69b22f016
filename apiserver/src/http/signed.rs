//! Requests that their author signed end to end (RFC 9421).
//!
//! The signature is the authority: who sent the request over which connection does not matter, and neither this
//! replica nor any other can change a byte of it. The key stands for whom the state registers it to.
//!
//! A signature covers the body by its digest, so everything but the body itself is verified before any of it is read:
//! naming somebody's key makes the server read nothing.

use super::context::Api;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, header};
use hypermesh_api::Status;
use hypermesh_chain::request::{Authority, Media, Method, Request, RequestSignature};
use hypermesh_chain::signature::{Message, Received, authenticate, content_digest};
use hypermesh_chain::{Hash, PublicKey};
use hypermesh_pipeline::authn::hex_of;
use hypermesh_pipeline::authz::UserInfo;
use std::sync::Arc;

const INPUT: &str = "signature-input";

/// What an author signed, but for the body, of which the digest is known.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    media: Media,
    body: Hash,
    signatures: Vec<RequestSignature>,
    /// Whether it was signed just now.
    pub fresh: bool,
}

/// Whether a request claims to be signed.
pub(super) fn claims(headers: &HeaderMap) -> bool {
    headers.contains_key(INPUT) || headers.contains_key("signature")
}

fn refused(words: impl Into<String>) -> Box<Status> {
    Box::new(Status::failure(401, "Unauthorized", words))
}

/// All lines of a header as one; `None` for one that is not text.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(|value| value.to_str()).collect();
    lines.ok().map(|lines| lines.join(", "))
}

/// The only line of a header, if it has one.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Box<Status>> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => {
            let text = line.to_str().map_err(|_| refused(format!("the header {name} is not text")))?;
            Ok(Some(text))
        }
        (Some(_), Some(_)) => Err(refused(format!("a signed request has one {name}, not several"))),
    }
}

/// Verifies the signatures of a request over all that its head says, and tells for whom it stands.
pub(super) fn verify(api: &Api, head: &Parts) -> Result<(Arc<UserInfo>, Signed), Box<Status>> {
    let headers = &head.headers;
    let text = |name| joined(headers, name).ok_or_else(|| refused(format!("the header {name} is not text")));
    let (input, signature) = (text(INPUT)?, text("signature")?);
    let content_type = only(headers, header::CONTENT_TYPE.as_str())?;
    let digest = only(headers, "content-digest")?;
    let (media, body) = covered(content_type, digest)?;
    let method = Method::parse(head.method.as_str()).ok_or_else(|| Box::new(Status::unknown_path()))?;
    let target = target(head);
    let message = Message { method, target: &target, media, body };
    let received =
        Received { signature_input: &input, signature: &signature, content_digest: digest, content_type };
    let signatures = authenticate(&api.replica.cluster(), &message, &received)
        .map_err(|error| refused(format!("the request's signature does not hold: {}", chain(&error))))?;
    let user = owner(api, &signatures, named_first(&input).as_deref())?;
    let fresh = fresh(api, &signatures);
    Ok((user, Signed { media, body, signatures, fresh }))
}

/// Path and query, as they are signed and ordered.
pub(super) fn target(head: &Parts) -> String {
    head.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned())
}

/// What the headers say of the body: its medium and its digest.
fn covered(content_type: Option<&str>, digest: Option<&str>) -> Result<(Media, Hash), Box<Status>> {
    let Some(content_type) = content_type else { return Ok((Media::None, Hash::of(&[]))) };
    let media = Media::parse(content_type).ok_or_else(|| {
        refused(format!(
            "the request's signature does not hold: a signed body is JSON, and its Content-Type is not {content_type:?}"
        ))
    })?;
    let bytes = digest
        .and_then(|digest| digest.strip_prefix("sha-256=:")?.strip_suffix(':'))
        .and_then(|base64| STANDARD.decode(base64).ok())
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match bytes {
        Some(bytes) => Ok((media, Hash(bytes))),
        None => Err(refused(
            "the request's signature does not hold: a signed body needs Content-Digest: sha-256=:BASE64:",
        )),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}

/// The key that stands first in Signature-Input.
fn named_first(input: &str) -> Option<String> {
    input.split_once("keyid=\"").and_then(|(_, rest)| rest.get(..64)).map(str::to_owned)
}

/// Whom the key that stands first is registered to. All keys have to be registered: one that is not is refused before
/// it costs an order.
fn owner(
    api: &Api,
    signatures: &[RequestSignature],
    first: Option<&str>,
) -> Result<Arc<UserInfo>, Box<Status>> {
    let reading = api.replica.reading();
    let registered = |key: &PublicKey| {
        let user = reading.derived.identities.user(&key.0, |place| reading.get(place));
        let user = user.map_err(|e| Box::new(Status::internal(e)))?;
        user.ok_or_else(|| refused("the key that signed the request is not registered in this cluster"))
    };
    let mut owner = None;
    for signature in signatures {
        let found = registered(&signature.key)?;
        if owner.is_none() || first == Some(hex_of(&signature.key.0).as_str()) {
            owner = Some(found);
        }
    }
    let owner = owner.ok_or_else(|| refused("the request has no signature"))?;
    Ok(owner)
}

/// Whether all signatures are of now, as the state's clock will judge. Who has seen a request pass could send its head
/// again for ever, so a head that is not is charged to strangers; a late retry of what was executed is still answered.
fn fresh(api: &Api, signatures: &[RequestSignature]) -> bool {
    let now = api.replica.request_time().0 / 1_000_000;
    let validity = u64::from(api.replica.reading().derived.config.request_validity_seconds);
    signatures.iter().all(|signature| {
        signature.created.abs_diff(now) <= validity && signature.expires.is_none_or(|end| now <= end)
    })
}

/// What an agent is told of a request that opens a stream and was verified: as it came. 401 for one that is not of now, or
/// came before: nothing orders streams.
pub(super) fn for_agent(
    api: &Api,
    verified: &Signed,
    head: &Parts,
) -> Result<hypermesh_stream::Signed, Box<Status>> {
    if verified.media != Media::None {
        return Err(refused(
            "a signed request for a stream has no Content-Type: what follows it is not signed",
        ));
    }
    if !verified.fresh {
        return Err(refused("the request's signature is too old, or dated ahead of the cluster's time"));
    }
    let validity = u64::from(api.replica.reading().derived.config.request_validity_seconds);
    let now = api.replica.request_time().0 / 1_000_000;
    for signature in &verified.signatures {
        let digest = Hash::of(&[&signature.signature.0]);
        if !api.seen.is_first(digest, now, signature.created.saturating_add(2 * validity)) {
            return Err(refused("the request's signature opened a stream before: sign each anew"));
        }
    }
    let text = |name| joined(&head.headers, name).unwrap_or_default();
    Ok(hypermesh_stream::Signed { target: target(head), input: text(INPUT), signature: text("signature") })
}

impl Signed {
    /// The keys, in hexadecimal.
    pub fn keys(&self) -> Vec<String> {
        self.signatures.iter().map(|signature| signature.key.to_string()).collect()
    }

    /// Fails unless this body was signed, just now: for what is answered on the spot.
    pub fn holds_now(&self, body: &[u8]) -> Result<(), Box<Status>> {
        if !self.fresh {
            return Err(refused("the request's signature is too old, or dated ahead of the cluster's time"));
        }
        if self.media == Media::Json && Hash::of(&[body]) == self.body {
            return Ok(());
        }
        Err(refused("the request's signature does not hold: it is over another body"))
    }

    /// The authority of the request that is ordered. What was signed must be what is ordered, byte for byte.
    pub fn authority(self, request: &Request) -> Result<Authority, Box<Status>> {
        let found = request.body_digest();
        if found != self.body && (self.media != Media::None || !request.body.is_empty()) {
            let (signed, found) = (content_digest(&self.body), content_digest(&found));
            return Err(refused(format!(
                "the request's signature does not hold: Content-Digest is {signed}, the body's is {found}"
            )));
        }
        if request.media != self.media {
            return Err(refused(
                "the request's signature does not hold: the body is not of the Content-Type that was signed",
            ));
        }
        Ok(Authority::Signed { signatures: self.signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_headers_cover() {
        let digest = content_digest(&Hash::of(&[b"{}"]));
        let json = covered(Some("application/json"), Some(&digest)).unwrap();
        assert_eq!(json, (Media::Json, Hash::of(&[b"{}"])));
        assert_eq!(covered(None, None).unwrap(), (Media::None, Hash::of(&[])));
        for bad in [None, Some(""), Some("sha-256=:AAAA:"), Some("sha-512=:AAAA:"), Some("sha-256=:%:")] {
            assert_eq!(covered(Some("application/json"), bad).unwrap_err().code, 401, "{bad:?}");
        }
        assert_eq!(covered(Some("application/yaml"), Some(&digest)).unwrap_err().code, 401);
    }
}
