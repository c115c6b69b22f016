//! Service accounts' tokens: one that is damaged is refused, whatever the damage.

use crate::input::damaged;
use hypermesh_chain::SigningKey;
use hypermesh_pki::token::{Bound, Claims, Named, TokenError, sign, verify};
use std::sync::LazyLock;

const NOW: i64 = 1_767_225_600;

static GOOD: LazyLock<String> = LazyLock::new(|| {
    let key = SigningKey::from_seed(&[3; 32]);
    let account = Named { name: "builder".into(), uid: "8d3c".into() };
    let claims = Claims {
        iss: "https://kubernetes.default.svc".into(),
        sub: "system:serviceaccount:default:builder".into(),
        aud: vec!["hypermesh".into()],
        exp: NOW + 3600,
        nbf: NOW - 60,
        iat: NOW,
        jti: "1".into(),
        bound: Bound { namespace: "default".into(), serviceaccount: account, secret: None, instance: None },
    };
    let good = sign(&key, &claims).expect("claims are signed");
    assert_eq!(verify(&key.public(), &good, NOW).as_ref(), Ok(&claims));
    assert_eq!(verify(&key.public(), &good, claims.exp), Err(TokenError::Time));
    assert_eq!(verify(&key.public(), &good, claims.nbf - 1), Err(TokenError::Time));
    good
});

/// Reads the input as a token; and a good token, damaged as the input says.
pub fn target(data: &[u8]) {
    let key = SigningKey::from_seed(&[3; 32]).public();
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verify(&key, text, NOW).is_err(), "a token that nobody signed");
    }
    let good = &*GOOD;
    let bytes = damaged(good.as_bytes(), data);
    if let Ok(text) = std::str::from_utf8(&bytes) {
        assert_eq!(verify(&key, text, NOW).is_ok(), text == *good, "{text}");
    }
}
