//! What is told of a Workload whose instances are kept running: Available, Progressing, Ready, ReplicaFailure, with the
//! meanings that Deployments have given them. Pure.

use super::{Counts, span};
use crate::runtime::conditions::Holds;
use crate::workload::dereference::Observed;
use crate::workload::member::{Member, PORTS};
use crate::workload::object::Spec;
use crate::workload::rollout::{self, Wanted};
use crate::workload::status::Settled;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Kinds of trouble that a message tells.
const TOLD: usize = 3;

/// What is judged.
pub(super) struct State<'a> {
    pub(super) spec: &'a Spec,
    pub(super) wanted: &'a Wanted,
    pub(super) step: &'a rollout::Plan,
    pub(super) observed: &'a Observed,
    pub(super) counts: Counts,
    /// Whether the newest template has been rolled out.
    pub(super) done: bool,
    /// Since when it has been the newest.
    pub(super) since: Option<Timestamp>,
}

/// Settles the conditions, and says when to look again for their sake.
pub(super) fn settle(state: &State<'_>, settled: &mut Settled<'_>) -> Option<Timestamp> {
    let (counts, replicas) = (state.counts, state.wanted.replicas);
    let least = state.wanted.way.least(replicas);
    let trouble = trouble(&state.observed.members, &state.wanted.revision);
    let with = |words: String| if trouble.is_empty() { words } else { format!("{words}; {trouble}") };

    let (progress, deadline) = progress(state, settled, &trouble);
    let available = format!("{} of {replicas} instances are available", counts.available);
    let (holds, reason) = match counts.available >= least {
        true => (Holds::True, "MinimumReplicasAvailable"),
        false => (Holds::False, "MinimumReplicasUnavailable"),
    };
    settled.set("Available", holds, reason, format!("{available}, and {least} have to be"));
    let (holds, reason, message) = match progress {
        (_, "ProgressDeadlineExceeded" | "RolloutPaused" | "RolloutProgressing", ref words) => {
            (Holds::False, progress.1, words.clone())
        }
        _ if counts.available < replicas => (Holds::False, "InstancesUnavailable", with(available)),
        _ => (Holds::True, "Ready", available),
    };
    settled.set("Ready", holds, reason, message);
    settled.set("Progressing", progress.0, progress.1, progress.2);
    if state.step.held {
        let again = state.step.again.map(crate::runtime::conditions::seconds).unwrap_or_default();
        let words = format!("instances end soon after they begin: the next one is made at {again}");
        settled.set("ReplicaFailure", Holds::True, "InstancesFail", with(words));
    }
    if let Some((reason, message)) = unpublished(&state.observed.members) {
        settled.set(PORTS, Holds::False, &reason, message);
    }
    deadline
}

/// Which published ports are not reached as they should be, as the nodes of instances say it: each thing once.
fn unpublished(members: &[Member]) -> Option<(String, String)> {
    let live = members.iter().filter(|member| member.is_live());
    let told: BTreeMap<&str, &str> = live
        .filter_map(|member| member.unpublished.as_ref())
        .map(|(reason, message)| (message.as_str(), reason.as_str()))
        .collect();
    let reason = (*told.values().next()?).to_owned();
    let mut messages: Vec<&str> = told.keys().copied().take(TOLD).collect();
    let more = format!("{} more nodes say so", told.len().saturating_sub(TOLD));
    if told.len() > TOLD {
        messages.push(&more);
    }
    Some((reason, messages.join("; ")))
}

type Told = (Holds, &'static str, String);

fn progress(state: &State<'_>, settled: &Settled<'_>, trouble: &str) -> (Told, Option<Timestamp>) {
    let (counts, wanted) = (state.counts, state.wanted);
    let revision = &wanted.revision;
    if state.done {
        return ((Holds::True, "RolloutComplete", format!("revision {revision} is rolled out")), None);
    }
    if wanted.paused {
        let words = format!("revision {revision} waits: `nexusctl rollout resume` lets it go on");
        return ((Holds::Unknown, "RolloutPaused", words), None);
    }
    let now = state.observed.now;
    let old = counts.live.saturating_sub(counts.updated);
    let mut words = format!(
        "revision {revision}: {} of {} instances are made, {} are available",
        counts.updated, wanted.replicas, counts.updated_available
    );
    if old > 0 {
        let ones = if old == 1 { "one is" } else { "ones are" };
        words.push_str(&format!(", {old} old {ones} left"));
    }
    if !trouble.is_empty() {
        words.push_str(&format!("; {trouble}"));
    }
    // What counts as progress leaves its time in what there is: no clock of our own has to be kept.
    let of_revision = |member: &&Member| member.revision == *revision && member.is_live();
    let last_ready =
        state.observed.members.iter().filter(of_revision).filter_map(|member| member.ready_since).max();
    let resumed = settled.since("Progressing", Holds::True);
    let last = [state.since, last_ready, resumed].into_iter().flatten().max().unwrap_or(now);
    let deadline = last.checked_add(span(&state.spec.rollout.progress_deadline)).unwrap_or(Timestamp::MAX);
    if deadline <= now {
        return ((Holds::False, "ProgressDeadlineExceeded", words), None);
    }
    ((Holds::True, "RolloutProgressing", words), Some(deadline))
}

/// What holds instances up, most of them first; those of the newest template before others.
pub(in crate::workload) fn trouble(members: &[Member], revision: &str) -> String {
    let mut found: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for member in members.iter().filter(|member| !member.leaving && !member.is_ready()) {
        let waits =
            (member.node.is_none() && !member.has_ended()).then_some("no node has been found for it yet");
        if let Some(text) = member.trouble.as_deref().or(waits) {
            found.entry((member.revision != revision, text)).or_default().push(&member.name);
        }
    }
    let told = found.iter().take(TOLD).map(|((_, text), names)| {
        let first = names.iter().min().copied().unwrap_or_default();
        match names.len() {
            1 => format!("{first}: {text}"),
            more => format!("{first} and {} more: {text}", more - 1),
        }
    });
    told.collect::<Vec<_>>().join("; ")
}
