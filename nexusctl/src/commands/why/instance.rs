//! Why an instance is where it is, or nowhere, and what it waits for. Pure.

use super::decisions::Decided;
use super::place::Place;
use super::report::{Reason, Report, Weight};
use super::{containers, meta};
use crate::{commands::events, output::age};
use hypermesh_controllers::node::end::OF_NODES;
use hypermesh_controllers::scheduler::{plan::Decision, write::BECAUSE};
use jiff::Timestamp;
use serde_json::Value;

/// Events that are told at the most, the newest.
const EVENTS: usize = 4;
/// Conditions of an instance that are bad when they are true.
const BAD_WHEN_TRUE: [&str; 2] = ["DisruptionTarget", "Stuck"];
/// After so many seconds without a word of the scheduler, something is wrong with it.
const PATIENCE: i64 = 10;

/// Explains an instance.
pub(super) fn explain(
    instance: &Value,
    place: &Place,
    events: &[Value],
    decided: &[Decided],
    now: Timestamp,
) -> Report {
    let mut report = Report {
        kind: "instance",
        namespace: meta(instance, "namespace").to_owned(),
        name: meta(instance, "name").to_owned(),
        summary: summary(instance, now),
        ..Report::default()
    };
    leaving(instance, &mut report, now);
    match place {
        Place::Waits(decision) => nowhere(instance, decision.as_ref(), &mut report, now),
        Place::NodeGone => {
            let node = node_of(instance);
            let text =
                format!("its node {node} does not exist any more: it is about to be ended and replaced");
            report.because(Weight::Wrong, text, None);
        }
        Place::On(node) => somewhere(instance, node.as_ref(), &mut report),
    }
    containers::explain(instance, &mut report, now);
    conditions(instance, &mut report);
    let status = |field: &str| instance.pointer(&format!("/status/{field}")).and_then(Value::as_str);
    if let Some(message) = status("message").or(status("reason")) {
        report.because(Weight::Wrong, message, None);
    }
    happened(events, &mut report, now);
    decisions(decided, &mut report);
    if report.reasons.is_empty() {
        report.because(Weight::Fact, "nothing is known beyond that", None);
    }
    report
}

fn node_of(instance: &Value) -> &str {
    instance.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default()
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
}

fn says<'v>(condition: Option<&'v Value>, field: &str) -> &'v str {
    condition.and_then(|condition| condition.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// How it is, in a few words.
fn summary(instance: &Value, now: Timestamp) -> String {
    let phase = instance.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    let node = node_of(instance);
    let created = meta(instance, "creationTimestamp");
    let old = if created.is_empty() { String::new() } else { format!(", {} old", age::since(created, now)) };
    let ready = says(condition(instance, "Ready"), "status") == "True";
    let going = if meta(instance, "deletionTimestamp").is_empty() { "" } else { ", and is being deleted" };
    let how = match (phase, node) {
        ("Pending", "") => "has no node".to_owned(),
        ("Pending", node) => format!("starts on node {node}"),
        ("Running", node) if ready => format!("runs on node {node} and is ready"),
        ("Running", node) => format!("runs on node {node} and is not ready"),
        ("Succeeded", node) => format!("has ended well on node {node}"),
        ("Failed", "") => "has failed".to_owned(),
        ("Failed", node) => format!("has failed on node {node}"),
        ("Unknown", node) => format!("is on node {node}, which cannot be asked"),
        (other, "") => format!("is {other}"),
        (other, node) => format!("is {other} on node {node}"),
    };
    format!("{how}{old}{going}")
}

fn leaving(instance: &Value, report: &mut Report, now: Timestamp) {
    let since = meta(instance, "deletionTimestamp");
    if since.is_empty() {
        return;
    }
    let finalizers = instance.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names = finalizers.into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<String> = names
        .map(|name| match name.starts_with(OF_NODES) {
            true => format!("its node {} to have ended it", node_of(instance)),
            false => format!("whoever put the finalizer {name} on it to take it off"),
        })
        .collect();
    let waits = match names.is_empty() {
        true => String::new(),
        false => format!(", and waits for {}", names.join(", and for ")),
    };
    report.because(Weight::Waits, format!("it is to be gone since {}{waits}", age::since(since, now)), None);
}

fn nowhere(instance: &Value, decision: Option<&Decision>, report: &mut Report, now: Timestamp) {
    let told = condition(instance, "PodScheduled").filter(|told| says(Some(told), "status") == "False");
    if matches!(instance.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded")) {
        return;
    }
    match decision {
        Some(Decision::Wait(refusal)) => {
            report.because(Weight::Wrong, refusal.to_string(), None);
            if let Some(reason) = report.reasons.last_mut() {
                reason.details = refusal
                    .nodes
                    .iter()
                    .map(|(node, reasons)| {
                        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                        (node.to_string(), reasons.join("; "))
                    })
                    .collect();
            }
        }
        Some(Decision::Bind(choice)) => {
            let text = format!("it fits by now, and is about to be bound: {choice}");
            report.because(Weight::Waits, text, None);
        }
        None => report.because(Weight::Wrong, says(told, "message"), None),
    }
    let created: Option<Timestamp> = meta(instance, "creationTimestamp").parse().ok();
    let old = created.is_some_and(|created| now.as_second() - created.as_second() > PATIENCE);
    if told.is_none() && old {
        let hint = "nexus-controllers has to run somewhere: `nexusctl up` does it in its own process";
        report.because(Weight::Wrong, "no scheduler has looked at it", Some(hint.to_owned()));
    }
}

fn somewhere(instance: &Value, node: Option<&Value>, report: &mut Report) {
    let told = condition(instance, "PodScheduled").filter(|told| says(Some(told), "status") == "True");
    // The node writes the condition too, in words of its own.
    let annotations = instance.pointer("/metadata/annotations");
    let because = annotations.and_then(|all| all.get(BECAUSE)).and_then(Value::as_str);
    let because = because.or(told.map(|told| says(Some(told), "message"))).filter(|words| !words.is_empty());
    let text = match because {
        Some(words) => format!("why there: {words}"),
        None => format!("it was bound to node {} by somebody else than the scheduler", node_of(instance)),
    };
    report.because(Weight::Fact, text, None);
    let Some(node) = node else { return };
    let ready = condition(node, "Ready");
    if says(ready, "status") != "True" {
        let text = format!("its node {} is not ready: {}", node_of(instance), says(ready, "message"));
        report.because(Weight::Wrong, text, Some(format!("nexusctl node describe {}", node_of(instance))));
    }
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        let text = format!(
            "its node {} is cordoned: what runs there stays, and nothing new comes",
            node_of(instance)
        );
        report.because(Weight::Fact, text, None);
    }
}

/// Conditions that say what is not as it should be, where nothing else has said it.
fn conditions(instance: &Value, report: &mut Report) {
    let conditions = instance.pointer("/status/conditions").and_then(Value::as_array);
    for one in conditions.into_iter().flatten() {
        let (kind, status) = (says(Some(one), "type"), says(Some(one), "status"));
        let (reason, message) = (says(Some(one), "reason"), says(Some(one), "message"));
        let silent = message.is_empty() || reason == "NoController" || kind == "PodScheduled";
        let fine = (status == "True") != BAD_WHEN_TRUE.contains(&kind);
        if fine || silent || report.says(message) {
            continue;
        }
        // Some repeat what the containers have said.
        let weight = if status == "Unknown" { Weight::Waits } else { Weight::Wrong };
        let sums_up = matches!(kind, "ContainersReady" | "Initialized" | "Ready");
        if !sums_up || report.reasons.iter().all(|reason| reason.weight == Weight::Fact) {
            report.because(weight, format!("{kind} is {status}: {message}"), None);
        }
    }
}

/// The newest warnings that say something new.
pub(super) fn happened(happenings: &[Value], report: &mut Report, now: Timestamp) {
    let warnings = happenings.iter().rev().filter(|event| says(Some(event), "type") == "Warning");
    let mut told = 0;
    for event in warnings {
        let message = says(Some(event), "message");
        // That it is tried less and less often follows from what was said of the container.
        let follows = says(Some(event), "reason") == "BackOff" && report.reasons.iter().any(Reason::is_wrong);
        if told == EVENTS || message.is_empty() || follows || is_said(report, message) {
            continue;
        }
        let message = containers::plain(message);
        let ago = age::since(events::last_seen(event), now);
        let often = events::count(event);
        let often = if often > 1 { format!(", {often} times") } else { String::new() };
        let text = format!("{}: {message} ({ago} ago{often})", says(Some(event), "reason"));
        report.because(Weight::Waits, text, None);
        told += 1;
    }
}

/// Whether the words of an Event say nothing beyond what was said: kubelet's words wrap one message in several.
fn is_said(report: &Report, message: &str) -> bool {
    const WORTH: usize = 24;
    let bare = message.strip_prefix("Error: ").unwrap_or(message);
    let cores = report.reasons.iter().filter_map(|reason| reason.text.rsplit("): ").next());
    report.says(bare) || cores.into_iter().any(|core| core.len() > WORTH && message.contains(core))
}

/// What controllers on this machine failed at.
pub(super) fn decisions(decided: &[Decided], report: &mut Report) {
    for one in decided.iter().filter(|one| matches!(one.verdict.as_str(), "Failed" | "Invalid")) {
        if !is_said(report, &one.why) {
            let often = if one.count > 1 { format!(" ({} times)", one.count) } else { String::new() };
            report.because(
                Weight::Wrong,
                format!("the controller {} says: {}{often}", one.controller, one.why),
                None,
            );
        }
    }
}
