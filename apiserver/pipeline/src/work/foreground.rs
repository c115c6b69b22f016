//! An owner that goes after its dependents.

use super::{MOST_WRITES, Place, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::record::uid_of;
use crate::state::StateReader;
use crate::verb::{FOREGROUND, decode, delete_object, overwrite};
use hypermesh_api::options::Propagation;
use hypermesh_chain::Uid;
use serde_json::Value;

const SLICE: usize = MOST_WRITES / 2;

/// Deletes the owner's dependents; once none is left that blocks it, the owner's finalizer goes.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    place: &Place,
) -> Result<Turn, Fault> {
    let Some(key) = place.key() else { return Ok(Turn::Done) };
    let Some(owner) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(Turn::Done);
    };
    let dependents = execution.overlay.dependents(uid, SLICE)?;
    let full = dependents.len() == SLICE;
    let (mut blocked, mut progress) = (false, false);
    for dependent in dependents {
        let Some(record) = execution.overlay.get(&dependent)? else { continue };
        let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
            continue;
        };
        if !record.facts.deleting {
            delete_object(
                execution,
                &kind,
                &dependent,
                &record,
                Some(propagation(execution, record.facts.uid)?),
            )?;
            progress = true;
        }
        blocked |= execution.overlay.get(&dependent)?.is_some() && blocks(&decode(&record)?, uid);
    }
    if full && progress {
        return Ok(Turn::More);
    }
    if blocked {
        return Ok(Turn::Waits);
    }
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else {
        return Ok(Turn::Done);
    };
    let mut object = decode(&owner)?;
    let left =
        metadata::finalizers(&object).into_iter().filter(|f| *f != FOREGROUND).map(str::to_owned).collect();
    metadata::set_finalizers(&mut object, left);
    overwrite(execution, &kind, &key, &owner, object)?;
    Ok(Turn::Done)
}

/// A dependent that has dependents itself goes after them.
fn propagation<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    uid: Uid,
) -> Result<Propagation, Fault> {
    let has_dependents = !execution.overlay.dependents(uid, 1)?.is_empty();
    Ok(if has_dependents { Propagation::Foreground } else { Propagation::Background })
}

fn blocks(dependent: &Value, owner: Uid) -> bool {
    let references: &[Value] = dependent
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    references.iter().any(|reference: &Value| {
        reference.get("uid").and_then(Value::as_str).is_some_and(|text| uid_of(text) == owner)
            && reference.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
    })
}
