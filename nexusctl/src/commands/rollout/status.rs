//! `rollout status`: follows a rollout to its end, by a watch.

use super::target;
use crate::{
    client::Call,
    commands::{
        get::{Event, ended},
        targets::Target,
    },
    error::{Error, Exit},
    output::escape,
    session::Session,
};
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Between a watch that ended and the next look.
const PAUSE: Duration = Duration::from_millis(300);
/// How often a server that cannot be reached is tried again in a row.
const MOST_TRIES: u32 = 5;
/// The longest wait where none is asked for.
const FOR_GOOD: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Arguments of `rollout status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl rollout status workload/web --watch=false")]
pub struct Status {
    /// workload/NAME, or workload NAME
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Follow it to its end
    #[arg(short, long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub watch: bool,
    /// The revision to wait for; another one that takes its place is a failure (0: whichever is the newest)
    #[arg(long = "revision", value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub number: i64,
    /// Longest wait: 30s, 5m; 0 for as long as it takes
    #[arg(long, value_name = "TIME", default_value = "0s", hide_default_value = true, value_parser = crate::cli::parse_duration)]
    pub timeout: Duration,
}

/// What a Workload's status says of its rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It has come to its end.
    Done(String),
    /// It goes on.
    Waits(String),
    /// It will not come to its end by itself.
    Failed(String),
}

pub(super) async fn run(arguments: Status, session: &mut Session) -> Result<Exit, Error> {
    let target = target(&arguments.words, session).await?;
    let mut object: Value = session.send(&Call::get(target.path())).await?.json()?;
    let wanted = wanted(&arguments, &target, &object, session).await?;
    let limit = if arguments.timeout.is_zero() { FOR_GOOD } else { arguments.timeout };
    let deadline = Instant::now() + limit;
    let mut told = None;
    let mut tries = 0;
    loop {
        if let Some(exit) = tell(&object, wanted.as_deref(), &arguments, &mut told, session)? {
            return Ok(exit);
        }
        match follow(&target, &object, wanted.as_deref(), &arguments, deadline, &mut told, session).await {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => tries = 0,
            Err(Error::Client(error)) if error.is_unreachable() && tries < MOST_TRIES => tries += 1,
            Err(Error::Client(error)) if error.status().is_some_and(|status| status.code == 410) => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE * (1 + tries * tries)).await;
        object = match session.send(&Call::get(target.path())).await {
            Ok(reply) => reply.json()?,
            Err(error) if error.is_unreachable() && tries < MOST_TRIES => object,
            Err(error) => return Err(error.into()),
        };
    }
}

/// The name of the revision that is waited for, where one was asked for.
async fn wanted(
    arguments: &Status,
    target: &Target,
    object: &Value,
    session: &mut Session,
) -> Result<Option<String>, Error> {
    if arguments.number == 0 {
        return Ok(None);
    }
    let records = super::kept::revisions(target, object, session).await?;
    let record = super::kept::numbered(&records, arguments.number, target)?;
    Ok(Some(record.revision.clone()))
}

/// Tells what a status says, if it is news; `Some` at the end.
fn tell(
    object: &Value,
    wanted: Option<&str>,
    arguments: &Status,
    told: &mut Option<String>,
    session: &mut Session,
) -> Result<Option<Exit>, Error> {
    let said = judge(object, wanted);
    let (words, exit) = match said {
        Said::Done(words) => (words, Some(Exit::Success)),
        Said::Waits(words) => (words, (!arguments.watch).then_some(Exit::Success)),
        Said::Failed(words) => (words, Some(Exit::Failure)),
    };
    let words = escape(&words);
    if exit == Some(Exit::Failure) {
        session.note(&format!("error: {words}"));
    } else if told.as_ref() != Some(&words) {
        session.say(&words)?;
        session.flush()?;
    }
    *told = Some(words);
    Ok(exit)
}

/// Follows the Workload until its rollout ends, the time is up, or the server ends the watch.
async fn follow(
    target: &Target,
    object: &Value,
    wanted: Option<&str>,
    arguments: &Status,
    deadline: Instant,
    told: &mut Option<String>,
    session: &mut Session,
) -> Result<Option<Exit>, Error> {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
    let uid = object.pointer("/metadata/uid");
    let path = target.resource.collection_path(Some(&target.namespace));
    let only = format!("metadata.name={}", target.name);
    let call =
        Call::get(path).query(&[("watch", "true"), ("fieldSelector", &only), ("resourceVersion", version)]);
    let mut lines = session.client()?.stream(&call).await?;
    loop {
        let what = told.clone().unwrap_or_default();
        let next = async { tokio::time::timeout_at(deadline, lines.next::<Event>()).await };
        let Ok(event) = session.wait_for(&what, next).await else {
            let after = arguments.timeout.as_secs();
            session.note(&format!(
                "error: {} has not come to its end after {after} s: {}",
                target.shown(),
                late(&what)
            ));
            return Ok(Some(Exit::Failure));
        };
        let Some(event) = event? else { return Ok(None) };
        match event.kind.as_str() {
            "ERROR" => return Err(ended(event.object).into()),
            "DELETED" => return gone(target, session),
            "ADDED" | "MODIFIED" if event.object.pointer("/metadata/uid") != uid => {
                return gone(target, session);
            }
            "ADDED" | "MODIFIED" => {
                if let Some(exit) = tell(&event.object, wanted, arguments, told, session)? {
                    return Ok(Some(exit));
                }
            }
            _ => {}
        }
    }
}

/// What is waited for, as it goes on behind a colon.
fn late(told: &str) -> &str {
    let what = told.strip_prefix("Waiting for ").unwrap_or(told).trim_end_matches('.');
    // Which object it is stands before the colon already.
    what.split_once(": ").map_or(what, |(_, what)| what)
}

fn gone(target: &Target, session: &mut Session) -> Result<Option<Exit>, Error> {
    session.note(&format!("error: {} was deleted", target.shown()));
    Ok(Some(Exit::Failure))
}

/// What a Workload's status says. Pure.
fn judge(object: &Value, wanted: Option<&str>) -> Said {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let name = text("/metadata/name");
    let condition = |kind: &str| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let of = |condition: &Value, key: &str| {
            condition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut found = conditions.filter(|condition| of(condition, "type") == kind);
        found.next().map(|found| (of(found, "status"), of(found, "reason"), of(found, "message")))
    };
    if object.pointer("/spec/schedule").is_some_and(|schedule| !schedule.is_null()) {
        return Said::Failed(format!(
            "workload {name:?} is a schedule: the workloads of its runs have an end to wait for"
        ));
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
    if object.pointer("/status/observedGeneration").and_then(Value::as_i64).unwrap_or_default() < generation {
        return match condition("Ready") {
            Some((_, reason, message)) if reason.starts_with("Invalid") => Said::Failed(message),
            _ => Said::Waits(format!("Waiting for the controller to see the change of workload {name:?}...")),
        };
    }
    if object.pointer("/spec/job").is_some_and(|job| !job.is_null()) {
        return job(name, condition("Complete"), condition("Failed"), condition("Ready"));
    }
    if wanted.is_some_and(|wanted| wanted != text("/status/updateRevision")) {
        return Said::Failed(format!(
            "another revision of workload {name:?} has taken the place of the one waited for"
        ));
    }
    let (progress, replicas) = (condition("Progressing").unwrap_or_default(), count("/spec/replicas"));
    let failure = condition("ReplicaFailure").map(|(_, reason, message)| format!(" ({reason}: {message})"));
    let failure = failure.unwrap_or_default();
    let waiting = |words: String| {
        Said::Waits(format!("Waiting for workload {name:?} rollout to finish: {words}...{failure}"))
    };
    let (updated, live) = (count("/status/updatedReplicas"), count("/status/replicas"));
    let available = count("/status/availableReplicas");
    match progress.1.as_str() {
        "ProgressDeadlineExceeded" => {
            Said::Failed(format!("workload {name:?} exceeded its progress deadline: {}", progress.2))
        }
        "RolloutPaused" => waiting("it is paused".to_owned()),
        "RolloutComplete" if available >= replicas => {
            Said::Done(format!("workload {name:?} successfully rolled out"))
        }
        _ if updated < replicas => {
            waiting(format!("{updated} out of {replicas} new instances have been made"))
        }
        _ if live == updated + 1 => waiting("1 old instance is left".to_owned()),
        _ if live > updated => waiting(format!("{} old instances are left", live - updated)),
        _ => waiting(format!("{available} of {replicas} instances are available")),
    }
}

type Condition = Option<(String, String, String)>;

fn job(name: &str, complete: Condition, failed: Condition, ready: Condition) -> Said {
    let holds = |condition: &Condition| condition.as_ref().is_some_and(|(status, ..)| status == "True");
    let words =
        |condition: &Condition| condition.as_ref().map(|(_, _, message)| message.clone()).unwrap_or_default();
    if holds(&complete) {
        return Said::Done(format!("job {name:?} is complete: {}", words(&complete)));
    }
    if let (true, Some((_, reason, message))) = (holds(&failed), &failed) {
        return Said::Failed(format!("job {name:?} has failed: {reason}: {message}"));
    }
    Said::Waits(format!("Waiting for job {name:?}: {}...", words(&ready)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(status: Value) -> Value {
        json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status})
    }

    fn progressing(reason: &str, counts: [u64; 3]) -> Value {
        let [updated, live, available] = counts;
        workload(
            json!({"observedGeneration": 2, "updateRevision": "r", "updatedReplicas": updated, "replicas": live, "availableReplicas": available,
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason, "message": "web-1: ImagePullBackOff"}]}),
        )
    }

    #[test]
    fn a_rollout_is_told_as_it_goes() {
        let told = [
            workload(json!({"observedGeneration": 1})),
            progressing("RolloutProgressing", [1, 4, 3]),
            progressing("RolloutProgressing", [3, 4, 3]),
            progressing("RolloutProgressing", [3, 5, 3]),
            progressing("RolloutProgressing", [3, 3, 2]),
            progressing("RolloutPaused", [1, 4, 3]),
            progressing("RolloutComplete", [3, 3, 3]),
            progressing("ProgressDeadlineExceeded", [1, 4, 3]),
        ];
        let lines: Vec<String> = told.iter().map(|object| format!("{:?}", judge(object, None))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Waits("Waiting for the controller to see the change of workload \"web\"...")
        Waits("Waiting for workload \"web\" rollout to finish: 1 out of 3 new instances have been made...")
        Waits("Waiting for workload \"web\" rollout to finish: 1 old instance is left...")
        Waits("Waiting for workload \"web\" rollout to finish: 2 old instances are left...")
        Waits("Waiting for workload \"web\" rollout to finish: 2 of 3 instances are available...")
        Waits("Waiting for workload \"web\" rollout to finish: it is paused...")
        Done("workload \"web\" successfully rolled out")
        Failed("workload \"web\" exceeded its progress deadline: web-1: ImagePullBackOff")
        "#);
        assert!(matches!(judge(&progressing("RolloutComplete", [3, 3, 3]), Some("other")), Said::Failed(_)));
    }

    #[test]
    fn what_is_late_is_told_in_one_sentence() {
        let told =
            "Waiting for job \"t2\": 0 of 1 instances have ended well, 0 have failed; t2-x: ErrImagePull...";
        assert_eq!(late(told), "0 of 1 instances have ended well, 0 have failed; t2-x: ErrImagePull");
        let told = "Waiting for workload \"web\" rollout to finish: it is paused...";
        assert_eq!(late(told), "it is paused");
        let told = "Waiting for the controller to see the change of workload \"web\"...";
        assert_eq!(late(told), "the controller to see the change of workload \"web\"");
    }

    #[test]
    fn a_job_ends_well_or_not() {
        let job = |kind: &str, reason: &str| {
            json!({"metadata": {"name": "j"}, "spec": {"job": {}}, "status": {"conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": "1 of 1"}]}})
        };
        assert_eq!(
            judge(&job("Complete", "CompletionsReached"), None),
            Said::Done("job \"j\" is complete: 1 of 1".into())
        );
        let failed = Said::Failed("job \"j\" has failed: BackoffLimitExceeded: 1 of 1".into());
        assert_eq!(judge(&job("Failed", "BackoffLimitExceeded"), None), failed);
    }
}
