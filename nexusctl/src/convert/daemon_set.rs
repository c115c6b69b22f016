//! DaemonSet to Workload.

use super::{
    deployment::{finish, timing},
    index::Index,
    pieces::Piece,
};
use serde_json::{Value, json};

/// The spec of the Workload: never two on one node.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    piece.take("spec.selector");
    let mut rollout = json!({});
    match piece.take_text("spec.updateStrategy.type").as_deref() {
        Some("RollingUpdate") | None => {
            let mut rolling = json!({"maxSurge": 0, "maxUnavailable": 1});
            for field in ["maxSurge", "maxUnavailable"] {
                if let Some(value) = piece.take(&format!("spec.updateStrategy.rollingUpdate.{field}")) {
                    rolling[field] = value;
                }
            }
            rollout["strategy"] = "Rolling".into();
            rollout["rolling"] = rolling;
        }
        Some(_) => {
            piece.lost("spec.updateStrategy.type", "a changed template reaches the instances by itself")
        }
    }
    timing(piece, &mut rollout);
    piece.lost(
        "spec",
        "a Workload has a number of replicas, not one on each node: set spec.replicas to the number of nodes",
    );
    let mut spec = finish(piece, index, json!({"replicas": 1}), rollout);
    let apart = json!({"workload": piece.name(), "topologyKey": "kubernetes.io/hostname", "required": true});
    if let Some(placement) = spec.as_object_mut().map(|s| s.entry("placement").or_insert_with(|| json!({}))) {
        match placement.get_mut("apart").and_then(Value::as_array_mut) {
            Some(list) => list.push(apart),
            None => placement["apart"] = json!([apart]),
        }
    }
    spec
}
