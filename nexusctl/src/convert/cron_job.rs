//! CronJob to Workload.

use super::{deployment::duration, deployment::finish, index::Index, job, pieces::Piece};
use serde_json::{Value, json};

/// What is said of a schedule in the same terms, by our names.
const SAME: [(&str, &str); 6] = [
    ("schedule", "cron"),
    ("timeZone", "timeZone"),
    ("concurrencyPolicy", "concurrency"),
    ("suspend", "suspend"),
    ("successfulJobsHistoryLimit", "keepSucceeded"),
    ("failedJobsHistoryLimit", "keepFailed"),
];

/// The spec of the Workload.
pub(super) fn convert(piece: &mut Piece, index: &Index) -> Value {
    piece.prefix = "spec.jobTemplate.spec".to_owned();
    let mut schedule = json!({});
    for (field, ours) in SAME {
        if let Some(value) = piece.take(&format!("spec.{field}")) {
            schedule[ours] = value;
        }
    }
    match schedule["cron"].as_str().map(str::trim) {
        Some(cron) if cron.eq_ignore_ascii_case("@midnight") => schedule["cron"] = "@daily".into(),
        Some(cron) if cron.to_ascii_lowercase().starts_with("@every") => {
            let why = "runs are due by the clock, and not so long after each other: write it in five fields, as in \
                       \"0 * * * *\" for every hour";
            piece.lost("spec.schedule", why);
            // A schedule has to say when, so it begins none until somebody has chosen.
            (schedule["cron"], schedule["suspend"]) = ("@daily".into(), true.into());
        }
        _ => {}
    }
    if let Some(seconds) = piece.take_count("spec.startingDeadlineSeconds") {
        schedule["startingDeadline"] = duration(seconds);
    }
    let metadata = piece.take_map("spec.jobTemplate.metadata");
    for field in ["labels", "annotations"] {
        if metadata.get(field).and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
            let why = "each run is a Workload that the schedule makes: write them on the template";
            piece.lost(&format!("spec.jobTemplate.metadata.{field}"), why);
        }
    }
    let job = job::shared(piece, "spec.jobTemplate.spec");
    finish(piece, index, json!({"job": job, "schedule": schedule}), json!({}))
}
