//! Why a workload is not where it should be: what it says itself, and what its instances say, those with one reason
//! together. Pure.

use super::decisions::Decided;
use super::report::{Report, Weight};
use super::{containers, instance, meta};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Names that are told of instances with one reason.
const NAMED: usize = 3;
/// Instances that are told of one by one.
const ALONE: usize = 5;

/// Explains a workload from what is told of its instances.
pub(super) fn explain(
    workload: &Value,
    instances: Vec<Report>,
    events: &[Value],
    decided: &[Decided],
    now: Timestamp,
) -> Report {
    let mut report = Report {
        kind: "workload",
        namespace: meta(workload, "namespace").to_owned(),
        name: meta(workload, "name").to_owned(),
        summary: summary(workload, instances.len()),
        ..Report::default()
    };
    for wait in crate::waits::reasons(workload) {
        // Conditions are told below, with their meaning here.
        if !wait.contains(", which is ") {
            report.because(Weight::Waits, format!("it waits for {}", own_words(&wait, &instances)), None);
        }
    }
    itself(workload, instances.len(), &mut report);
    conditions(workload, &instances, &mut report);
    instance::happened(events, &mut report, now);
    instance::decisions(decided, &mut report);
    together(instances, &mut report);
    if report.reasons.is_empty() && report.parts.is_empty() {
        report.because(Weight::Fact, "it is as it should be", None);
    }
    report
}

fn number(workload: &Value, pointer: &str) -> u64 {
    workload.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn summary(workload: &Value, instances: usize) -> String {
    if workload.pointer("/spec/schedule").is_some() {
        let next = workload.pointer("/status/schedule/nextTime").and_then(Value::as_str);
        return match next {
            Some(next) => format!("runs by the clock, next at {next}"),
            None => "runs by the clock".to_owned(),
        };
    }
    if workload.pointer("/spec/job").is_some() {
        let of = |field: &str| number(workload, &format!("/status/job/{field}"));
        let completions = workload.pointer("/spec/job/completions").and_then(Value::as_u64).unwrap_or(1);
        return format!(
            "is a job: {} of {completions} ended well, {} run, {} failed",
            of("succeeded"),
            of("active"),
            of("failed")
        );
    }
    let wanted = workload.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let ready = number(workload, "/status/readyReplicas");
    let updated = number(workload, "/status/updatedReplicas");
    let revision = |field: &str| workload.pointer(&format!("/status/{field}")).and_then(Value::as_str);
    let (current, update) = (revision("currentRevision"), revision("updateRevision"));
    let rollout = match (current, update) {
        (current, Some(update)) if current != Some(update) => {
            format!(", and revision {update} is being rolled out ({updated} of {wanted})")
        }
        _ => String::new(),
    };
    format!("wants {wanted} instances and has {instances}, {ready} of them ready{rollout}")
}

/// What its spec keeps it from.
fn itself(workload: &Value, instances: usize, report: &mut Report) {
    let flag = |pointer: &str| workload.pointer(pointer).and_then(Value::as_bool) == Some(true);
    let name = &report.name.clone();
    if flag("/spec/rollout/paused") {
        let hint = format!("nexusctl rollout resume workload/{name}");
        report.because(Weight::Waits, "its rollout is paused (spec.rollout.paused)", Some(hint));
    }
    if flag("/spec/schedule/suspend") {
        report.because(Weight::Waits, "it is suspended: no run begins (spec.schedule.suspend)", None);
    }
    let unseen = workload.pointer("/status/observedGeneration").is_none();
    if unseen && instances == 0 {
        let hint = "nexus-controllers has to run somewhere: `nexusctl up` does it in its own process";
        report.because(Weight::Wrong, "no controller has looked at it yet", Some(hint.to_owned()));
    }
    if workload.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0)
        && workload.pointer("/spec/job").is_none()
    {
        let hint = format!("nexusctl scale workload/{name} --replicas=1");
        report.because(Weight::Fact, "it wants no instances (spec.replicas is 0)", Some(hint));
    }
}

/// What its controller says is not as it should be.
fn conditions(workload: &Value, instances: &[Report], report: &mut Report) {
    let conditions = workload.pointer("/status/conditions").and_then(Value::as_array);
    // Two conditions often say one thing: the more precise one comes first.
    let order = |kind: &str| match kind {
        "ReplicaFailure" => 0,
        "Progressing" => 1,
        "Ready" => 3,
        _ => 2,
    };
    let mut conditions: Vec<&Value> = conditions.into_iter().flatten().collect();
    let text =
        |one: &Value, field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    conditions.sort_by_key(|one| order(&text(one, "type")));
    for one in conditions {
        let (kind, status, reason, message) =
            (text(one, "type"), text(one, "status"), text(one, "reason"), text(one, "message"));
        let message = own_words(&message, instances);
        let bad_when_true = matches!(kind.as_str(), "ReplicaFailure" | "Failed" | "Suspended");
        let fine = (status == "True") != bad_when_true;
        if fine || reason == "NoController" || message.is_empty() || report.says(&message) {
            continue;
        }
        let (words, hint) = match reason.as_str() {
            "ProgressDeadlineExceeded" => (
                format!("the rollout has made no progress for longer than its deadline: {message}"),
                rolled_out_before(workload)
                    .then(|| format!("nexusctl rollout undo workload/{}", report.name)),
            ),
            _ => (format!("{kind} is {status} ({reason}): {message}"), None),
        };
        let weight = if status == "Unknown" { Weight::Waits } else { Weight::Wrong };
        report.because(weight, words, hint);
    }
}

/// A message without what it says of an instance, which is told of that instance below.
fn own_words(message: &str, instances: &[Report]) -> String {
    let message = containers::plain(message);
    let place = |one: &Report| {
        let named = format!("{}: ", one.name);
        message.find(&named).filter(|_| one.reasons.iter().any(|reason| reason.weight != Weight::Fact))
    };
    let end = instances.iter().filter_map(place).min().unwrap_or(message.len());
    let own = message.get(..end).unwrap_or_default().trim_end().trim_end_matches([';', ',', ':']);
    own.to_owned()
}

/// Whether another revision was rolled out before, so that there is one to go back to.
fn rolled_out_before(workload: &Value) -> bool {
    let revision = |field: &str| workload.pointer(&format!("/status/{field}")).and_then(Value::as_str);
    revision("currentRevision").is_some_and(|current| revision("updateRevision") != Some(current))
}

/// Adds instances: those that are in trouble one by one, or in groups where many say the same.
fn together(instances: Vec<Report>, report: &mut Report) {
    let mut groups: BTreeMap<String, Vec<Report>> = BTreeMap::new();
    for one in instances {
        let gravest = one.gravest().map(|reason| (reason.weight, reason.text.clone()));
        let key = match gravest {
            Some((Weight::Fact, _)) | None => String::new(),
            // The same but for names: `container a of one` is not told of another.
            Some((_, text)) => text.replace(&one.name, "…"),
        };
        groups.entry(key).or_default().push(one);
    }
    if let Some(fine) = groups.remove("") {
        let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
        for one in &fine {
            let node = one.summary.split(" on node ").nth(1).and_then(|rest| rest.split([' ', ',']).next());
            *nodes.entry(node.unwrap_or("no node").to_owned()).or_default() += 1;
        }
        let nodes: Vec<String> = nodes.into_iter().map(|(node, count)| format!("{node} ({count})")).collect();
        let text = match fine.len() {
            1 => format!("1 instance is in no trouble, on {}", nodes.join(", ")),
            many => format!("{many} instances are in no trouble, on {}", nodes.join(", ")),
        };
        report.because(Weight::Fact, text, None);
    }
    let mut groups: Vec<Vec<Report>> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    for mut group in groups {
        let count = group.len();
        if count > 1 {
            let names: Vec<&str> = group.iter().take(NAMED).map(|one| one.name.as_str()).collect();
            let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
            let text = format!("{count} instances have the same trouble: {}{more}", names.join(", "));
            report.because(Weight::Wrong, text, None);
        }
        group.truncate(1);
        if report.parts.len() < ALONE {
            report.parts.append(&mut group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_instance_says_is_told_of_the_instance_alone() {
        let mut web = Report { name: "web-1".to_owned(), ..Report::default() };
        let message =
            "1 of 2 instances are available; web-1: CrashLoopBackOff: back-off 40s pod=web-1_shop(0a)";
        assert_eq!(
            own_words("0 of 1; web-1: x", &[web.clone()]),
            "0 of 1; web-1: x",
            "it is told nowhere else"
        );
        web.because(Weight::Wrong, "container c ends soon after each start", None);
        assert_eq!(own_words(message, &[web.clone()]), "1 of 2 instances are available");
        assert_eq!(own_words("web-1: CrashLoopBackOff", &[web]), "");
        assert_eq!(own_words("back-off pod=x_y(z) again", &[]), "back-off again");
    }

    #[test]
    fn the_way_back_is_shown_where_there_is_one() {
        let hint = |revisions: Value| {
            let mut workload = json!({"metadata": {"name": "web"}, "status": {"conditions": [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "0 of 1"},
            ]}});
            workload["status"].as_object_mut().unwrap().extend(revisions.as_object().cloned().unwrap());
            let report = explain(&workload, Vec::new(), &[], &[], Timestamp::UNIX_EPOCH);
            report.reasons.into_iter().filter_map(|reason| reason.hint).find(|hint| hint.contains("undo"))
        };
        assert_eq!(hint(json!({"updateRevision": "a"})), None);
        assert_eq!(hint(json!({"currentRevision": "a", "updateRevision": "a"})), None);
        let back = hint(json!({"currentRevision": "a", "updateRevision": "b"}));
        assert_eq!(back.as_deref(), Some("nexusctl rollout undo workload/web"));
    }
}
