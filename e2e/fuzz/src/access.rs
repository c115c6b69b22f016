//! Who a client is: what its certificate says, and whom it asks to be. Three parts: rules that the client holds, headers
//! (a line each, `name: value`), and bytes that damage a certificate.
//!
//! Nobody becomes anybody without holding `impersonate` on the user and on every group, uid and extra; nobody who asks to
//! be another stays themselves; and a certificate that is read names somebody.

use crate::input::{damaged, parts};
use crate::memory::Memory;
use http::{HeaderMap, HeaderName, HeaderValue};
use hypermesh_apiserver::access::{certificate_user, impersonated, wants_impersonation};
use hypermesh_chain::{Change, Effect, Facts, ObjectKey, Record, Revision};
use hypermesh_pipeline::authz::{Attributes, Policy, PolicyRule, UserInfo};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use std::sync::LazyLock;

const CALLER: &str = "caller";
/// Headers of one input.
const MOST_HEADERS: usize = 16;

static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, CALLER);
    params.distinguished_name.push(DnType::OrganizationName, "developers");
    params.self_signed(&key).expect("a certificate").der().to_vec()
});

fn policy(rules: &[PolicyRule]) -> Policy {
    let mut state = Memory::default();
    let objects: [(&str, Value); 2] = [
        ("clusterroles", json!({"rules": rules})),
        (
            "clusterrolebindings",
            json!({
                "roleRef": {"kind": "ClusterRole", "name": CALLER},
                "subjects": [{"kind": "User", "name": CALLER}],
            }),
        ),
    ];
    for (n, (plural, object)) in objects.into_iter().enumerate() {
        let key = ObjectKey::new(format!("rbac.authorization.k8s.io/{plural}"), "", CALLER).expect("a key");
        let revision = Revision(n as u64 + 1);
        let record =
            Record { revision, salt: Vec::new(), facts: Facts::default(), body: object.to_string().into() };
        state.apply(&Effect { revision, key, change: Change::Created(record) });
    }
    Policy::load(&state).expect("the state is read")
}

fn headers(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(MOST_HEADERS) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(halves.next().unwrap_or_default().trim_ascii());
        let value = HeaderValue::from_bytes(halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Asks to be somebody.
pub fn target(data: &[u8]) {
    let [rules, asked, damage] = parts(data);
    if let Some(user) = certificate_user(&damaged(&CERTIFICATE, damage)) {
        assert_eq!(user.groups.last().map(String::as_str), Some("system:authenticated"));
        assert!(user.uid.is_empty() && user.extra.is_empty());
    }
    let rules: Vec<PolicyRule> = serde_json::from_slice(rules).unwrap_or_default();
    let headers = headers(asked);
    if !wants_impersonation(&headers) {
        return;
    }
    let policy = policy(&rules);
    let caller =
        UserInfo { name: CALLER.into(), groups: vec!["system:authenticated".into()], ..UserInfo::default() };
    let Ok(user) = impersonated(&policy, &caller, &headers) else { return };
    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let asked =
            Attributes { verb: "impersonate", group, resource, subresource, namespace, name, path: None };
        policy.allows(&caller, &asked)
    };
    let texts = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    assert_eq!(texts("impersonate-user"), [user.name.as_str()], "who is asked for is who it is");
    let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => assert!(may("", "serviceaccounts", "", namespace, name)),
        None => assert!(may("", "users", "", "", &user.name)),
    }
    let given = texts("impersonate-group");
    for group in &user.groups {
        let follows = match account {
            Some((namespace, _)) if given.is_empty() => {
                group == "system:serviceaccounts" || *group == format!("system:serviceaccounts:{namespace}")
            }
            _ => false,
        };
        let known = group == "system:authenticated" || group == "system:unauthenticated";
        assert!(follows || known || (given.contains(group) && may("", "groups", "", "", group)), "{group:?}");
    }
    assert!(given.iter().all(|group| may("", "groups", "", "", group)));
    assert!(user.uid.is_empty() || may("authentication.k8s.io", "uids", "", "", &user.uid));
    for (key, values) in &user.extra {
        for value in values {
            assert!(may("authentication.k8s.io", "userextras", key, "", value), "{key}: {value}");
        }
    }
}
