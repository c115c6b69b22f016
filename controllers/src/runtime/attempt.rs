//! One reconcile: the object is read, the five steps run, and what was decided is recorded.

use super::announce::{Gravity, Note};
use super::context::Context;
use super::decision::{self, Decision};
use super::failure::{Failure, Invalid, chain};
use super::finalizer::{self, Stage};
use super::key::Key;
use super::metrics::Ended;
use super::reconciler::{Reconciler, Subject, Told, Verdict, reference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DeserializeGuard};
use std::time::Duration;
use tracing::Instrument as _;

/// A reconcile that takes longer is given up and tried again.
const LONGEST: Duration = Duration::from_secs(60);
/// From how many failures in a row on people are told.
const TELL_FROM: u32 = 3;

/// How a reconcile ended, and what follows.
#[derive(Debug)]
pub struct Attempt {
    /// How it ended.
    pub ended: Ended,
    /// When to look again, if nothing happens before. A failure is tried again whatever this says.
    pub again: Option<Duration>,
}

/// What is known of the object once it was read.
struct Read {
    meta: ObjectMeta,
    why: String,
    verdict: decision::Verdict,
    again: Option<Duration>,
}

/// Reconciles the object of `key` once. `failures` is how often in a row it has failed before.
pub async fn attempt<R: Reconciler>(reconciler: &R, context: &Context, key: &Key, failures: u32) -> Attempt {
    let resource = reconciler.resource();
    let span = tracing::info_span!("reconcile", controller = R::NAME, kind = %resource.kind, object = %key);
    async {
        let mut meta = ObjectMeta::default();
        let steps = steps(reconciler, context, &resource, key, &mut meta);
        let result = match tokio::time::timeout(LONGEST, steps).await {
            Ok(result) => result,
            Err(_) => Err(Failure::TookTooLong(LONGEST)),
        };
        finish::<R>(context, &resource, key, meta, failures, result).await
    }
    .instrument(span)
    .await
}

async fn steps<R: Reconciler>(
    reconciler: &R,
    context: &Context,
    resource: &ApiResource,
    key: &Key,
    known: &mut ObjectMeta,
) -> Result<Option<Read>, Failure> {
    let read: Option<DeserializeGuard<R::Object>> = context.get(resource, key).await?;
    let object = match read.map(|guard| guard.0) {
        None => return Ok(None),
        Some(Ok(object)) => object,
        // The type of this build cannot read it: that is this object's trouble, and no other's.
        Some(Err(malformed)) => {
            known.clone_from(&malformed.metadata);
            let invalid =
                Invalid { reason: "Unreadable", message: format!("it cannot be read: {}", malformed.error) };
            tell(context, resource, known, &invalid).await;
            return Ok(Some(Read::invalid(malformed.metadata, &invalid)));
        }
    };
    let subject = Subject { resource: resource.clone(), key: key.clone(), object };
    known.clone_from(subject.meta());
    known.managed_fields = None;
    if let Some(finalizer) = reconciler.finalizer() {
        match finalizer::stage(subject.meta(), finalizer) {
            Stage::Live => {}
            Stage::Add => {
                finalizer::write(context, resource, key, subject.meta(), finalizer, true).await?;
                // The write is a change of the object, and asks for the next reconcile.
                return Ok(Some(Read::changed(known, format!("put the finalizer {finalizer} on"))));
            }
            Stage::Cleanup => {
                reconciler.cleanup(context, &subject).await?;
                finalizer::write(context, resource, key, subject.meta(), finalizer, false).await?;
                return Ok(Some(Read::changed(
                    known,
                    format!("cleaned up and took the finalizer {finalizer} off"),
                )));
            }
            Stage::Released => return Ok(None),
        }
    }
    let observed = reconciler.dereference(context, &subject).await?;
    let valid = match reconciler.validate(&subject, observed) {
        Ok(valid) => valid,
        Err(invalid) => {
            let told = reconciler.update_status(context, &subject, Verdict::Invalid(&invalid)).await?;
            tracing::debug!(
                reason = invalid.reason,
                written = told == Told::Written,
                "the object is invalid"
            );
            tell(context, resource, known, &invalid).await;
            return Ok(Some(Read::invalid(known.clone(), &invalid)));
        }
    };
    let plan = reconciler.build(&subject, valid);
    let applied = reconciler.apply(context, &subject, &plan).await?;
    let told = reconciler.report(context, &subject, &plan, &applied).await?;
    let wrote = applied.writes > 0 || told == Told::Written;
    let verdict = if wrote { decision::Verdict::Changed } else { decision::Verdict::AsWanted };
    Ok(Some(Read { meta: known.clone(), why: plan.to_string(), verdict, again: applied.again }))
}

impl Read {
    fn invalid(meta: ObjectMeta, invalid: &Invalid) -> Self {
        let why = format!("{}: {}", invalid.reason, invalid.message);
        Self { meta, why, verdict: decision::Verdict::Invalid, again: None }
    }

    fn changed(meta: &ObjectMeta, why: String) -> Self {
        Self { meta: meta.clone(), why, verdict: decision::Verdict::Changed, again: None }
    }
}

/// Tells people what is wrong with the object: an Event that is written once.
async fn tell(context: &Context, resource: &ApiResource, meta: &ObjectMeta, invalid: &Invalid) {
    let note = Note {
        gravity: Gravity::Warning,
        action: "Validate",
        reason: invalid.reason.to_owned(),
        message: invalid.message.clone(),
        counted: false,
    };
    context.announcer.tell(&reference(resource, meta), note, context.now()).await;
}

async fn finish<R: Reconciler>(
    context: &Context,
    resource: &ApiResource,
    key: &Key,
    known: ObjectMeta,
    failures: u32,
    result: Result<Option<Read>, Failure>,
) -> Attempt {
    match result {
        Ok(None) => Attempt { ended: Ended::Gone, again: None },
        Ok(Some(read)) => {
            let ended = match read.verdict {
                decision::Verdict::Changed => Ended::Changed,
                decision::Verdict::Invalid => Ended::Invalid,
                _ => Ended::AsWanted,
            };
            if ended == Ended::Changed {
                tracing::info!(decision = read.why, "reconciled");
            }
            let again = read.again;
            let decision = decide::<R>(context, resource, key, &read.meta, read.verdict, read.why, again);
            context.decisions.record(decision);
            Attempt { ended, again }
        }
        Err(failure) => {
            let (class, why) = (failure.class(), chain(&failure));
            let failures = failures.saturating_add(1);
            tracing::warn!(error = why, failures, "a reconcile failed and will be tried again");
            if failures >= TELL_FROM && known.uid.is_some() {
                let note = Note {
                    gravity: Gravity::Warning,
                    action: "Reconcile",
                    reason: "ReconcileFailed".to_owned(),
                    message: why.clone(),
                    counted: true,
                };
                context.announcer.tell(&reference(resource, &known), note, context.now()).await;
            }
            let decision = decide::<R>(context, resource, key, &known, decision::Verdict::Failed, why, None);
            context.decisions.record(decision);
            Attempt { ended: Ended::Failed(class), again: None }
        }
    }
}

fn decide<R: Reconciler>(
    context: &Context,
    resource: &ApiResource,
    key: &Key,
    meta: &ObjectMeta,
    verdict: decision::Verdict,
    why: String,
    again: Option<Duration>,
) -> Decision {
    let now = context.now();
    Decision {
        controller: R::NAME,
        kind: resource.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation,
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        verdict,
        why,
        since: now,
        at: now,
        count: 1,
        again_in_seconds: again.map(|again| again.as_secs()),
    }
}
