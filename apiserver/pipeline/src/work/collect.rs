//! What lost its owner.

use super::owners::{self, Owner};
use super::slice::Slice;
use super::{Progress, Turn, dependents, end_of_pass};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{Manner, decode, delete_object, overwrite};
use hypermesh_chain::{ObjectKey, Uid};
use std::collections::BTreeSet;

/// Deletes dependents of `uid` that no other owner holds, and takes the references to owners that are gone out of the
/// others. Those that hold finalizers are marked; their own deletion ends them.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    uid: Uid,
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    let all = dependents(execution, slice, uid, progress, |execution, key| dependent(execution, key, uid))?;
    Ok(if all { end_of_pass(progress) } else { Turn::More })
}

fn dependent<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    key: &ObjectKey,
    uid: Uid,
) -> Result<(), Fault> {
    let Some(record) = execution.overlay.get(key)? else { return Ok(()) };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else { return Ok(()) };
    let object = decode(&record)?;
    let (mut held, mut gone) = (false, BTreeSet::from([uid]));
    for reference in owners::references(&object) {
        let named = owners::uid(reference);
        match owners::judge(execution, key.namespace(), reference)? {
            // What it names by this uid may be there after all, or be none of what is kept here.
            Owner::Solid | Owner::Foreign if named == uid => return Ok(()),
            Owner::Solid | Owner::Foreign => held = true,
            Owner::Absent => {
                gone.insert(named);
            }
            Owner::Leaving(_) => {}
        }
    }
    if held {
        overwrite(execution, &kind, key, &record, owners::without(object, &gone))?;
    } else if !record.facts.deleting {
        delete_object(execution, &kind, key, &record, Manner::default())?;
    }
    Ok(())
}
