//! An owner that lets its dependents go on.

use super::job::Place;
use super::slice::Slice;
use super::{Progress, Turn, dependents, owners};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{ORPHAN, decode, overwrite};
use hypermesh_chain::Uid;
use std::collections::BTreeSet;

/// Takes the owner out of its dependents, then its finalizer out of the owner: not before each of them was let go, since
/// what still named it would be collected.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    (uid, place): (Uid, &Place),
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    if super::held(execution, uid, place, ORPHAN)?.is_none() {
        return Ok(Turn::Done);
    }
    let gone = BTreeSet::from([uid]);
    let all = dependents(execution, slice, uid, progress, |execution, dependent| {
        let Some(record) = execution.overlay.get(dependent)? else { return Ok(()) };
        let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
            return Ok(());
        };
        let object = owners::without(decode(&record)?, &gone);
        overwrite(execution, &kind, dependent, &record, object)?;
        Ok(())
    })?;
    if !all {
        return Ok(Turn::More);
    }
    if !progress.refused.is_empty() {
        return Ok(Turn::Waits);
    }
    super::release(execution, uid, place, ORPHAN)?;
    Ok(Turn::Done)
}
