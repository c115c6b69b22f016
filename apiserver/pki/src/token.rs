//! Service accounts' tokens: JSON Web Tokens (RFC 7519) signed by Ed25519 (RFC 8037), as `TokenRequest` issues them.
//!
//! The signature says that this cluster issued the token; whether its account still exists is for the caller to ask
//! the state.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hypermesh_chain::{PublicKey, Signature, SigningKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest token that is looked at, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
    /// For whom it is meant.
    pub aud: Vec<String>,
    /// Until when, in seconds since the epoch.
    pub exp: i64,
    /// From when.
    pub nbf: i64,
    /// Issued when.
    pub iat: i64,
    /// Its own id.
    pub jti: String,
    /// To what it is bound.
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
}

/// To what a token is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub serviceaccount: Named,
    /// A Secret that must exist as long as the token is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Named>,
    /// An Instance that must exist as long as the token is used. It is shown as a Pod, and verifiers know the claim by that
    /// name.
    #[serde(rename = "pod", default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Named>,
}

/// An object by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: String,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is no token of this form.
    #[error("it is no JSON Web Token of this cluster")]
    Malformed,
    /// Another key signed it.
    #[error("its signature does not verify")]
    Signature,
    /// Its time has passed, or has not come.
    #[error("it has expired or is not valid yet")]
    Time,
}

/// Signs claims.
pub fn sign(key: &SigningKey, claims: &Claims) -> Result<String, serde_json::Error> {
    let header = Header { alg: "EdDSA".into(), kid: kid(&key.public()), typ: "JWT".into() };
    let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let message = format!("{}.{}", part(serde_json::to_vec(&header)?), part(serde_json::to_vec(claims)?));
    let signature = key.sign(message.as_bytes());
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.0)))
}

/// The claims of a token that `key` signed and that is valid at `now` (seconds since the epoch).
pub fn verify(key: &PublicKey, token: &str, now: i64) -> Result<Claims, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
    if header.alg != "EdDSA" || header.kid != kid(key) {
        return Err(TokenError::Malformed);
    }
    let signature = <[u8; 64]>::try_from(decode(signature)?).map_err(|_| TokenError::Malformed)?;
    key.verify(message.as_bytes(), &Signature(signature)).map_err(|_| TokenError::Signature)?;
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
    if now >= claims.exp || now < claims.nbf {
        return Err(TokenError::Time);
    }
    Ok(claims)
}

/// The key's id: its first eight bytes.
fn kid(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(&key.0[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            iss: "https://hypermesh".into(),
            sub: "system:serviceaccount:default:web".into(),
            aud: vec!["https://hypermesh".into()],
            exp: 2000,
            nbf: 1000,
            iat: 1000,
            jti: "1".into(),
            bound: Bound {
                namespace: "default".into(),
                serviceaccount: Named { name: "web".into(), uid: "u".into() },
                secret: None,
                instance: None,
            },
        }
    }

    #[test]
    fn a_token_says_what_was_signed_and_only_in_its_time() {
        let key = SigningKey::from_seed(&[1; 32]);
        let token = sign(&key, &claims()).unwrap();
        assert_eq!(verify(&key.public(), &token, 1500), Ok(claims()));
        assert_eq!(verify(&key.public(), &token, 2000), Err(TokenError::Time));
        assert_eq!(verify(&key.public(), &token, 999), Err(TokenError::Time));
    }

    #[test]
    fn a_forged_token_is_refused() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let token = sign(&key, &claims()).unwrap();
        assert_eq!(verify(&other.public(), &token, 1500), Err(TokenError::Malformed));
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let forged =
            serde_json::to_vec(&Claims { sub: "system:serviceaccount:kube-system:root".into(), ..claims() });
        parts[1] = URL_SAFE_NO_PAD.encode(forged.unwrap());
        assert_eq!(verify(&key.public(), &parts.join("."), 1500), Err(TokenError::Signature));
        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"x"}"#);
        assert_eq!(
            verify(&key.public(), &format!("{unsigned}.{}.", parts[1]), 1500),
            Err(TokenError::Malformed)
        );
        for broken in ["", ".", "..", "a.b.c", "a", &"x.".repeat(40_000)] {
            assert_eq!(verify(&key.public(), broken, 1500), Err(TokenError::Malformed));
        }
    }
}
