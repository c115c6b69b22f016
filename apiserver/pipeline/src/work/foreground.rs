//! An owner that goes after its dependents.
//!
//! First every dependent is deleted, or let go where another owner holds it. Then those that block the owner are waited
//! for, one after another: each that goes, or lets the owner go, wakes the job.

use super::job::Place;
use super::slice::Slice;
use super::{KEYS, Progress, Turn, dependents, owners};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{FOREGROUND, Manner, decode, delete_object, overwrite};
use hypermesh_api::options::Propagation;
use hypermesh_chain::{ObjectKey, Uid};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deletes the owner's dependents; once none is left that blocks it, the owner's finalizer goes.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    (uid, place): (Uid, &Place),
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    let Some((key, owner)) = super::held(execution, uid, place, FOREGROUND)? else { return Ok(Turn::Done) };
    if !progress.marked {
        let owner = (&key, &owner, uid);
        let all = dependents(execution, slice, uid, progress, |execution, key| mark(execution, key, owner))?;
        if !all {
            return Ok(Turn::More);
        }
        progress.mark();
    }
    match wait(execution, slice, (&key, uid), progress)? {
        Turn::Done => {}
        turn => return Ok(turn),
    }
    super::release(execution, uid, place, FOREGROUND)?;
    Ok(Turn::Done)
}

/// Deletes one dependent, or lets it go.
fn mark<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    dependent: &ObjectKey,
    (key, owner, uid): (&ObjectKey, &Value, Uid),
) -> Result<(), Fault> {
    let Some(record) = execution.overlay.get(dependent)? else { return Ok(()) };
    let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
        return Ok(());
    };
    let object = decode(&record)?;
    if owners::held_by_another(execution, dependent.namespace(), &object, uid)? {
        let gone = BTreeSet::from([uid]);
        overwrite(execution, &kind, dependent, &record, owners::without(object, &gone))?;
        return Ok(());
    }
    let mut record = Arc::clone(&record);
    let own = record.facts.uid;
    if blocks(&object, uid) && (own == uid || owners::descends(execution, key.namespace(), owner, own)?) {
        record = overwrite(execution, &kind, dependent, &record, unblocked(object, uid))?;
    }
    if !record.facts.deleting {
        let has_dependents = !execution.overlay.dependents(own, None, 1)?.is_empty();
        let propagation = if has_dependents { Propagation::Foreground } else { Propagation::Background };
        let manner = Manner { propagation: Some(propagation), grace: None };
        delete_object(execution, &kind, dependent, &record, manner)?;
    }
    Ok(())
}

/// Looks for a dependent that blocks the owner, from where the job stands; done when there is none.
fn wait<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    (owner, uid): (&ObjectKey, Uid),
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    loop {
        let page = execution.overlay.dependents(uid, progress.key().as_ref(), KEYS)?;
        for key in &page {
            if !slice.has_room(execution) {
                return Ok(Turn::More);
            }
            // Who writes in another namespace has no say in this one.
            let near = owner.namespace().is_empty() || owner.namespace() == key.namespace();
            let blocks = slice.attempt(execution, progress, key, |execution| {
                let record = execution.overlay.get(key)?;
                Ok(record
                    .map(|record| decode(&record))
                    .transpose()?
                    .is_some_and(|object| blocks(&object, uid)))
            })?;
            // What cannot be read may block.
            if near && blocks.unwrap_or(true) {
                return Ok(Turn::Waits);
            }
            progress.pass(key);
        }
        if page.len() < KEYS {
            return Ok(Turn::Done);
        }
    }
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
