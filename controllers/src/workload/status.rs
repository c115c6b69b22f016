//! The status that tells of a plan: written whole, by server-side apply, when it says something else than before.

use super::WORKLOAD;
use super::build::Plan;
use super::member::PORTS;
use super::object::Workload;
use crate::runtime::conditions::{self, Holds};
use crate::runtime::{Context, Failure, Subject, Told, Verdict};
use hypermesh_schemas::condition::{Condition, ConditionStatus};
use hypermesh_schemas::workload::WorkloadStatus;
use jiff::Timestamp;
use kube::api::Patch;
use serde_json::{Value, json};

/// The longest message of a condition, in bytes.
const LONGEST: usize = 4096;

/// The selector by which a Workload's instances are found.
pub(super) fn selector(workload: &str) -> String {
    format!("{WORKLOAD}={workload}")
}

/// Conditions in the making, over those that were told before. Pure.
pub(super) struct Settled<'a> {
    before: &'a [Condition],
    values: Vec<Value>,
    generation: Option<i64>,
    now: Timestamp,
    now_told: Vec<Condition>,
}

impl<'a> Settled<'a> {
    pub(super) fn new(told: &'a WorkloadStatus, generation: Option<i64>, now: Timestamp) -> Self {
        let values =
            told.conditions.iter().filter_map(|condition| serde_json::to_value(condition).ok()).collect();
        Self { before: &told.conditions, values, generation, now, now_told: Vec::new() }
    }

    /// Since when an aspect has held like this, if it has.
    pub(super) fn since(&self, kind: &str, holds: Holds) -> Option<Timestamp> {
        let wanted = match holds {
            Holds::True => ConditionStatus::True,
            Holds::False => ConditionStatus::False,
            Holds::Unknown => ConditionStatus::Unknown,
        };
        let found =
            self.before.iter().find(|condition| condition.kind == kind && condition.status == wanted)?;
        found.last_transition_time.parse().ok()
    }

    /// Tells an aspect.
    pub(super) fn set(&mut self, kind: &'static str, status: Holds, reason: &str, mut message: String) {
        if message.len() > LONGEST {
            let end = (0..LONGEST).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        let wanted = conditions::Condition { kind, status, reason: reason.to_owned(), message };
        let value = match conditions::settle(&self.values, &wanted, self.generation, self.now) {
            Some(value) => Some(value),
            None => conditions::find(&self.values, kind).cloned(),
        };
        self.now_told.extend(value.and_then(|value| serde_json::from_value(value).ok()));
    }

    /// What was told.
    pub(super) fn finish(mut self) -> Vec<Condition> {
        self.now_told.sort_by(|a, b| a.kind.cmp(&b.kind));
        self.now_told
    }
}

/// Whether `told` says already what `wanted` does, as far as it is ours to say.
fn same(told: &WorkloadStatus, wanted: &WorkloadStatus) -> bool {
    let mut told = told.clone();
    let ours =
        ["Available", "Complete", "Failed", PORTS, "Progressing", "Ready", "ReplicaFailure", "Suspended"];
    told.conditions.retain(|condition| ours.contains(&condition.kind.as_str()));
    told.conditions.sort_by(|a, b| a.kind.cmp(&b.kind));
    told == *wanted
}

/// Tells of a plan what it says.
pub(super) async fn report(
    context: &Context,
    subject: &Subject<Workload>,
    plan: &Plan,
) -> Result<Told, Failure> {
    match plan.status() {
        None => Ok(Told::AsBefore),
        // What was counted must not be counted over a count that somebody else has stored.
        Some(status) => write(context, subject, status, matches!(plan, Plan::Job(_))).await,
    }
}

/// Writes a status, unless it is there already; `guarded` only over the one that was read.
pub(super) async fn write(
    context: &Context,
    subject: &Subject<Workload>,
    status: &WorkloadStatus,
    guarded: bool,
) -> Result<Told, Failure> {
    if subject.object.status.as_ref().is_some_and(|told| same(told, status)) {
        return Ok(Told::AsBefore);
    }
    let resource = &subject.resource;
    let mut object = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        // The very object: one of the same name that has been made meanwhile has a status of its own.
        "metadata": {"name": &*subject.key.name, "uid": subject.meta().uid},
        "status": status,
    });
    if let (true, Some(version)) = (guarded, &subject.meta().resource_version) {
        object["metadata"]["resourceVersion"] = version.as_str().into();
    }
    context.patch(resource, &subject.key, Some("status"), &Patch::Apply(object)).await?;
    Ok(Told::Written)
}

/// Tells what is wrong with a Workload; what it has goes on as it is.
pub(super) async fn invalid(
    context: &Context,
    subject: &Subject<Workload>,
    verdict: Verdict<'_>,
) -> Result<Told, Failure> {
    let Verdict::Invalid(invalid) = verdict else { return Ok(Told::AsBefore) };
    let mut status = subject.object.status.clone().unwrap_or_default();
    let told = status.clone();
    let mut settled = Settled::new(&told, subject.meta().generation, context.now());
    settled.set("Ready", Holds::False, invalid.reason, invalid.message.clone());
    status.observed_generation = subject.meta().generation;
    status.conditions = settled.finish();
    write(context, subject, &status, false).await
}
