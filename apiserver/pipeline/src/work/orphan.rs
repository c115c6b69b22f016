//! An owner that lets its dependents go on.

use super::collect::without_owner;
use super::{MOST_WRITES, Place, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::state::StateReader;
use crate::verb::{ORPHAN, decode, overwrite};
use hypermesh_chain::Uid;

/// Takes the owner out of its dependents, then its finalizer out of the owner.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    place: &Place,
) -> Result<Turn, Fault> {
    let dependents = execution.overlay.dependents(uid, MOST_WRITES)?;
    let full = dependents.len() == MOST_WRITES;
    for dependent in dependents {
        let Some(record) = execution.overlay.get(&dependent)? else { continue };
        let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
            continue;
        };
        let object = without_owner(decode(&record)?, uid);
        overwrite(execution, &kind, &dependent, &record, object)?;
    }
    if full {
        return Ok(Turn::More);
    }
    let Some(key) = place.key() else { return Ok(Turn::Done) };
    let Some(owner) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(Turn::Done);
    };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else {
        return Ok(Turn::Done);
    };
    let mut object = decode(&owner)?;
    let left =
        metadata::finalizers(&object).into_iter().filter(|f| *f != ORPHAN).map(str::to_owned).collect();
    metadata::set_finalizers(&mut object, left);
    overwrite(execution, &kind, &key, &owner, object)?;
    Ok(Turn::Done)
}
