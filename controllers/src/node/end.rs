//! Ends instances that their node cannot end, or may not keep.

use crate::runtime::announce::{Gravity, Note};
use crate::runtime::{Context, Failure, Key};
use crate::scheduler::cluster::Kind;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, Patch, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, PartialObjectMeta};
use serde_json::json;
use std::fmt;

/// What the finalizers begin with under which a node ends what runs before an instance goes.
pub const OF_NODES: &str = "node.hypermesh.online/";

/// Why an instance is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// Its node does not exist any more.
    NodeGone(&'a str),
    /// Its node has not been heard of for longer than it tolerates that.
    Unreachable(&'a str),
    /// It does not, or no longer, tolerate a taint of its node.
    Taint(&'a str, &'a str),
}

impl Why<'_> {
    fn reason(&self) -> &'static str {
        match self {
            Self::NodeGone(_) => "NodeGone",
            Self::Unreachable(_) => "NodeUnreachable",
            Self::Taint(..) => "TaintEviction",
        }
    }
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeGone(node) => write!(f, "it is ended, since its node {node} does not exist any more"),
            Self::Unreachable(node) => write!(
                f,
                "it is ended, since its node {node} has not been heard of for longer than it tolerates; should the node \
                 come back, it ends what still runs there"
            ),
            Self::Taint(node, taint) => {
                write!(
                    f,
                    "it is ended, since it does not, or no longer, tolerate the taint {taint} of its node {node}"
                )
            }
        }
    }
}

/// Deletes an instance, which its node then ends in its own time. False if it was gone.
pub async fn gracefully(context: &Context, key: &Key, uid: &str, why: &Why<'_>) -> Result<bool, Failure> {
    let was = context.delete(&Kind::Instance.resource(), key, &of(uid, None)).await?;
    tell(context, key, uid, why, was).await;
    Ok(was)
}

/// Deletes an instance whose node cannot end it: nobody is waited for. False if it was gone.
pub async fn at_once(context: &Context, key: &Key, uid: &str, why: &Why<'_>) -> Result<bool, Failure> {
    let was = context.delete(&Kind::Instance.resource(), key, &of(uid, Some(0))).await?;
    let left: Option<PartialObjectMeta<DynamicObject>> = context.get(&Kind::Instance.resource(), key).await?;
    let left = left.map(|left| left.metadata).filter(|left| left.uid.as_deref() == Some(uid));
    if let Some(left) = left {
        let mut finalizers = left.finalizers.unwrap_or_default();
        let all = finalizers.len();
        finalizers.retain(|finalizer| !finalizer.starts_with(OF_NODES));
        if finalizers.len() < all {
            let meta =
                json!({"uid": uid, "resourceVersion": left.resource_version, "finalizers": finalizers});
            let patch = Patch::Merge(json!({"metadata": meta}));
            match context.patch(&Kind::Instance.resource(), key, None, &patch).await {
                // It went meanwhile.
                Err(Failure::Api { source: kube::Error::Api(status), .. }) if status.code == 404 => {}
                patched => patched?,
            }
        }
    }
    tell(context, key, uid, why, was).await;
    Ok(was)
}

fn of(uid: &str, grace: Option<u32>) -> DeleteParams {
    DeleteParams {
        grace_period_seconds: grace,
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    }
}

async fn tell(context: &Context, key: &Key, uid: &str, why: &Why<'_>, was: bool) {
    if !was {
        return;
    }
    tracing::info!(instance = %key, "{why}");
    let kind = Kind::Instance.resource();
    let about = ObjectReference {
        api_version: Some(kind.api_version),
        kind: Some(kind.kind),
        name: Some(key.name.to_string()),
        namespace: key.namespace.as_deref().map(str::to_owned),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    let note = Note {
        gravity: Gravity::Warning,
        action: "Evict",
        reason: why.reason().to_owned(),
        message: why.to_string(),
        counted: false,
    };
    context.announcer.tell(&about, note, context.now()).await;
}
