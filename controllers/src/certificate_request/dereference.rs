//! Who holds the name that a node asks for.

use super::validate::claim;
use crate::runtime::{Context, Failure, Key, Subject, resource};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The keys that the name has: of its Node, and those that are registered for it. In hexadecimal.
    pub holders: BTreeSet<String>,
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<CertificateSigningRequest>,
) -> Result<Observed, Failure> {
    let now = context.now();
    let mut holders = BTreeSet::new();
    let Some(Ok(claim)) = claim(&subject.object) else { return Ok(Observed { now, holders }) };
    let nodes = resource(&hypermesh_schemas::node::definition());
    let node: Option<Value> = context.get(&nodes, &Key::cluster(&claim.node)).await?;
    let key = node.as_ref().and_then(|node| node.pointer("/spec/publicKey")).and_then(Value::as_str);
    holders.extend(key.map(str::to_owned));
    let identities = resource(&hypermesh_schemas::identity::definition());
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &identities);
    let user = hypermesh_pki::node_user(&claim.node);
    let mut params = ListParams::default().fields(&format!("spec.user={user}")).limit(500);
    loop {
        let page =
            api.list_metadata(&params).await.map_err(Failure::of(format!("list the keys of {user}")))?;
        holders.extend(page.items.into_iter().filter_map(|identity| identity.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(Observed { now, holders }),
        }
    }
}
