//! An owner that lets its dependents go on.

use super::{Place, Progress, SLICE, Turn, owners};
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
    progress: &Progress,
) -> Result<Turn, Fault> {
    let dependents = execution.overlay.dependents(uid, progress.key().as_ref(), SLICE)?;
    for dependent in &dependents {
        let Some(record) = execution.overlay.get(dependent)? else { continue };
        let Some(kind) = execution.derived.registry.collection(dependent.collection()).cloned() else {
            continue;
        };
        let object = owners::without(decode(&record)?, uid);
        overwrite(execution, &kind, dependent, &record, object)?;
    }
    if let Some(last) = dependents.last()
        && dependents.len() == SLICE
    {
        return Ok(Turn::More(progress.after(last)));
    }
    super::release(execution, uid, place, |object| {
        let left = metadata::finalizers(object).into_iter().filter(|f| *f != ORPHAN);
        left.map(str::to_owned).collect()
    })?;
    Ok(Turn::Done)
}
