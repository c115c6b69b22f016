//! In whose name an agent is asked, and what the user signed.
//!
//! The API server says who the user is ([`USER`], JSON in ASCII) and under which id it audits the request ([`AUDIT`]).
//! Where the user signed (RFC 9421, without a body: what follows is a stream, which no signature covers), the
//! signature goes along as it came: `signature-input` and `signature`, and [`TARGET`], the path and query that were
//! signed. [`Signed::verify`] is all that is to be verified of it without the state: form, cluster, signature, and that it
//! covers what is asked. Whose the key is, that it is fresh, and that it came once ([`Author::digest`]), an agent judges
//! by what it knows.

use crate::route::Route;
use hypermesh_chain::request::{Authority, Media, Method, Request};
use hypermesh_chain::signature::{HeaderError, Message, Received, authenticate};
use hypermesh_chain::{ClusterId, Hash, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// The header with the user.
pub const USER: &str = "hypermesh-user";
/// The header with the id under which the API server audits the request.
pub const AUDIT: &str = "audit-id";
/// The header with the path and query that the user signed.
pub const TARGET: &str = "hypermesh-signed-target";
/// The header of RFC 9421 that says what was signed.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header of RFC 9421 with the signatures.
pub const SIGNATURE: &str = "signature";

/// The longest [`USER`] that is read, in bytes.
pub const MAX_USER: usize = 32 * 1024;

/// A user, as the API server authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `alice`, `system:serviceaccount:shop:web`.
    pub name: String,
    /// Empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// In whose name an agent is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: User,
    /// The id in the API server's reply and log; empty where there is none.
    pub audit: String,
    /// What they signed, where they did.
    pub signed: Option<Signed>,
}

/// The headers of a request that its user signed, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Path and query.
    pub target: String,
    /// `Signature-Input`.
    pub input: String,
    /// `Signature`.
    pub signature: String,
}

/// One author of a signed request, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The key.
    pub key: PublicKey,
    /// When it was signed, in seconds since the epoch.
    pub created: u64,
    /// When it ends by its own word, in seconds since the epoch.
    pub expires: Option<u64>,
    /// What is the same only for the same signature: who has seen it was asked already.
    pub digest: Hash,
}

/// The headers do not say in whose name.
#[derive(Debug, Error)]
pub enum CallerError {
    /// The user is missing.
    #[error("the header {USER} is missing")]
    NoUser,
    /// The user does not fit.
    #[error("the header {USER} has {0} bytes, the limit is {MAX_USER}")]
    Long(usize),
    /// The user cannot be read.
    #[error("the header {USER} is not a user in JSON")]
    User(#[source] serde_json::Error),
    /// A signature does not come whole.
    #[error("a signed request has all of {TARGET}, {SIGNATURE_INPUT} and {SIGNATURE}")]
    Half,
    /// The signature does not hold.
    #[error("the user's signature does not hold")]
    Signature(#[source] HeaderError),
    /// It is over something else.
    #[error("the user signed {0:?}, which does not ask this of the agent")]
    Other(String),
}

impl Caller {
    /// The headers that say it.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![(USER, ascii(&serde_json::to_string(&self.user).unwrap_or_default()))];
        if !self.audit.is_empty() {
            headers.push((AUDIT, self.audit.clone()));
        }
        if let Some(signed) = &self.signed {
            headers.push((TARGET, signed.target.clone()));
            headers.push((SIGNATURE_INPUT, signed.input.clone()));
            headers.push((SIGNATURE, signed.signature.clone()));
        }
        headers
    }

    /// Reads them; `header` finds one by its name.
    pub fn parse<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Result<Self, CallerError> {
        let user = header(USER).ok_or(CallerError::NoUser)?;
        if user.len() > MAX_USER {
            return Err(CallerError::Long(user.len()));
        }
        let user = serde_json::from_str(user).map_err(CallerError::User)?;
        let signed = match (header(TARGET), header(SIGNATURE_INPUT), header(SIGNATURE)) {
            (None, None, None) => None,
            (Some(target), Some(input), Some(signature)) => {
                Some(Signed { target: target.into(), input: input.into(), signature: signature.into() })
            }
            _ => return Err(CallerError::Half),
        };
        Ok(Self { user, audit: header(AUDIT).unwrap_or_default().to_owned(), signed })
    }
}

/// JSON in ASCII: a header may hold nothing else.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for letter in json.chars() {
        if letter.is_ascii() && !letter.is_ascii_control() {
            out.push(letter);
        } else {
            letter.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

impl Signed {
    /// Who signed, verified, and that they asked for `route`.
    ///
    /// # Errors
    /// The signature is of another cluster, does not hold, or is over something else than `route`.
    pub fn verify(&self, cluster: &ClusterId, route: &Route) -> Result<Vec<Author>, CallerError> {
        let other = || CallerError::Other(self.target.clone());
        // The method is the same on both ways.
        let method = Method::parse(route.method()).ok_or_else(other)?;
        let message = Message { method, target: &self.target, media: Media::None, body: Hash::of(&[]) };
        let received = Received {
            signature_input: &self.input,
            signature: &self.signature,
            content_digest: None,
            content_type: None,
        };
        let signatures = authenticate(cluster, &message, &received).map_err(CallerError::Signature)?;
        let asked = Route::of_signed(route.method(), &self.target).ok().flatten().ok_or_else(other)?;
        if !route.is_covered_by(&asked) {
            return Err(other());
        }
        let whole = Request {
            method,
            target: self.target.clone(),
            media: Media::None,
            body: bytes::Bytes::new(),
            authority: Authority::Signed { signatures: signatures.clone() },
        };
        let authors = signatures.iter().zip(whole.uses()).map(|(signature, digest)| Author {
            key: signature.key,
            created: signature.created,
            expires: signature.expires,
            digest,
        });
        Ok(authors.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Instance;
    use hypermesh_chain::SigningKey;
    use hypermesh_chain::signature::{headers, sign};
    use proptest::prelude::*;

    const CLUSTER: ClusterId = ClusterId(Hash([7; 32]));

    fn found<'h>(headers: &'h [(&'static str, String)]) -> impl Fn(&str) -> Option<&'h str> {
        |name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    proptest! {
        #[test]
        fn a_caller_comes_back_from_ascii(name in ".{0,20}", groups in proptest::collection::vec(".{0,9}", 0..3)) {
            let user = User { name, groups, ..User::default() };
            let caller = Caller { user, audit: "a-1".into(), signed: None };
            let headers = caller.headers();
            prop_assert!(headers.iter().all(|(_, value)| value.bytes().all(|b| (b' '..=b'~').contains(&b))));
            prop_assert_eq!(Caller::parse(found(&headers)).unwrap(), caller);
        }
    }

    #[test]
    fn what_does_not_say_who_is_refused() {
        assert!(matches!(Caller::parse(|_| None), Err(CallerError::NoUser)));
        assert!(matches!(Caller::parse(|name| (name == USER).then_some("{")), Err(CallerError::User(_))));
        let half = |name: &str| match name {
            USER => Some(r#"{"name":"a"}"#),
            TARGET => Some("/"),
            _ => None,
        };
        assert!(matches!(Caller::parse(half), Err(CallerError::Half)));
        let long = " ".repeat(MAX_USER + 1);
        assert!(matches!(
            Caller::parse(|name| (name == USER).then_some(long.as_str())),
            Err(CallerError::Long(_))
        ));
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_in_this_cluster() {
        let target = "/api/v1/namespaces/a/pods/b/exec?command=id&stdout=true".to_owned();
        let message =
            Message { method: Method::Post, target: &target, media: Media::None, body: Hash::of(&[]) };
        let key = SigningKey::from_seed(&[3; 32]);
        let signature = sign(&key, &CLUSTER, &message, 1_000, None, 5);
        let sent = headers(&CLUSTER, &message, &[signature]);
        let signed =
            Signed { target: target.clone(), input: sent.signature_input, signature: sent.signature };
        let instance = Instance { namespace: "a".into(), name: "b".into(), uid: "u".into() };
        let route = Route::of_signed("POST", &target).unwrap().unwrap().with_uid("u");
        let authors = signed.verify(&CLUSTER, &route).unwrap();
        assert_eq!((authors.len(), authors[0].key, authors[0].created), (1, key.public(), 1_000));
        let other = Route::PortForward(instance, 80);
        assert!(matches!(signed.verify(&CLUSTER, &other), Err(CallerError::Other(_))));
        let elsewhere = ClusterId(Hash([8; 32]));
        assert!(matches!(signed.verify(&elsewhere, &route), Err(CallerError::Signature(_))));
        let forged = Signed { target: target.replace("id", "sh"), ..signed };
        assert!(matches!(forged.verify(&CLUSTER, &route), Err(CallerError::Signature(_))));
    }
}
