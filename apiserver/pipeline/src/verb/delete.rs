//! `delete`: preconditions, finalizers, propagation, and what a deletion sets in motion.

use super::Request;
use super::replace::{self, decode, is_free};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::Reply;
use crate::record;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::work::{self, Job};
use hypermesh_api::options::{DeleteOptions, Preconditions, Propagation};
use hypermesh_api::{Details, Status};
use hypermesh_chain::{ObjectKey, Record};
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::sync::Arc;

/// The finalizer of a deletion that waits for its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that lets its dependents go on.
pub(crate) const ORPHAN: &str = "orphan";

/// Where Namespaces are stored.
const NAMESPACES: &str = "/namespaces";

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    let kind = Arc::clone(&request.kind);
    let key = request.key(&name)?;
    let Some(record) = execution.overlay.get(&key)? else {
        return Err(Status::not_found(kind.subject(&name)).into());
    };
    if kind.has(Hook::Namespace) && crate::genesis::NAMESPACES.contains(&name.as_str()) {
        return Err(Status::forbidden(kind.subject(&name), "this namespace may not be deleted").into());
    }
    check(&kind, &record, &name, &request.call.delete.preconditions)?;
    match delete_object(execution, &kind, &key, &record, Manner::of(&request.call.delete))? {
        Deleted::Waiting(record) => Ok(Reply::object(200, record)),
        Deleted::Gone => {
            let names = &kind.definition;
            let details = Details {
                name,
                group: names.group.clone(),
                kind: names.names.plural.clone(),
                uid: record.facts.uid.to_string(),
                ..Details::default()
            };
            Ok(Reply::document(200, &Status::success(details))?)
        }
    }
}

fn check(kind: &Kind, record: &Record, name: &str, wanted: &Preconditions) -> Result<(), Status> {
    let subject = kind.kind_subject(name);
    if let Some(uid) = &wanted.uid
        && record::uid_of(uid) != record.facts.uid
    {
        return Err(Status::conflict(
            subject,
            format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have \
                 been deleted and then recreated",
                record.facts.uid
            ),
        ));
    }
    if let Some(version) = &wanted.resource_version
        && *version != record.revision.0.to_string()
    {
        return Err(Status::conflict(
            subject,
            format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
                 ({}). The object might have been modified",
                record.revision.0
            ),
        ));
    }
    Ok(())
}

/// How an object is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// What becomes of its dependents.
    pub propagation: Option<Propagation>,
    /// Seconds that its end may take, where that takes any.
    pub grace: Option<i64>,
}

impl Manner {
    /// As options say.
    pub fn of(options: &DeleteOptions) -> Self {
        Self { propagation: options.propagation, grace: options.grace_period_seconds }
    }
}

/// Where an object that runs something says how many seconds its end may take. Where it does, the options of a deletion
/// may say otherwise, and whoever ends it finds that in `metadata.deletionGracePeriodSeconds`: zero says nothing there, so
/// the shortest is a second. Options of zero seconds wait for no node.
const OWN_GRACE: &str = "/spec/pod/terminationGracePeriodSeconds";

/// What the names of finalizers begin with that a node takes off once nothing of an instance is left there.
const OF_NODES: &str = "node.hypermesh.online/";

/// The grace of an object that is being deleted, where these options change it: they give one to an object that is marked
/// now, and may shorten that of one that was marked before.
///
/// Source: `k8s.io/apiserver/pkg/registry/rest/delete.go`, `k8s.io/kubernetes/pkg/registry/core/pod/strategy.go`.
fn new_grace(object: &Value, marked: bool, wanted: Option<i64>) -> Option<i64> {
    let own = object.pointer(OWN_GRACE)?.as_i64()?;
    let wanted = wanted?.max(1);
    let given = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    let holds = given.filter(|seconds| *seconds > 0).unwrap_or(own);
    (!marked || wanted < holds).then_some(wanted)
}

/// What a deletion came to.
pub(crate) enum Deleted {
    /// It is no more.
    Gone,
    /// It is marked, and waits for its finalizers.
    Waiting(Arc<Record>),
}

/// Deletes one object, or marks it where something holds it back.
pub(crate) fn delete_object<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    kind: &Kind,
    key: &ObjectKey,
    record: &Arc<Record>,
    manner: Manner,
) -> Result<Deleted, Fault> {
    let mut object = decode(record)?;
    let mut finalizers: Vec<String> = metadata::finalizers(&object).into_iter().map(str::to_owned).collect();
    if !record.facts.deleting {
        crate::hook::release(execution, kind, key.name(), &object)?;
    }
    let before = finalizers.clone();
    settle_finalizers(&mut finalizers, manner.propagation);
    if manner.grace == Some(0) && object.pointer(OWN_GRACE).is_some() {
        // By force: whoever asks so gives up waiting for a node that may never answer. What runs there ends when its agent
        // hears of it.
        finalizers.retain(|finalizer| !finalizer.starts_with(OF_NODES));
    }
    let grace = new_grace(&object, record.facts.deleting, manner.grace);
    if record.facts.deleting && finalizers == before && grace.is_none() {
        return Ok(Deleted::Waiting(Arc::clone(record)));
    }
    metadata::set_finalizers(&mut object, finalizers.clone());
    if !record.facts.deleting && is_free(kind, &object) {
        return gone(execution, kind, key, record, object);
    }
    if !record.facts.deleting {
        mark(kind, &mut object, &execution.time);
    }
    if let (Some(grace), Some(meta)) = (grace, metadata::of(&mut object)) {
        meta.insert("deletionGracePeriodSeconds".into(), grace.into());
    }
    let stored = replace::overwrite(execution, kind, key, record, object)?;
    let uid = record.facts.uid;
    if finalizers.iter().any(|f| f == FOREGROUND) {
        work::add(execution, Job::Foreground { uid, key: key.into() })?;
    }
    if finalizers.iter().any(|f| f == ORPHAN) {
        work::add(execution, Job::Orphan { uid, key: key.into() })?;
    }
    if kind.has(Hook::Namespace) {
        work::add(execution, Job::Namespace { name: key.name().to_owned() })?;
    }
    Ok(Deleted::Waiting(stored))
}

fn settle_finalizers(finalizers: &mut Vec<String>, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
    match propagation {
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
        Propagation::Background => {}
    }
}

fn mark(kind: &Kind, object: &mut Value, time: &str) {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    if let Some(meta) = metadata::of(object) {
        meta.insert("deletionTimestamp".into(), time.into());
        meta.insert("deletionGracePeriodSeconds".into(), 0.into());
        if let Some(generation) = generation {
            meta.insert("generation".into(), generation.saturating_add(1).into());
        }
    }
    if kind.has(Hook::Namespace)
        && let Some(map) = object.as_object_mut()
        && let Some(status) =
            map.entry("status").or_insert_with(|| Value::Object(Default::default())).as_object_mut()
    {
        status.insert("phase".into(), "Terminating".into());
    }
}

fn gone<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    kind: &Kind,
    key: &ObjectKey,
    record: &Arc<Record>,
    mut object: Value,
) -> Result<Deleted, Fault> {
    let last = record::encode_own(kind, &mut object, execution.stamp(), record.salt.clone())?;
    remove(execution, key, last, Arc::clone(record))?;
    Ok(Deleted::Gone)
}

/// Removes an object for good and notes what its going sets in motion. `last` carries the deletion's revision.
pub(crate) fn remove<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    key: &ObjectKey,
    last: Record,
    before: Arc<Record>,
) -> Result<(), Fault> {
    let (uid, owners) = (last.facts.uid, last.facts.owners.clone());
    execution.overlay.delete(key.clone(), last, before);
    if !execution.overlay.dependents(uid, None, 1)?.is_empty() {
        work::add(execution, Job::Collect { uid })?;
    }
    // A deletion of its own that waited for its dependents, and was overtaken, waits no more.
    for waits in owners.into_iter().chain([uid]) {
        work::wake(execution, &Job::foreground_name(waits))?;
    }
    if !key.namespace().is_empty() && namespace_ends(execution, key.namespace())? {
        work::wake(execution, &Job::namespace_name(key.namespace()))?;
    }
    Ok(())
}

fn namespace_ends<R: StateReader + ?Sized>(execution: &Execution<'_, R>, name: &str) -> Result<bool, Fault> {
    let Some(key) = ObjectKey::new(NAMESPACES, "", name) else { return Ok(false) };
    Ok(execution.overlay.get(&key)?.is_some_and(|record| record.facts.deleting))
}
