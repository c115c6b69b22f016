//! Makes and lets go what a plan says. What somebody else was faster with is no failure; what the server refuses is told
//! in the status before the failure is handed on, so that people see why instances are missing.

use super::build::Plan;
use super::object::{self, Workload};
use super::reference::Reference;
use super::revision::Record;
use super::rollout::Removal;
use super::service::{self, Recorded};
use super::{SNAPSHOT_OF, holders, instances, job, revisions, schedule, status, workloads};
use crate::runtime::announce::{Gravity, Note};
use crate::runtime::conditions::Holds;
use crate::runtime::failure::chain;
use crate::runtime::{Applied, Context, Failure, Key, Subject};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hypermesh_schemas::workload::WorkloadStatus;
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, Preconditions};
use kube::core::{ApiResource, PartialObjectMeta, Status};
use serde_json::Value;
use std::time::Duration;

/// Writes under way at once.
const AT_ONCE: usize = 32;
/// The first instances that are made together. Each time all were taken, twice as many follow: what the server refuses
/// is not asked for a thousand times.
const FIRST: usize = 4;
/// When copies that could not be made are tried again.
const COPIES_AGAIN: Duration = Duration::from_secs(30);

pub(super) async fn apply(
    context: &Context,
    subject: &Subject<Workload>,
    plan: &Plan,
) -> Result<Applied, Failure> {
    match plan {
        Plan::Leaving => Ok(Applied::default()),
        Plan::Service(plan) => service(context, subject, plan).await,
        Plan::Job(plan) => job(context, subject, plan).await,
        Plan::Schedule(plan) => schedule(context, subject, plan).await,
    }
}

async fn service(
    context: &Context,
    subject: &Subject<Workload>,
    plan: &service::Plan,
) -> Result<Applied, Failure> {
    let mut writes = record(context, subject, &plan.record).await?;
    writes += make(context, subject, &plan.create, &plan.status).await?;
    writes += let_go(context, subject, &plan.delete).await?;
    for (name, patch) in &plan.revise {
        writes += revise(context, subject, name, patch).await?;
    }
    let mut again = after(context, plan.again);
    match copy(context, subject, plan).await {
        Ok(copies) => writes += copies,
        Err(failure) => {
            // Instances run without it; what is lost is the way back.
            tell(context, subject, "Copy", "SnapshotFailed", chain(&failure)).await;
            again = Some(again.map_or(COPIES_AGAIN, |again| again.min(COPIES_AGAIN)));
        }
    }
    writes += forget(context, subject, &plan.records, &plan.unheld).await?;
    Ok(Applied { writes, again })
}

async fn job(context: &Context, subject: &Subject<Workload>, plan: &job::Plan) -> Result<Applied, Failure> {
    if plan.expired {
        let gone = delete(context, &workloads(), &subject.key, object::uid(subject)).await?;
        return Ok(Applied { writes: u32::from(gone), again: None });
    }
    let mut writes = let_go(context, subject, &plan.delete).await?;
    writes += make(context, subject, &plan.create, &plan.status).await?;
    Ok(Applied { writes, again: after(context, plan.again) })
}

async fn schedule(
    context: &Context,
    subject: &Subject<Workload>,
    plan: &schedule::Plan,
) -> Result<Applied, Failure> {
    let mut writes = 0;
    for (name, uid) in &plan.delete {
        writes += u32::from(delete(context, &workloads(), &beside(subject, name), uid).await?);
    }
    if let Some((name, object)) = &plan.create {
        match create(context, subject, &workloads(), name, object).await? {
            Made::Now => writes += 1,
            Made::Before => {}
            Made::Taken => return Err(taken(context, subject, name).await),
        }
    }
    if let Some(missed) = &plan.missed {
        tell(context, subject, "Schedule", "MissedRun", missed.clone()).await;
    }
    Ok(Applied { writes, again: after(context, plan.again) })
}

/// What came of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It was made.
    Now,
    /// This Workload has it already.
    Before,
    /// Somebody else has something of that name.
    Taken,
}

fn beside(subject: &Subject<Workload>, name: &str) -> Key {
    Key::namespaced(subject.key.namespace.as_deref().unwrap_or_default(), name)
}

fn after(context: &Context, at: Option<Timestamp>) -> Option<Duration> {
    let wait = at?.duration_since(context.now());
    // Not before the moment itself: it would find that it has not come.
    Some(Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(10))
}

async fn tell(
    context: &Context,
    subject: &Subject<Workload>,
    action: &'static str,
    reason: &str,
    message: String,
) {
    let (gravity, reason) = (Gravity::Warning, reason.to_owned());
    let note = Note { gravity, action, reason, message, counted: true };
    context.announcer.tell(&subject.reference(), note, context.now()).await;
}

async fn create(
    context: &Context,
    subject: &Subject<Workload>,
    of: &ApiResource,
    name: &str,
    object: &Value,
) -> Result<Made, Failure> {
    let key = beside(subject, name);
    let failure = match context.create(of, &key, object).await {
        Ok(()) => return Ok(Made::Now),
        Err(failure) => failure,
    };
    let Failure::Api { source: kube::Error::Api(refusal), .. } = &failure else { return Err(failure) };
    if refusal.code != 409 || refusal.reason != "AlreadyExists" {
        return Err(failure);
    }
    let found: Option<PartialObjectMeta<Value>> = context.get(of, &key).await?;
    // It has gone meanwhile: the next reconcile finds it missing.
    let Some(found) = found else { return Ok(Made::Before) };
    let mut owners = found.metadata.owner_references.iter().flatten();
    let mine = owners.any(|owner| owner.uid == object::uid(subject));
    Ok(if mine && found.metadata.deletion_timestamp.is_none() { Made::Before } else { Made::Taken })
}

/// Makes instances, a few and then more and more at once.
async fn make(
    context: &Context,
    subject: &Subject<Workload>,
    wanted: &[(String, Value)],
    told: &WorkloadStatus,
) -> Result<u32, Failure> {
    let (mut writes, mut rest, mut size, of) = (0, wanted, FIRST, instances());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        let made = now.iter().map(|(name, object)| create(context, subject, &of, name, object));
        let made: Vec<_> = stream::iter(made.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        let mut taken = false;
        for made in made {
            match made {
                Ok(Made::Now) => writes += 1,
                Ok(Made::Before) => {}
                Ok(Made::Taken) => taken = true,
                Err(failure) => return Err(refused(context, subject, told, failure).await),
            }
        }
        if taken {
            return Err(collided(context, subject, told).await);
        }
        (rest, size) = (later, size.saturating_mul(2));
    }
    Ok(writes)
}

/// Counts in the status that a name was taken by somebody else: names that are made after that are others.
async fn collided(context: &Context, subject: &Subject<Workload>, told: &WorkloadStatus) -> Failure {
    let mut other = told.clone();
    other.collision_count = Some(object::salt(subject).saturating_add(1));
    if let Err(failure) = status::write(context, subject, &other, false).await {
        return failure;
    }
    let message = "somebody else has an instance of that name: the next try uses another".to_owned();
    let status = Status { code: 409, reason: "AlreadyExists".to_owned(), message, ..Status::default() };
    Failure::of(format!("make instances of {}", subject.key))(kube::Error::Api(Box::new(status)))
}

/// Tells that a run cannot be made, since there is another Workload of its name. It is tried again for as long as it is due.
async fn taken(context: &Context, subject: &Subject<Workload>, name: &str) -> Failure {
    let message = format!(
        "the run {name} cannot start: there is another workload of that name, which this schedule did not make; delete \
         it, or wait for the next run"
    );
    tell(context, subject, "Schedule", "RunNameTaken", message.clone()).await;
    let status = Status { code: 409, reason: "AlreadyExists".to_owned(), message, ..Status::default() };
    Failure::of(format!("start {name} of {}", subject.key))(kube::Error::Api(Box::new(status)))
}

/// Tells in the status why instances are missing, and hands the failure on.
async fn refused(
    context: &Context,
    subject: &Subject<Workload>,
    told: &WorkloadStatus,
    failure: Failure,
) -> Failure {
    let is_final = matches!(&failure, Failure::Api { source: kube::Error::Api(refusal), .. }
        if matches!(refusal.code, 400 | 403 | 422));
    if !is_final {
        return failure;
    }
    let mut status = told.clone();
    let mut settled = status::Settled::new(told, subject.meta().generation, context.now());
    settled.set("ReplicaFailure", Holds::True, "FailedCreate", chain(&failure));
    status.conditions.retain(|condition| condition.kind != "ReplicaFailure");
    status.conditions.extend(settled.finish());
    status.conditions.sort_by(|a, b| a.kind.cmp(&b.kind));
    if let Err(failure) = status::write(context, subject, &status, false).await {
        tracing::debug!(error = chain(&failure), "why instances are missing was not told");
    }
    tell(context, subject, "Create", "FailedCreate", chain(&failure)).await;
    failure
}

async fn delete(context: &Context, of: &ApiResource, key: &Key, uid: &str) -> Result<bool, Failure> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    context.delete(of, key, &params).await
}

async fn let_go(
    context: &Context,
    subject: &Subject<Workload>,
    removals: &[Removal],
) -> Result<u32, Failure> {
    let of = instances();
    let deletions = removals.iter().map(|removal| {
        let (of, key) = (of.clone(), beside(subject, &removal.name));
        async move { delete(context, &of, &key, &removal.uid).await }
    });
    stream::iter(deletions.collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .try_fold(0_u32, |count, deleted| async move { Ok(count + u32::from(deleted)) })
        .await
}

async fn record(context: &Context, subject: &Subject<Workload>, step: &Recorded) -> Result<u32, Failure> {
    match step {
        Recorded::Keep => Ok(0),
        Recorded::Create(name, object, _) => {
            Ok(u32::from(create(context, subject, &revisions(), name, object).await? == Made::Now))
        }
        Recorded::Revise(name, patch, _) => revise(context, subject, name, patch).await,
    }
}

async fn revise(
    context: &Context,
    subject: &Subject<Workload>,
    name: &str,
    patch: &Value,
) -> Result<u32, Failure> {
    context.patch(&revisions(), &beside(subject, name), None, &Patch::Merge(patch)).await?;
    Ok(1)
}

async fn copy(context: &Context, subject: &Subject<Workload>, plan: &service::Plan) -> Result<u32, Failure> {
    let mut writes = 0;
    for (snapshot, data) in &plan.copies {
        let object = object::copy(subject, snapshot, data);
        let made = create(context, subject, &holders(snapshot.kind), &snapshot.copy, &object).await?;
        writes += u32::from(made == Made::Now);
    }
    Ok(writes)
}

/// Forgets records, and then the copies that they alone held.
async fn forget(
    context: &Context,
    subject: &Subject<Workload>,
    records: &[Record],
    unheld: &[Reference],
) -> Result<u32, Failure> {
    let mut writes = 0;
    for record in records {
        writes +=
            u32::from(delete(context, &revisions(), &beside(subject, &record.name), &record.uid).await?);
    }
    for reference in unheld {
        let (of, key) = (holders(reference.kind), beside(subject, &reference.name));
        let found: Option<PartialObjectMeta<Value>> = context.get(&of, &key).await?;
        let Some(meta) = found.map(|found| found.metadata) else { continue };
        let is_copy = meta.labels.as_ref().is_some_and(|labels| labels.contains_key(SNAPSHOT_OF));
        let mine = meta.owner_references.iter().flatten().any(|owner| owner.uid == object::uid(subject));
        // What somebody put in its place is theirs.
        if let (true, true, Some(uid)) = (is_copy, mine, &meta.uid) {
            writes += u32::from(delete(context, &of, &key, uid).await?);
        }
    }
    Ok(writes)
}
