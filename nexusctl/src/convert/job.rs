//! Job to Workload.

use super::{deployment::finish, index::Index, pieces::Piece};
use serde_json::{Value, json};

/// The spec of the Workload: as many instances as run at once, each of which ends as its restart policy says.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    let replicas = piece.take("spec.parallelism").unwrap_or_else(|| 1.into());
    shared(piece, "spec");
    finish(piece, index, json!({"replicas": replicas}), json!({}))
}

/// What Jobs and the Jobs of CronJobs lose.
pub(super) fn shared(piece: &mut Piece, prefix: &str) {
    for field in ["selector", "manualSelector"] {
        piece.take(&format!("{prefix}.{field}"));
    }
    let path = format!("{prefix}.completions");
    let completions = piece.take(&path);
    let why = "a Workload keeps replicas running and counts no completions: its containers end for good only by \
               restartPolicy";
    piece.lost(if completions.is_some() { &path } else { prefix }, why);
    for (field, why) in [
        (
            "backoffLimit",
            "a container that fails is started again without a limit, or by restartPolicy never",
        ),
        ("activeDeadlineSeconds", "nothing ends a Workload but its deletion"),
        ("ttlSecondsAfterFinished", "nothing ends a Workload but its deletion"),
        ("completionMode", "instances are not numbered"),
        ("podFailurePolicy", "what a failure means is restartPolicy's alone"),
    ] {
        let path = format!("{prefix}.{field}");
        if piece.take(&path).is_some_and(|value| value != "NonIndexed") {
            piece.lost(&path, why);
        }
    }
}
