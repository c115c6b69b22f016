//! Deployment (and ReplicaSet) to Workload.

use super::{index::Index, pieces::Piece, template};
use serde_json::{Value, json};

/// The spec of the Workload.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    let mut spec = json!({});
    replicas(piece, &mut spec);
    piece.take("spec.selector");
    let mut rollout = json!({});
    match piece.take_text("spec.strategy.type").as_deref() {
        Some("Recreate") => rollout["strategy"] = "Recreate".into(),
        Some("RollingUpdate") | None => {
            let rolling = piece.take_map("spec.strategy.rollingUpdate");
            if !rolling.is_empty() {
                rollout["strategy"] = "Rolling".into();
                rollout["rolling"] = rolling.into();
            }
        }
        Some(other) => piece.lost("spec.strategy.type", &format!("{other:?} is no strategy of a rollout")),
    }
    if piece.take_flag("spec.paused") == Some(true) {
        rollout["paused"] = true.into();
    }
    timing(piece, &mut rollout);
    if let Some(seconds) = piece.take_count("spec.progressDeadlineSeconds") {
        rollout["progressDeadline"] = duration(seconds);
    }
    finish(piece, index, spec, rollout)
}

/// The template, and with it the whole spec.
pub(super) fn finish(piece: &mut Piece, index: &Index, mut spec: Value, rollout: Value) -> Value {
    let prefix = piece.prefix.clone();
    let template = piece.take(&format!("{prefix}.template")).unwrap_or_else(|| json!({}));
    let (template, placement) = template::convert(template, piece, index);
    spec["template"] = template;
    if placement.as_object().is_some_and(|p| !p.is_empty()) {
        spec["placement"] = placement;
    }
    if rollout.as_object().is_some_and(|r| !r.is_empty()) {
        spec["rollout"] = rollout;
    }
    spec
}

pub(super) fn replicas(piece: &mut Piece, spec: &mut Value) {
    if let Some(replicas) = piece.take("spec.replicas") {
        spec["replicas"] = replicas;
    }
}

/// What rollouts of all kinds have in common.
pub(super) fn timing(piece: &mut Piece, rollout: &mut Value) {
    if let Some(seconds) = piece.take_count("spec.minReadySeconds").filter(|s| *s > 0) {
        rollout["minReady"] = duration(seconds);
    }
    if let Some(kept) = piece.take_count("spec.revisionHistoryLimit") {
        if kept > 100 {
            piece.changed("spec.revisionHistoryLimit", "100 past templates are kept at most");
        }
        rollout["history"] = kept.min(100).into();
    }
}

/// Seconds as our schema writes durations.
pub(super) fn duration(seconds: u64) -> Value {
    match seconds {
        s if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
    .into()
}
