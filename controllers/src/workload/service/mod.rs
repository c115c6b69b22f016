//! What is done about a Workload whose instances are kept running. Pure.

mod conditions;

pub(super) use conditions::trouble;

use super::dereference::{Held, Observed};
use super::member::Member;
use super::object::{self, Workload};
use super::reference::Reference;
use super::revision::{self, Image, Record, Snapshot};
use super::rollout::{self, Removal, Wanted, Way};
use super::status::{Settled, selector};
use crate::runtime::Subject;
use hypermesh_schemas::workload::WorkloadStatus;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Instances that are made, and that are let go, in one reconcile.
pub const BATCH: usize = 500;

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// About the record of the template.
    pub record: Recorded,
    /// About records of other templates: what has become known of them.
    pub revise: Vec<(String, Value)>,
    /// Copies that are made, with what they hold.
    pub copies: Vec<(Snapshot, Value)>,
    /// Instances that are made: names and objects.
    pub create: Vec<(String, Value)>,
    /// Instances that are let go.
    pub delete: Vec<Removal>,
    /// Records that are not needed any more.
    pub records: Vec<Record>,
    /// Copies that nothing holds any more.
    pub unheld: Vec<Reference>,
    /// When to look again, if nothing happens before.
    pub again: Option<Timestamp>,
    /// What is told.
    pub status: WorkloadStatus,
    /// What the rollout is at, in words.
    summary: String,
}

/// What is done about the record of the template.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is as it should be, or not wanted yet.
    Keep,
    /// It is made: its name, the object, its number.
    Create(String, Value, i64),
    /// It is patched: its name, the patch, its number.
    Revise(String, Value, i64),
}

/// How many instances there are of what kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That have not ended.
    pub live: u32,
    /// Of the newest template.
    pub updated: u32,
    /// That pass their readiness probes.
    pub ready: u32,
    /// That were ready for long enough.
    pub available: u32,
    /// Those of the newest template.
    pub updated_available: u32,
}

impl Counts {
    /// Counts.
    pub fn of(members: &[Member], revision: &str, min_ready: SignedDuration, now: Timestamp) -> Self {
        let mut counts = Self::default();
        for member in members.iter().filter(|member| member.is_live()) {
            let updated = member.revision == revision;
            let available = member.available_at(min_ready).is_some_and(|at| at <= now);
            counts.live += 1;
            counts.updated += u32::from(updated);
            counts.ready += u32::from(member.is_ready());
            counts.available += u32::from(available);
            counts.updated_available += u32::from(available && updated);
        }
        counts
    }
}

/// Milliseconds as the schema has them.
pub fn span(duration: &hypermesh_schemas::value::Duration) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn build(subject: &Subject<Workload>, observed: Observed) -> Plan {
    let spec = &subject.object.spec;
    let told = subject.object.status.clone().unwrap_or_default();
    let (now, revision) = (observed.now, observed.revision.clone());
    let paused = spec.rollout.paused == Some(true);
    let known = |wanted: &str| observed.records.iter().any(|record| record.revision == wanted);
    let before = told.current_revision.clone().filter(|before| *before != revision && known(before));
    let wanted = Wanted {
        replicas: spec.replicas,
        revision: revision.clone(),
        before,
        way: Way::of(&spec.rollout, spec.replicas),
        paused,
        min_ready: span(&spec.rollout.min_ready),
    };
    let mut step = rollout::plan(&wanted, &observed.members, now);
    step.delete.truncate(BATCH);
    let create = instances(subject, &observed, &step.create);

    let present = observed.members.iter().any(|member| member.revision == revision);
    // A template that waits has not been one of the Workload's yet.
    let is_current = told.current_revision.as_deref() == Some(&revision);
    let waits = paused && !present && !is_current;
    let (record, copies, since) =
        if waits { (Recorded::Keep, Vec::new(), None) } else { recorded(subject, &observed) };
    let counts = Counts::of(&observed.members, &revision, wanted.min_ready, now);
    let complete = !waits
        && counts.updated == spec.replicas
        && counts.live == counts.updated
        && counts.updated_available == spec.replicas;
    let current = if complete { Some(revision.clone()) } else { told.current_revision.clone() };

    let mut in_use: BTreeSet<&str> = observed.members.iter().map(|member| member.revision.as_str()).collect();
    in_use.insert(&revision);
    in_use.extend(current.as_deref());
    let history = usize::try_from(spec.rollout.history).unwrap_or_default();
    let (records, unheld) = revision::collect(&observed.records, &in_use, history, &spec.template);

    let done = current.as_deref() == Some(&revision);
    let state =
        conditions::State { spec, wanted: &wanted, step: &step, observed: &observed, counts, done, since };
    let mut settled = Settled::new(&told, subject.meta().generation, now);
    let deadline = conditions::settle(&state, &mut settled);
    let again = [step.again, deadline].into_iter().flatten().min();
    let more = create.len() >= BATCH || step.delete.len() >= BATCH;
    let again = if more { Some(now) } else { again };
    let status = WorkloadStatus {
        observed_generation: subject.meta().generation,
        replicas: Some(counts.live),
        updated_replicas: Some(counts.updated),
        ready_replicas: Some(counts.ready),
        available_replicas: Some(counts.available),
        selector: Some(selector(&subject.key.name)),
        current_revision: current,
        update_revision: Some(revision.clone()),
        collision_count: told.collision_count,
        job: None,
        schedule: None,
        conditions: settled.finish(),
    };
    let summary = format!(
        "{} of {} instances are available, {} of them of revision {revision}",
        counts.available, spec.replicas, counts.updated_available
    );
    let revise = images(&observed, &revision);
    Plan { record, revise, copies, create, delete: step.delete, records, unheld, again, status, summary }
}

/// The instances that a step asks for.
fn instances(
    subject: &Subject<Workload>,
    observed: &Observed,
    wanted: &[(String, u32)],
) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    for (revision, count) in wanted {
        let kept = observed.records.iter().find(|record| record.revision == *revision);
        let made_of = match kept {
            _ if *revision == observed.revision => &subject.object.spec.template,
            Some(kept) => &kept.template,
            None => continue,
        };
        let of_revision = observed.members.iter().filter(|member| member.revision == *revision);
        let next = of_revision.map(|member| member.ordinal.saturating_add(1)).max().unwrap_or_default();
        let room = BATCH.saturating_sub(made.len());
        let count = usize::try_from(*count).unwrap_or(room).min(room);
        made.extend(
            (next..).take(count).map(|ordinal| object::instance(subject, revision, made_of, ordinal)),
        );
    }
    made
}

/// The record of the template, the copies that are made for it, and since when it has been the newest.
fn recorded(
    subject: &Subject<Workload>,
    observed: &Observed,
) -> (Recorded, Vec<(Snapshot, Value)>, Option<Timestamp>) {
    let uid = object::uid(subject);
    let copies: Vec<(Snapshot, Value)> = observed
        .held
        .iter()
        .filter_map(|(reference, held)| match held {
            Held::Data(data) => Some((revision::snapshot(uid, reference, data), data.clone())),
            Held::AsItIs | Held::Missing => None,
        })
        .collect();
    let taken = copies.iter().map(|(copy, _)| copy.clone());
    let newest = observed.records.iter().map(|record| record.number).max().unwrap_or_default();
    let found =
        observed.records.iter().find(|record| record.revision == observed.revision && !record.leaving);
    let Some(found) = found else {
        let snapshots: Vec<Snapshot> = taken.collect();
        let number = newest.saturating_add(1);
        let (name, object) = object::revision(subject, &observed.revision, number, &snapshots, observed.now);
        return (Recorded::Create(name, object, number), copies, Some(observed.now));
    };
    let mut record = found.clone();
    let comes_back = record.number != newest;
    if comes_back {
        // It is what it refers to now: what it was once is another matter.
        record.snapshots.clear();
        record.images.clear();
        record.number = newest.saturating_add(1);
        record.since = Some(observed.now);
    }
    record.snapshots.extend(taken);
    record.snapshots.sort();
    record.snapshots.dedup();
    observe(&mut record, &observed.members);
    let since = record.since.or(record.created);
    if record == *found {
        return (Recorded::Keep, copies, since);
    }
    let patch = object::revised(&record, observed.now);
    (Recorded::Revise(record.name, patch, record.number), copies, since)
}

/// Images of instances of other revisions that no record tells yet.
fn images(observed: &Observed, newest: &str) -> Vec<(String, Value)> {
    let others = observed.records.iter().filter(|record| record.revision != newest && !record.leaving);
    others
        .filter_map(|found| {
            let mut record = found.clone();
            observe(&mut record, &observed.members);
            (record != *found).then(|| (record.name.clone(), object::revised(&record, observed.now)))
        })
        .collect()
}

/// Notes the images that instances of a record's revision report. What is noted stays: it is what was rolled out.
fn observe(record: &mut Record, members: &[Member]) {
    let of_revision = members.iter().filter(|member| member.revision == record.revision);
    for (container, _, digest) in of_revision.flat_map(|member| &member.images) {
        if record.images.iter().any(|image| image.container == *container) {
            continue;
        }
        // The template's own words: what a node calls it may be longer.
        let Some(image) = image(&record.template, container) else { continue };
        let (container, digest) = (container.clone(), digest.clone());
        record.images.push(Image { container, image, digest });
    }
    record.images.sort();
}

/// What a template calls the image of a container.
pub fn image(template: &Value, container: &str) -> Option<String> {
    let of = |list: &str| template.pointer(list).and_then(Value::as_array).into_iter().flatten();
    let mut all = of("/spec/containers").chain(of("/spec/initContainers"));
    let found = all.find(|found| found.get("name").and_then(Value::as_str) == Some(container))?;
    found.get("image").and_then(Value::as_str).map(str::to_owned)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match &self.record {
            Recorded::Keep => {}
            Recorded::Create(_, _, number) => parts.push(format!("keep the template as revision {number}")),
            Recorded::Revise(_, _, number) => parts.push(format!("note what revision {number} refers to")),
        }
        if !self.copies.is_empty() {
            parts.push(format!("copy {} objects that it refers to", self.copies.len()));
        }
        if !self.create.is_empty() {
            parts.push(format!("make {} instances", self.create.len()));
        }
        for (why, words) in [
            (rollout::Why::Surplus, "that are more than wanted"),
            (rollout::Why::Outdated, "of old templates"),
            (rollout::Why::Ended, "that have ended"),
        ] {
            match self.delete.iter().filter(|removal| removal.why == why).count() {
                0 => {}
                count => parts.push(format!("let {count} instances {words} go")),
            }
        }
        if !self.records.is_empty() {
            parts.push(format!("forget {} old revisions", self.records.len()));
        }
        match parts.is_empty() {
            true => f.write_str(&self.summary),
            false => write!(f, "{}; {}", self.summary, parts.join(", ")),
        }
    }
}
