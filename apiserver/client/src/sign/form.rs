//! The form in which a write is signed and ordered: its body as JSON, its field manager in the query.

use crate::error::Error;
use bytes::Bytes;
use http::request::Parts;
use http::{Uri, header};
use hypermesh_api::{Query, Target, WriteOptions};
use hypermesh_chain::request::{Media, Method};
use hypermesh_chain::signature::Message;
use hypermesh_chain::{Hash, Request};
use hypermesh_wire::{BodyFormat, PatchType, transcode};

/// Groups of what is answered on the spot and never ordered.
const REVIEWS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];
/// Subresources that are not ordered.
const UNORDERED: [&str; 5] = ["token", "exec", "attach", "portforward", "proxy"];

/// What is signed.
pub(super) struct Form {
    method: Method,
    target: String,
    media: Media,
    digest: Hash,
    /// JSON, or nothing.
    pub body: Bytes,
}

/// Whether a request for this path is ordered, as far as its path tells; or asks who the caller is, which a signature
/// answers too.
pub(super) fn is_ordered(method: &str, path: &str) -> bool {
    match Target::parse(method, path, &Query::default()) {
        Ok(Target::Resource(info)) if info.resource == "selfsubjectreviews" => true,
        Ok(Target::Resource(info)) => {
            !REVIEWS.contains(&info.group.as_str()) && !UNORDERED.contains(&info.subresource.as_str())
        }
        _ => false,
    }
}

impl Form {
    /// The form of a request, whose target gets a field manager if it names none. `None` for what has no form that is
    /// ordered.
    pub fn of(parts: &mut Parts, body: &Bytes, agent: &str) -> Result<Option<Self>, Error> {
        let Some(method) = Method::parse(parts.method.as_str()) else { return Ok(None) };
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let Some((media, format)) = media(method, content_type, body) else { return Ok(None) };
        let (media, body) = match body.is_empty() {
            true => (Media::None, Bytes::new()),
            false => match transcode(body, format) {
                Ok(json) => (media, json),
                Err(_) => return Ok(None),
            },
        };
        let agent = parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or(agent);
        let mut target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if wants_manager(method, media, parts.uri.path(), parts.uri.query()) {
            // A signed request has no author but its key: an agent that is not signed cannot be its field manager.
            let manager = WriteOptions::default().manager(agent);
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str("fieldManager=");
            encode(&manager, &mut target);
            let uri: Result<Uri, _> = target.parse();
            parts.uri = uri.map_err(|e| Error::Request { path: target.clone(), source: e.into() })?;
        }
        if target.len() > Request::MAX_TARGET {
            return Ok(None);
        }
        let digest = Hash::of(&[&body]);
        Ok(Some(Self { method, target, media, digest, body }))
    }

    /// The form of a request without its body. `None`: it is too long, or has no form.
    pub fn without_body(parts: &Parts) -> Option<Self> {
        let method = Method::parse(parts.method.as_str())?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let digest = Hash::of(&[b""]);
        (target.len() <= Request::MAX_TARGET).then(|| Self {
            method,
            target,
            media: Media::None,
            digest,
            body: Bytes::new(),
        })
    }

    pub fn message(&self) -> Message<'_> {
        Message { method: self.method, target: &self.target, media: self.media, body: self.digest }
    }
}

fn media(method: Method, content_type: &str, body: &[u8]) -> Option<(Media, BodyFormat)> {
    if method != Method::Patch {
        return Some((Media::Json, BodyFormat::parse(content_type, true).ok()?));
    }
    let patch = PatchType::parse(content_type, true).ok()?;
    let media = match patch {
        PatchType::Json => Media::JsonPatch,
        PatchType::Merge => Media::MergePatch,
        PatchType::StrategicMerge => Media::StrategicMergePatch,
        PatchType::Apply => Media::ApplyPatch,
    };
    Some((media, patch.body_format(body)))
}

/// Creates, updates and patches are by a manager. Whoever applies has to name one, and is told so by the server.
fn wants_manager(method: Method, media: Media, path: &str, query: Option<&str>) -> bool {
    let named = query.is_some_and(|q| q.split('&').any(|p| p.split('=').next() == Some("fieldManager")));
    let applies = media == Media::ApplyPatch || path.ends_with("/transactions");
    method != Method::Delete && !applies && !named
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(method: &str, target: &str, content_type: &str, body: &str) -> Option<(String, Media, String)> {
        let request =
            http::Request::builder().method(method).uri(target).header("content-type", content_type);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let form = Form::of(&mut parts, &Bytes::copy_from_slice(body.as_bytes()), "my agent/1").unwrap()?;
        assert_eq!(parts.uri.to_string(), form.target);
        Some((form.target, form.media, String::from_utf8(form.body.to_vec()).unwrap()))
    }

    #[test]
    fn what_is_signed_is_what_is_ordered() {
        let (target, media, body) = form("POST", "/api/v1/x", "application/yaml", "a: 1\n").unwrap();
        assert_eq!(
            (target.as_str(), media, body.as_str()),
            ("/api/v1/x?fieldManager=my%20agent", Media::Json, "{\"a\":1}")
        );
        let apply = "application/apply-patch+yaml";
        let (target, media, body) =
            form("PATCH", "/x?fieldManager=me&force=true", apply, "a: [b]\n").unwrap();
        assert_eq!((target.as_str(), media), ("/x?fieldManager=me&force=true", Media::ApplyPatch));
        assert_eq!(body, "{\"a\":[\"b\"]}");
        let (target, media, _) = form("DELETE", "/x", "", "").unwrap();
        assert_eq!((target.as_str(), media), ("/x", Media::None));
        assert_eq!(form("PATCH", "/x", apply, "a: 1").unwrap().0, "/x");
    }

    #[test]
    fn what_has_no_form_is_left_to_the_server() {
        assert_eq!(form("POST", "/x", "application/cbor", "x"), None);
        assert_eq!(form("POST", "/x", "application/json", "{"), None);
        assert_eq!(form("GET", "/x", "application/json", ""), None);
    }

    #[test]
    fn reviews_and_upgrades_are_not_ordered() {
        assert!(is_ordered("POST", "/api/v1/namespaces/default/configmaps"));
        assert!(is_ordered("PUT", "/api/v1/namespaces/default/secrets/token"));
        assert!(is_ordered("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"));
        for path in [
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "/api/v1/namespaces/default/serviceaccounts/x/token",
            "/api/v1/namespaces/default/pods/x/exec",
            "/healthz",
        ] {
            assert!(!is_ordered("POST", path), "{path}");
        }
    }
}
