//! Bootstrap tokens: what a client shows against a Secret that anybody may have written. Three texts: the token, the
//! Secret's name, the Secret.
//!
//! Whoever comes in showed the secret that is stored, under the name that belongs to it, in time, and is in no group but
//! those of bootstrappers.

use crate::input::{json, parts};
use crate::memory::Memory;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_apiserver::access::token_user;
use hypermesh_chain::{Change, Effect, Facts, ObjectKey, Record, Revision, SigningKey};
use serde_json::Value;

const NOW: i64 = 1_767_225_600;

/// Shows a token.
pub fn target(data: &[u8]) {
    let [token, name, secret] = parts(data);
    let (Ok(token), Ok(name)) = (std::str::from_utf8(token), std::str::from_utf8(name)) else { return };
    let Some(object) = json(secret) else { return };
    let mut state = Memory::default();
    let Some(key) = ObjectKey::new("/secrets", "kube-system", name) else { return };
    let body = serde_json::to_vec(&object).expect("a value is written").into();
    let record = Record { revision: Revision(1), salt: Vec::new(), facts: Facts::default(), body };
    state.apply(&Effect { revision: Revision(1), key, change: Change::Created(record) });
    let issuer = SigningKey::from_seed(&[3; 32]).public();
    let Some(found) = token_user(&state, &issuer, token, NOW).expect("the state is read") else { return };

    let field = |name: &str| {
        let text = object.get("data").and_then(|data| data.get(name)).and_then(Value::as_str)?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    };
    let (id, shown) = token.split_once('.').expect("a token has two parts");
    assert_eq!(name, format!("bootstrap-token-{id}"));
    assert_eq!(field("token-id").as_deref(), Some(id));
    assert_eq!(field("token-secret").as_deref(), Some(shown));
    assert_eq!((id.len(), shown.len()), (6, 16));
    assert_eq!(object["type"], "bootstrap.kubernetes.io/token");
    assert_eq!(field("usage-bootstrap-authentication").as_deref(), Some("true"));
    assert!(found.expires > NOW);
    if field("expiration").is_none() {
        assert_eq!(found.expires, i64::MAX);
    }
    assert_eq!(found.user.name, format!("system:bootstrap:{id}"));
    assert!(found.audiences.is_empty() && found.user.uid.is_empty() && found.user.extra.is_empty());
    let (first, rest) = found.user.groups.split_first().expect("there are groups");
    assert_eq!(first, "system:bootstrappers");
    let (last, extra) = rest.split_last().expect("there are two groups");
    assert_eq!(last, "system:authenticated");
    for group in extra {
        let own = group.strip_prefix("system:bootstrappers:").expect("a group of bootstrappers");
        assert!(!own.is_empty() && !own.contains(|c: char| c.is_whitespace() || c == ','), "{group:?}");
    }
}
