//! Who a client is: its certificate, its token, whom it impersonates.
//!
//! Source: `k8s.io/apiserver/pkg/authentication` (x509, bearer token, impersonation) and, for bootstrap tokens,
//! `k8s.io/cluster-bootstrap`.
//!
//! All of it is a function of what the client showed, the state and the time; the server asks it, and so do fuzz targets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hypermesh_api::Status;
use hypermesh_chain::{ObjectKey, PublicKey};
use hypermesh_pipeline::StateReader;
use hypermesh_pipeline::authz::{Attributes, Policy, UserInfo, refusal};
use hypermesh_pki::token::{self, Claims};
use serde_json::Value;

/// Everyone who is known.
const AUTHENTICATED: &str = "system:authenticated";

/// Whom a client certificate names: the common name is the user, organisations are groups.
pub fn certificate_user(der: &[u8]) -> Option<UserInfo> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> = certificate
        .subject()
        .iter_organization()
        .filter_map(|o| o.as_str().ok())
        .map(str::to_owned)
        .collect();
    groups.push(AUTHENTICATED.to_owned());
    Some(UserInfo { name, groups, ..UserInfo::default() })
}

/// A client that showed nothing.
pub fn anonymous() -> UserInfo {
    UserInfo {
        name: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..UserInfo::default()
    }
}

/// What a bearer token comes to.
#[derive(Debug)]
pub struct TokenUser {
    /// For whom it stands.
    pub user: UserInfo,
    /// For which audiences; empty for this server alone.
    pub audiences: Vec<String>,
    /// Until when, in seconds since the epoch.
    pub expires: i64,
    /// The Instance that it is bound to: where, and its uid. Instances change often, so who remembers the rest asks for
    /// this anew.
    pub instance: Option<(ObjectKey, String)>,
}

/// Where Instances are stored.
pub(crate) const INSTANCES: &str = "hypermesh.online/instances";

/// Whom a bearer token stands for, at `now` in seconds since the epoch. `None` for a token that nobody here issued.
///
/// # Errors
/// When the state cannot be read.
pub fn token_user(
    state: &impl StateReader,
    key: &PublicKey,
    text: &str,
    now: i64,
) -> Result<Option<TokenUser>, Status> {
    if let Some(found) = bootstrap_user(state, text, now)? {
        return Ok(Some(found));
    }
    match token::verify(key, text, now) {
        Ok(claims) => service_account(state, &claims),
        Err(_) => Ok(None),
    }
}

fn service_account(state: &impl StateReader, claims: &Claims) -> Result<Option<TokenUser>, Status> {
    let (namespace, account) = (&claims.bound.namespace, &claims.bound.serviceaccount);
    let lives = |collection: &str, name: &str, uid: &str| -> Result<bool, Status> {
        let Some(key) = ObjectKey::new(collection, namespace.as_str(), name) else { return Ok(false) };
        let record = state.get(&key).map_err(Status::internal)?;
        Ok(record.is_some_and(|record| !record.facts.deleting && record.facts.uid.to_string() == uid))
    };
    if !lives("/serviceaccounts", &account.name, &account.uid)? {
        return Ok(None);
    }
    if let Some(secret) = &claims.bound.secret
        && !lives("/secrets", &secret.name, &secret.uid)?
    {
        return Ok(None);
    }
    let (mut instance, mut extra) = (None, Vec::new());
    if let Some(bound) = &claims.bound.instance {
        let key = ObjectKey::new(INSTANCES, namespace.as_str(), bound.name.as_str());
        // What goes on running for a while after its deletion was asked for keeps its token for as long.
        let found = match &key {
            Some(key) => state.get(key).map_err(Status::internal)?,
            None => None,
        };
        if found.is_none_or(|record| record.facts.uid.to_string() != bound.uid) {
            return Ok(None);
        }
        instance = key.map(|key| (key, bound.uid.clone()));
        extra.push(("authentication.kubernetes.io/pod-name".to_owned(), vec![bound.name.clone()]));
        extra.push(("authentication.kubernetes.io/pod-uid".to_owned(), vec![bound.uid.clone()]));
    }
    let groups = vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        AUTHENTICATED.to_owned(),
    ];
    let user = UserInfo { name: claims.sub.clone(), uid: account.uid.clone(), groups, extra };
    Ok(Some(TokenUser { user, audiences: claims.aud.clone(), expires: claims.exp, instance }))
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`, kept as a Secret in `kube-system`.
fn bootstrap_user(state: &impl StateReader, text: &str, now: i64) -> Result<Option<TokenUser>, Status> {
    let Some((id, secret)) = text.split_once('.').filter(|(id, secret)| {
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    }) else {
        return Ok(None);
    };
    let Some(key) = ObjectKey::new("/secrets", "kube-system", format!("bootstrap-token-{id}")) else {
        return Ok(None);
    };
    let Some(record) = state.get(&key).map_err(Status::internal)? else { return Ok(None) };
    let object: Value = serde_json::from_slice(&record.body).map_err(Status::internal)?;
    let field = |name: &str| {
        let bytes = object.get("data")?.get(name)?.as_str().and_then(|text| STANDARD.decode(text).ok())?;
        String::from_utf8(bytes).ok()
    };
    let kept = field("token-secret").unwrap_or_default();
    let same = kept.len() == secret.len()
        && kept.bytes().zip(secret.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0;
    let expires = match field("expiration") {
        // An expiration that cannot be read has passed.
        Some(text) => hypermesh_pipeline::clock::parse(&text)
            .and_then(|time| i64::try_from(time.0 / 1_000_000).ok())
            .unwrap_or(i64::MIN),
        None => i64::MAX,
    };
    let usable = object.get("type").and_then(Value::as_str) == Some("bootstrap.kubernetes.io/token")
        && field("usage-bootstrap-authentication").as_deref() == Some("true")
        && field("token-id").as_deref() == Some(id);
    if !same || expires <= now || !usable || record.facts.deleting {
        return Ok(None);
    }
    let mut groups = vec!["system:bootstrappers".to_owned()];
    let extra = field("auth-extra-groups").unwrap_or_default();
    for group in extra.split(',').filter(|group| !group.is_empty()) {
        // A token that asks for more than it may be given gives nothing.
        if !is_bootstrap_group(group) {
            return Ok(None);
        }
        groups.push(group.to_owned());
    }
    groups.push(AUTHENTICATED.to_owned());
    let user = UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() };
    Ok(Some(TokenUser { user, audiences: Vec::new(), expires, instance: None }))
}

/// Source: `k8s.io/cluster-bootstrap/token/api` BootstrapGroupPattern.
fn is_bootstrap_group(group: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    group.strip_prefix("system:bootstrappers:").is_some_and(|rest| {
        (1..=256).contains(&rest.len())
            && rest.bytes().all(|b| plain(b) || b == b':' || b == b'-')
            && rest.bytes().next_back().is_some_and(plain)
    })
}

/// Whether a request asks to act as another.
pub fn wants_impersonation(headers: &http::HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("impersonate-"))
}

/// The user that `Impersonate-*` headers ask for, if `user` may.
///
/// # Errors
/// The refusal.
pub fn impersonated(policy: &Policy, user: &UserInfo, headers: &http::HeaderMap) -> Result<UserInfo, Status> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = |name: &str| headers.get_all(name).iter().map(text).collect::<Vec<_>>();
    let name = headers.get("impersonate-user").map(text).unwrap_or_default();
    let (groups, uid) =
        (all("impersonate-group"), headers.get("impersonate-uid").map(text).unwrap_or_default());
    let mut extra: Vec<(String, Vec<String>)> = headers
        .keys()
        .filter_map(|key| key.as_str().strip_prefix("impersonate-extra-"))
        .map(|key| (key.to_owned(), all(&format!("impersonate-extra-{key}"))))
        .collect();
    extra.sort();
    // Two names are two requests: what stands in front of this server may have judged the other.
    for header in ["impersonate-user", "impersonate-uid"] {
        if headers.get_all(header).iter().nth(1).is_some() {
            return Err(Status::bad_request(format!("the request has several {header} headers")));
        }
    }
    // Whoever wanted to be someone else must not act as themselves instead.
    if name.is_empty() || name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Status::bad_request("requested impersonation without impersonating a user"));
    }
    let check = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let asked =
            Attributes { verb: "impersonate", group, resource, subresource, namespace, name, path: None };
        if policy.allows(user, &asked) { Ok(()) } else { Err(refusal(user, &asked)) }
    };
    let account = name.strip_prefix(UserInfo::SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, account)) => check("", "serviceaccounts", "", namespace, account)?,
        None => check("", "users", "", "", &name)?,
    }
    for group in &groups {
        check("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        check("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            check("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    let mut groups = groups;
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let known = if name == "system:anonymous" { "system:unauthenticated" } else { AUTHENTICATED };
    if !groups.iter().any(|group| group == known) {
        groups.push(known.to_owned());
    }
    Ok(UserInfo { name, uid, groups, extra })
}
