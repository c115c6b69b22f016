//! Who holds the name that a node asks for, and whether the token that was shown still counts.

use super::validate::{TOKEN_USER, claim};
use crate::bootstrap_token;
use crate::runtime::{Context, Failure, Key, Subject, identities, nodes};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The keys that are registered for the name now, in hexadecimal.
    pub registered: BTreeSet<String>,
    /// The key that its Node says it has; a revoked one stands there still.
    pub node: Option<String>,
    /// Whether the bootstrap token that who asks has shown still counts.
    pub token: bool,
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<CertificateSigningRequest>,
) -> Result<Observed, Failure> {
    let now = context.now();
    let mut observed = Observed { now, registered: BTreeSet::new(), node: None, token: false };
    let Some(Ok(claim)) = claim(&subject.object) else { return Ok(observed) };
    observed.token = token(context, &subject.object, now).await?;
    let node: Option<Value> = context.get(&nodes(), &Key::cluster(&claim.node)).await?;
    let key = |node: &Value| node.pointer("/spec/publicKey").and_then(Value::as_str).map(str::to_owned);
    // One that says nothing of its key is somebody's all the same.
    observed.node = node.as_ref().map(|node| key(node).unwrap_or_default());
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &identities());
    let user = hypermesh_pki::node_user(&claim.node);
    let mut params = ListParams::default().fields(&format!("spec.user={user}")).limit(500);
    loop {
        let page =
            api.list_metadata(&params).await.map_err(Failure::of(format!("list the keys of {user}")))?;
        observed.registered.extend(page.items.into_iter().filter_map(|identity| identity.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(observed),
        }
    }
}

/// Whether the token that a request was made with is there still. A request outlives it, and must not be worth more.
async fn token(
    context: &Context,
    request: &CertificateSigningRequest,
    now: Timestamp,
) -> Result<bool, Failure> {
    let Some(id) = request.spec.username.as_deref().and_then(|user| user.strip_prefix(TOKEN_USER)) else {
        return Ok(false);
    };
    let secrets = ApiResource::erase::<Secret>(&());
    let key = Key::namespaced(bootstrap_token::NAMESPACE, &format!("bootstrap-token-{id}"));
    let secret: Option<Secret> = context.get(&secrets, &key).await?;
    Ok(secret.is_some_and(|secret| counts(&secret, request, now)))
}

/// Whether a Secret is the token that a request was made with, and counts at `now`. Pure.
pub(super) fn counts(secret: &Secret, request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let text = |field: &str| {
        let data = secret.data.as_ref()?.get(field)?;
        Some(String::from_utf8_lossy(&data.0).into_owned())
    };
    // What cannot be read has passed, as the API server has it too.
    let ended = text("expiration").is_some_and(|end| !end.parse::<Timestamp>().is_ok_and(|end| end > now));
    let made = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    // Another one by the same name came later than the request.
    let later = made(&secret.metadata.creation_timestamp) > made(&request.metadata.creation_timestamp);
    secret.type_.as_deref() == Some(bootstrap_token::TYPE)
        && text("usage-bootstrap-authentication").as_deref() == Some("true")
        && secret.metadata.deletion_timestamp.is_none()
        && !ended
        && !later
}
