//! The Lease that nodes renew in Kubernetes to show that they live: `kubectl describe node` reads it.
//!
//! Here agents tell of themselves in a stream, and nothing of it is stored: the Lease is made of what this server has heard
//! when it is asked for by name. It is not listed, not watched, and nobody writes it; one that somebody did store is served
//! as it is.

use super::context::{Api, Asked};
use bytes::Bytes;
use hypermesh_chain::{ObjectKey, Timestamp};
use hypermesh_machine::Reading;
use hypermesh_pipeline::clock::rfc3339;
use serde_json::json;

/// Where kubelets keep theirs.
const NAMESPACE: &str = "kube-node-lease";
/// How long a node may say nothing before it counts as silent (the controllers' grace), in seconds.
const DURATION: u32 = 40;

/// The Lease of a node that was heard of, if that is what was asked for.
pub(super) fn answer(api: &Api, asked: &Asked, reading: &Reading) -> Option<Bytes> {
    let info = &asked.info;
    let asked_for = info.group == "coordination.k8s.io"
        && info.resource == "leases"
        && info.namespace == NAMESPACE
        && info.subresource.is_empty();
    if !asked_for {
        return None;
    }
    let node = reading.get(&ObjectKey::new("hypermesh.online/nodes", "", info.name.as_str())?).ok()??;
    let (since, last) = api.alive.heard(&info.name)?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": info.name,
            "namespace": NAMESPACE,
            "uid": node.facts.uid.to_string(),
            "resourceVersion": node.revision.0.to_string(),
            "creationTimestamp": rfc3339(since),
        },
        "spec": {
            "holderIdentity": info.name,
            "leaseDurationSeconds": DURATION,
            "renewTime": micro(last),
        },
    });
    serde_json::to_vec(&lease).ok().map(Bytes::from)
}

/// As Kubernetes has its `MicroTime`: six digits, always.
fn micro(time: Timestamp) -> String {
    let seconds = rfc3339(time);
    format!("{}.{:06}Z", seconds.trim_end_matches('Z'), time.0 % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits() {
        assert_eq!(micro(Timestamp(1_767_225_610_000_007)), "2026-01-01T00:00:10.000007Z");
    }
}
