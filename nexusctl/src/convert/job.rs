//! Job to Workload.

use super::{deployment::duration, deployment::finish, index::Index, pieces::Piece};
use serde_json::{Value, json};

/// The spec of the Workload.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    let job = shared(piece, "spec");
    finish(piece, index, json!({"job": job}), json!({}))
}

/// What Jobs and the Jobs of CronJobs say of how they run to completion.
pub(super) fn shared(piece: &mut Piece, prefix: &str) -> Value {
    let mut job = json!({});
    for field in ["selector", "manualSelector"] {
        piece.take(&format!("{prefix}.{field}"));
    }
    for field in ["completions", "parallelism", "backoffLimit"] {
        if let Some(number) = piece.take(&format!("{prefix}.{field}")) {
            job[field] = number;
        }
    }
    if job.get("completions").is_none() && job.get("parallelism").and_then(Value::as_u64) > Some(1) {
        let how = "without completions these share a queue, and one that ends well ends the job: here that is one \
                   completion";
        piece.changed(&format!("{prefix}.parallelism"), how);
    }
    for (field, ours) in
        [("activeDeadlineSeconds", "activeDeadline"), ("ttlSecondsAfterFinished", "keepAfterEnd")]
    {
        if let Some(seconds) = piece.take_count(&format!("{prefix}.{field}")) {
            job[ours] = duration(seconds);
        }
    }
    let path = format!("{prefix}.suspend");
    if piece.take_flag(&path) == Some(true) {
        piece.changed(&path, "a job is held back by running none of its instances: parallelism is 0");
        job["parallelism"] = 0.into();
    }
    for (field, why) in [
        ("completionMode", "instances are not numbered"),
        ("podFailurePolicy", "what a failure means is restartPolicy's alone"),
    ] {
        let path = format!("{prefix}.{field}");
        if piece.take(&path).is_some_and(|value| value != "NonIndexed") {
            piece.lost(&path, why);
        }
    }
    job
}
