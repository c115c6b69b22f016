//! An owner that goes after its dependents.
//!
//! First every dependent is deleted, or let go where another owner holds it. Then those that block the owner are waited
//! for, one after another: each that goes, or lets the owner go, wakes the job.

use super::{Place, Progress, SLICE, Turn, owners};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::verb::{FOREGROUND, decode, delete_object, overwrite};
use hypermesh_api::options::Propagation;
use hypermesh_chain::{ObjectKey, Record, Uid};
use serde_json::Value;
use std::sync::Arc;

/// Deletes the owner's dependents; once none is left that blocks it, the owner's finalizer goes.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    place: &Place,
    progress: &Progress,
) -> Result<Turn, Fault> {
    let Some(key) = place.key() else { return Ok(Turn::Done) };
    let Some(owner) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(Turn::Done);
    };
    let owner = decode(&owner)?;
    let dependents = execution.overlay.dependents(uid, progress.key().as_ref(), SLICE)?;
    let mut progress = progress.clone();
    for dependent in &dependents {
        let Some(record) = execution.overlay.get(dependent)? else { continue };
        let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
            continue;
        };
        if progress.marked {
            // Who writes in another namespace has no say in this one.
            let near = key.namespace().is_empty() || key.namespace() == dependent.namespace();
            if near && blocks(&decode(&record)?, uid) {
                return Ok(Turn::Waits(progress));
            }
        } else {
            mark(execution, &kind, (dependent, &record), (&key, &owner, uid))?;
        }
        progress = progress.after(dependent);
    }
    if dependents.len() == SLICE {
        return Ok(Turn::More(progress));
    }
    if !progress.marked && !execution.overlay.dependents(uid, None, 1)?.is_empty() {
        return Ok(Turn::More(Progress::marked()));
    }
    super::release(execution, uid, place, |object| {
        let left = metadata::finalizers(object).into_iter().filter(|f| *f != FOREGROUND);
        left.map(str::to_owned).collect()
    })?;
    Ok(Turn::Done)
}

/// Deletes one dependent, or lets it go.
fn mark<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    kind: &Kind,
    (dependent, record): (&ObjectKey, &Arc<Record>),
    (key, owner, uid): (&ObjectKey, &Value, Uid),
) -> Result<(), Fault> {
    let object = decode(record)?;
    if owners::held_by_another(execution, dependent.namespace(), &object, uid)? {
        overwrite(execution, kind, dependent, record, owners::without(object, uid))?;
        return Ok(());
    }
    let mut record = Arc::clone(record);
    let own = record.facts.uid;
    if blocks(&object, uid) && (own == uid || owners::descends(execution, key.namespace(), owner, own)?) {
        record = overwrite(execution, kind, dependent, &record, unblocked(object, uid))?;
    }
    if !record.facts.deleting {
        let has_dependents = !execution.overlay.dependents(own, None, 1)?.is_empty();
        let propagation = if has_dependents { Propagation::Foreground } else { Propagation::Background };
        delete_object(execution, kind, dependent, &record, Some(propagation))?;
    }
    Ok(())
}

fn blocks(dependent: &Value, owner: Uid) -> bool {
    owners::references(dependent).iter().any(|reference| {
        owners::uid(reference) == owner
            && reference.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
    })
}

fn unblocked(mut object: Value, owner: Uid) -> Value {
    let references = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
    for reference in references.into_iter().flatten() {
        if owners::uid(reference) == owner
            && let Some(reference) = reference.as_object_mut()
        {
            reference.insert("blockOwnerDeletion".into(), false.into());
        }
    }
    object
}
