//! StatefulSet to Workload.

use super::{
    deployment::{finish, replicas, timing},
    index::Index,
    pieces::Piece,
};
use serde_json::{Value, json};

/// The spec of the Workload.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    let mut spec = json!({});
    replicas(piece, &mut spec);
    piece.take("spec.selector");
    // One at a time, and never one too many: what a StatefulSet's update is.
    let mut rollout = json!({"strategy": "Rolling", "rolling": {"maxSurge": 0, "maxUnavailable": 1}});
    match piece.take_text("spec.updateStrategy.type").as_deref() {
        Some("RollingUpdate") | None => {
            if let Some(most) = piece.take("spec.updateStrategy.rollingUpdate.maxUnavailable") {
                rollout["rolling"]["maxUnavailable"] = most;
            }
            if piece.take("spec.updateStrategy.rollingUpdate.partition").is_some_and(|p| p != 0) {
                let path = "spec.updateStrategy.rollingUpdate.partition";
                piece.lost(path, "a rollout goes through all instances");
            }
        }
        Some(_) => {
            piece.lost("spec.updateStrategy.type", "a changed template reaches the instances by itself")
        }
    }
    timing(piece, &mut rollout);
    let claims = piece.take_list("spec.volumeClaimTemplates");
    if !claims.is_empty() {
        piece.lost(
            "spec.volumeClaimTemplates",
            "nothing but a hostPath outlives its instance: what is kept there now would be lost, so its mounts are left out",
        );
    }
    finish(piece, index, spec, rollout)
}
