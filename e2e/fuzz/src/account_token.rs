//! Service accounts' tokens against the state: claims that were signed, and the account and Secret that are there. Four
//! texts: the claims, the account's uid, the Secret's uid, and flags as letters: `a` and `s` where account or Secret is
//! being deleted, `A` and `S` where it is not there.
//!
//! A token is taken exactly as long as what it is bound to is there, by uid, and in its time.

use crate::input::texts;
use crate::memory::Memory;
use hypermesh_apiserver::access::token_user;
use hypermesh_chain::{Change, Effect, Facts, ObjectKey, Record, Revision, SigningKey, Uid};
use hypermesh_pipeline::record::uid_of;
use hypermesh_pki::token::{Claims, sign};

const NOW: i64 = 1_767_225_600;

fn put(state: &mut Memory, revision: u64, key: Option<ObjectKey>, uid: Uid, deleting: bool) -> bool {
    let Some(key) = key else { return false };
    let facts = Facts { uid, deleting, ..Facts::default() };
    let record = Record { revision: Revision(revision), salt: Vec::new(), facts, body: b"{}"[..].into() };
    state.apply(&Effect { revision: Revision(revision), key, change: Change::Created(record) });
    true
}

/// Signs claims and shows them.
pub fn target(data: &[u8]) {
    let Some([claims, account, secret, flags]) = texts(data) else { return };
    let Ok(claims) = serde_json::from_str::<Claims>(claims) else { return };
    let key = SigningKey::from_seed(&[3; 32]);
    let token = sign(&key, &claims).expect("claims are signed");
    let (namespace, bound) = (claims.bound.namespace.as_str(), &claims.bound);
    let has = |flag| flags.contains(flag);
    let mut state = Memory::default();
    let mut revision = 1;
    let (account_uid, secret_uid) = (uid_of(account), uid_of(secret));
    let mut account_there = false;
    if !has('A') {
        let place = ObjectKey::new("/serviceaccounts", namespace, bound.serviceaccount.name.as_str());
        account_there = put(&mut state, revision, place, account_uid, has('a'));
        revision += u64::from(account_there);
    }
    let mut secret_there = false;
    if let Some(named) = bound.secret.as_ref().filter(|_| !has('S')) {
        let place = ObjectKey::new("/secrets", namespace, named.name.as_str());
        secret_there = put(&mut state, revision, place, secret_uid, has('s'));
    }
    let found = token_user(&state, &key.public(), &token, NOW).expect("the state is read");
    let account_holds = account_there && !has('a') && bound.serviceaccount.uid == account_uid.to_string();
    let secret_holds = bound
        .secret
        .as_ref()
        .is_none_or(|named| secret_there && !has('s') && named.uid == secret_uid.to_string());
    let in_time = claims.nbf <= NOW && NOW < claims.exp;
    let fits = token.len() <= hypermesh_pki::token::LONGEST;
    assert_eq!(found.is_some(), account_holds && secret_holds && in_time && fits, "{claims:?}");
    if let Some(found) = found {
        assert_eq!((found.user.name.as_str(), found.expires), (claims.sub.as_str(), claims.exp));
        assert_eq!((&found.user.uid, &found.audiences), (&bound.serviceaccount.uid, &claims.aud));
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        assert_eq!(found.user.groups, groups);
    }
    // Nobody else signs.
    let other = SigningKey::from_seed(&[4; 32]).public();
    assert!(token_user(&state, &other, &token, NOW).expect("the state is read").is_none());
}
