//! Work that ends, and work by the clock.

use crate::rig::{Rig, condition, name};
use crate::web::workload;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

fn job(name: &str, script: &str, job: Value) -> Value {
    let mut object = workload(name, script);
    object["spec"].as_object_mut().map(|spec| spec.remove("replicas"));
    object["spec"]["job"] = job;
    object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    object
}

fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

#[test]
fn a_job_runs_to_completion_or_fails_for_good() -> Result<()> {
    let Some(rig) = Rig::start("a_job_runs_to_completion_or_fails_for_good")? else { return Ok(()) };
    rig.apply(&job("sums", "echo done; exit 0", json!({"completions": 3, "parallelism": 2})))?;
    rig.apply(&job("fails", "echo no; exit 7", json!({"backoffLimit": 0})))?;
    let sums = rig.until("workload/sums", |job| holds(job, "Complete"))?;
    ensure!(sums.pointer("/status/job/succeeded").and_then(Value::as_u64) == Some(3), "{sums:#}");
    let fails = rig.until("workload/fails", |job| holds(job, "Failed"))?;
    let failed = condition(&fails, "Failed").context("it has not failed")?;
    ensure!(failed["reason"] == "BackoffLimitExceeded", "{failed:#}");
    let ended = rig.instances("fails")?;
    let ended = ended.first().context("the instance that failed is gone")?;
    ensure!(ended["status"]["phase"] == "Failed", "{ended:#}");
    let log = rig.nexusctl(&["logs", name(ended)?])?;
    ensure!(log == "no\n", "{log:?}");
    rig.ends_clean(&["sums", "fails"])
}

#[test]
fn a_schedule_says_when_it_is_next() -> Result<()> {
    let Some(rig) = Rig::start("a_schedule_says_when_it_is_next")? else { return Ok(()) };
    let mut minutely = job("minutely", "echo tick", json!({}));
    minutely["spec"]["schedule"] = json!({"cron": "* * * * *"});
    rig.apply(&minutely)?;
    let next = |schedule: &Value| {
        schedule.pointer("/status/schedule/nextTime").and_then(Value::as_str).map(str::to_owned)
    };
    let schedule = rig.until("workload/minutely", |schedule| next(schedule).is_some())?;
    let next = next(&schedule).context("it is not said")?;
    ensure!(next.ends_with(":00Z"), "{next} is no full minute");
    rig.nexusctl(&["delete", "workload", "minutely"])?;
    rig.ends_clean(&[])
}
