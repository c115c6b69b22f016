//! What a node may write into what it may write: whatever its rights are, a node speaks for itself and for its instances.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/admission/noderestriction`.

use crate::authz::{NODE_LEASES, node_of};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::identities::key_of;
use crate::metadata;
use crate::nodes;
use crate::state::StateReader;
use crate::verb::Request;
use hypermesh_api::Status;
use hypermesh_chain::ObjectKey;
use serde_json::Value;

/// Labels of these domains, and of those below, say what only the owners of a cluster may say of a node.
const RESERVED: [&str; 4] =
    ["node-restriction.hypermesh.online", "node-restriction.kubernetes.io", "kubernetes.io", "k8s.io"];
/// Domains of labels that are a node's to set all the same.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Labels that are. Source: `k8s.io/kubernetes/pkg/kubelet/apis/well_known_labels.go`.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
];

/// Whether a label is for owners of a cluster to set.
fn is_reserved(label: &str) -> bool {
    let Some((prefix, _)) = label.split_once('/') else { return false };
    let within = |domain: &&str| {
        prefix.strip_suffix(domain).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    let own = OWN_LABELS.contains(&label) || OWN_DOMAINS.iter().any(within);
    RESERVED.iter().any(within) && !own
}

/// Refuses what a node may not store.
pub(super) fn check<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    let Some(node) = node_of(&request.user) else { return Ok(()) };
    let why = match request.kind.collection.as_str() {
        nodes::INSTANCES => instance(request, object, old),
        "hypermesh.online/nodes" => own_node(execution, request, node, object, old),
        "hypermesh.online/assets" => asset(node, object, old),
        "coordination.k8s.io/leases" => lease(node, object),
        "/events" | "events.k8s.io/events" => match about(execution, node, object)? {
            None => old.map_or(Ok(None), |old| about(execution, node, old))?,
            why => why,
        },
        "certificates.k8s.io/certificatesigningrequests" => signing(object),
        _ => None,
    };
    match why {
        Some(why) => Err(Status::forbidden(request.kind.subject(metadata::text(object, "name")), why).into()),
        None => Ok(()),
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Beside the status, a node takes finalizers off an instance that is being deleted: what held it back is done.
fn instance(request: &Request<'_>, object: &Value, old: Option<&Value>) -> Option<String> {
    let Some(old) = old else { return Some("a node makes no instances".to_owned()) };
    if request.is_about_status() {
        return None;
    }
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(meta) = metadata::of(&mut rest) {
            for field in ["finalizers", "managedFields", "resourceVersion", "generation"] {
                meta.remove(field);
            }
        }
        rest
    };
    let before = metadata::finalizers(old);
    let fewer = metadata::finalizers(object).iter().all(|finalizer| before.contains(finalizer));
    let deleting = !metadata::text(old, "deletionTimestamp").is_empty();
    let allowed = deleting && fewer && rest(object) == rest(old);
    (!allowed).then(|| {
        "a node changes the status of an instance, and takes finalizers off one that is being deleted"
            .to_owned()
    })
}

fn own_node<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    node: &str,
    object: &Value,
    old: Option<&Value>,
) -> Option<String> {
    if metadata::text(object, "name") != node {
        return Some(format!(
            "node {node:?} is not allowed to modify node {:?}",
            metadata::text(object, "name")
        ));
    }
    let reserved = |object: Option<&Value>| -> Vec<(String, Value)> {
        let labels = object.and_then(|object| object.pointer("/metadata/labels")).and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        labels.filter(|(key, _)| is_reserved(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    if reserved(Some(object)) != reserved(old) {
        return Some(format!("a node sets no labels of {} of itself", RESERVED.join(", ")));
    }
    // What holds back that its Node goes, and with what, is not for the node to say.
    if metadata::finalizers(object) != old.map(metadata::finalizers).unwrap_or_default() {
        return Some("a node sets no finalizers of itself".to_owned());
    }
    if let Some(old) = old {
        let same = |pointer: &str| old.pointer(pointer) == object.pointer(pointer);
        if !same("/spec/taints") {
            return Some("a node does not change its taints once it is made".to_owned());
        }
        // Whoever has taken a node over is not to bring new instances to it.
        if !same("/spec/unschedulable") {
            return Some("a node does not say whether it is cordoned once it is made".to_owned());
        }
        if !same("/metadata/ownerReferences") {
            return Some("a node does not say what owns it".to_owned());
        }
        return None;
    }
    if object.pointer("/metadata/ownerReferences").is_some_and(|owners| owners != &Value::Array(Vec::new())) {
        return Some("a node does not say what owns it".to_owned());
    }
    let key = text(object, "/spec/publicKey");
    let known = key_of(key).and_then(|key| execution.derived.identities.name(&key.0).map(str::to_owned));
    (known.as_deref() != Some(request.user.name.as_str()))
        .then(|| format!("spec.publicKey: {key:?} is not registered as a key of {:?}", request.user.name))
}

fn asset(node: &str, object: &Value, old: Option<&Value>) -> Option<String> {
    let of = [Some(object), old].into_iter().flatten().all(|asset| text(asset, "/spec/nodeName") == node);
    if !of {
        return Some(format!("node {node:?} writes its own assets alone"));
    }
    // Names are of the whole cluster: one that another node will want must not be taken.
    let name = metadata::text(object, "name");
    if old.is_none() && !name.strip_prefix(node).is_some_and(|rest| rest.starts_with('-') && rest.len() > 1) {
        return Some(format!("the assets that a node makes are named {node}-…, not {name:?}"));
    }
    // Whom an asset is shared with is its owner's to say.
    let same = |field: &str| old.is_none_or(|old| old.pointer(field) == object.pointer(field));
    (!(same("/spec/privacy") && same("/spec/sharing")))
        .then(|| "a node does not change whom its assets are shared with".to_owned())
}

fn lease(node: &str, object: &Value) -> Option<String> {
    let own = metadata::text(object, "namespace") == NODE_LEASES && metadata::text(object, "name") == node;
    (!own).then(|| format!("node {node:?} holds the Lease {NODE_LEASES}/{node} alone"))
}

/// An Event is about the node, an asset of its, or an instance of its (which is also shown as a Pod).
fn about<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    node: &str,
    event: &Value,
) -> Result<Option<String>, Fault> {
    let field = |name: &str| text(event, &format!("/involvedObject/{name}"));
    let own = match field("kind") {
        "Node" => field("name") == node,
        "Instance" | "Pod" => execution.derived.nodes.is_bound(node, field("namespace"), field("name")),
        "Asset" => match ObjectKey::new("hypermesh.online/assets", "", field("name")) {
            Some(key) => {
                execution.overlay.get(&key)?.is_some_and(|asset| nodes::node_of(&asset) == Some(node))
            }
            None => false,
        },
        _ => false,
    };
    Ok((!own).then(|| {
        format!(
            "node {node:?} tells of itself and its instances, not of {} {:?}",
            field("kind"),
            field("name")
        )
    }))
}

fn signing(object: &Value) -> Option<String> {
    let signer = text(object, "/spec/signerName");
    (signer != super::NODE_SIGNER)
        .then(|| format!("a node asks {} for its certificates, and no other signer", super::NODE_SIGNER))
}
