//! What lost its owner.

use super::owners::{self, Owner};
use super::{Progress, SLICE, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{decode, delete_object, overwrite};
use hypermesh_chain::{ObjectKey, Uid};

/// Deletes dependents of `uid` that no other owner holds, and takes the reference out of the others. Those that hold
/// finalizers are marked; their own deletion ends them.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    progress: &Progress,
) -> Result<Turn, Fault> {
    let dependents = execution.overlay.dependents(uid, progress.key().as_ref(), SLICE)?;
    for key in &dependents {
        dependent(execution, key, uid)?;
    }
    Ok(match dependents.last() {
        Some(last) if dependents.len() == SLICE => Turn::More(progress.after(last)),
        _ => Turn::Done,
    })
}

fn dependent<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    key: &ObjectKey,
    uid: Uid,
) -> Result<(), Fault> {
    let Some(record) = execution.overlay.get(key)? else { return Ok(()) };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else { return Ok(()) };
    let object = decode(&record)?;
    // What it names by this uid may be there after all, or be none of what is kept here.
    for reference in owners::references(&object).iter().filter(|reference| owners::uid(reference) == uid) {
        let owner = owners::judge(execution, key.namespace(), reference)?;
        if matches!(owner, Owner::Solid | Owner::Foreign) {
            return Ok(());
        }
    }
    if owners::held_by_another(execution, key.namespace(), &object, uid)? {
        overwrite(execution, &kind, key, &record, owners::without(object, uid))?;
    } else if !record.facts.deleting {
        delete_object(execution, &kind, key, &record, None)?;
    }
    Ok(())
}
