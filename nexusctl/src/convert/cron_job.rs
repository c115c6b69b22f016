//! CronJob to Workload: nothing runs on a schedule here, so it is made to run nothing until somebody scales it.

use super::{deployment::finish, index::Index, job, pieces::Piece};
use serde_json::{Value, json};

/// The spec of the Workload.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    piece.prefix = "spec.jobTemplate.spec".to_owned();
    piece.take("spec.schedule");
    piece.lost(
        "spec.schedule",
        "nothing runs on a schedule: the Workload has no replicas; `nexusctl scale --replicas=1` runs it",
    );
    for (field, why) in [
        ("timeZone", "nothing runs on a schedule"),
        ("concurrencyPolicy", "nothing runs on a schedule"),
        ("startingDeadlineSeconds", "nothing runs on a schedule"),
        ("successfulJobsHistoryLimit", "what has ended is not kept"),
        ("failedJobsHistoryLimit", "what has ended is not kept"),
    ] {
        let path = format!("spec.{field}");
        if piece.take(&path).is_some_and(|value| value != "Allow") {
            piece.lost(&path, why);
        }
    }
    piece.take("spec.suspend");
    piece.take("spec.jobTemplate.metadata");
    piece.take("spec.jobTemplate.spec.parallelism");
    job::shared(piece, "spec.jobTemplate.spec");
    finish(piece, index, json!({"replicas": 0}), json!({}))
}
