//! Requests that their author signed end to end (RFC 9421).
//!
//! The signature is the authority: who sent the request over which connection does not matter, and neither this
//! replica nor any other can change a byte of it. The key stands for whom the state registers it to.

use super::context::Api;
use http::{HeaderMap, header};
use hypermesh_api::Status;
use hypermesh_chain::request::{Authority, Request};
use hypermesh_chain::signature::{Message, Received, authenticate};
use hypermesh_pipeline::authn::hex_of;
use hypermesh_pipeline::authz::UserInfo;
use hypermesh_pipeline::system::{self, Identity};

const INPUT: &str = "signature-input";

/// Whether a request claims to be signed.
pub(super) fn claims(headers: &HeaderMap) -> bool {
    headers.contains_key(INPUT) || headers.contains_key("signature")
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.join(", ")
}

/// Whom the key that signs is registered to, before the signature was verified: enough to refuse early what the key's
/// owner may not do, never enough to let anything happen.
pub(super) fn claimed_user(api: &Api, headers: &HeaderMap) -> Result<UserInfo, Box<Status>> {
    let input = joined(headers, INPUT);
    let unknown = || {
        Box::new(Status::failure(
            401,
            "Unauthorized",
            "the key that signed the request is not registered in this cluster",
        ))
    };
    let key = input.split_once("keyid=\"").and_then(|(_, rest)| rest.get(..64)).ok_or_else(unknown)?;
    let place = system::key(system::IDENTITIES, key).ok_or_else(unknown)?;
    let record =
        api.replica.reading().get(&place).map_err(|e| Box::new(Status::internal(e)))?.ok_or_else(unknown)?;
    let identity: Identity =
        serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
    let mut groups = identity.groups;
    groups.push("system:authenticated".to_owned());
    Ok(UserInfo { name: identity.user, groups, ..UserInfo::default() })
}

/// The authority of a signed request: its signatures, verified. `unsigned` is the request as it will be ordered; what
/// was sent must be what is ordered, so the body has to be JSON.
pub(super) fn authority(
    api: &Api,
    headers: &HeaderMap,
    unsigned: &Request,
) -> Result<Authority, Box<Status>> {
    let (input, signature) = (joined(headers, INPUT), joined(headers, "signature"));
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let received = Received {
        signature_input: &input,
        signature: &signature,
        content_digest: text("content-digest"),
        content_type: text(header::CONTENT_TYPE.as_str()),
    };
    let signatures =
        authenticate(&api.replica.cluster(), &Message::of(unsigned), &received).map_err(|error| {
            let mut words = format!("the request's signature does not hold: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                words.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Box::new(Status::failure(401, "Unauthorized", words))
        })?;
    // A key that is not registered is refused before it costs an order.
    for signature in &signatures {
        let known = system::key(system::IDENTITIES, &hex_of(&signature.key.0))
            .map(|place| api.replica.reading().get(&place))
            .transpose()
            .map_err(|e| Box::new(Status::internal(e)))?
            .flatten();
        if known.is_none() {
            let words = "the key that signed the request is not registered in this cluster";
            return Err(Box::new(Status::failure(401, "Unauthorized", words)));
        }
    }
    Ok(Authority::Signed { signatures })
}
