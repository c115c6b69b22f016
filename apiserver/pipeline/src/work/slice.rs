//! What one turn of a job may do.

use super::progress::Progress;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use hypermesh_api::Status;
use hypermesh_chain::ObjectKey;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Objects that are read at once, and then looked at whatever is left of the budget: the largest of them together still
/// fit into memory.
pub(super) const PAGE: usize = 4;

/// A budget: objects to look at, writes, bytes to read and write. One page of objects may exceed it, and a slice always
/// has room for a first object, so that every turn comes a step further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    fresh: bool,
    objects: usize,
    writes: usize,
    spent: u64,
}

impl Slice {
    /// A budget from here on.
    pub fn new<R: StateReader + ?Sized>(
        execution: &Execution<'_, R>,
        objects: usize,
        writes: usize,
        bytes: u64,
    ) -> Self {
        let overlay = &execution.overlay;
        Self {
            fresh: true,
            objects,
            writes: overlay.effects().len().saturating_add(writes),
            spent: overlay.spent().saturating_add(bytes),
        }
    }

    /// No more than is left of another.
    pub fn within(self, whole: &Self) -> Self {
        Self { writes: self.writes.min(whole.writes), spent: self.spent.min(whole.spent), ..self }
    }

    /// Whether anything is left of it.
    pub fn has_room<R: StateReader + ?Sized>(&self, execution: &Execution<'_, R>) -> bool {
        let overlay = &execution.overlay;
        self.fresh
            || self.objects > 0 && overlay.effects().len() < self.writes && overlay.spent() < self.spent
    }

    /// Counts an object that is looked at.
    pub fn count(&mut self) {
        self.fresh = false;
        self.objects = self.objects.saturating_sub(1);
    }

    /// Looks at one object. A refusal or a panic leaves no trace in the state but its reason in `progress`, and is
    /// `None`.
    pub fn attempt<R: StateReader + ?Sized, T>(
        &mut self,
        execution: &mut Execution<'_, R>,
        progress: &mut Progress,
        key: &ObjectKey,
        act: impl FnOnce(&mut Execution<'_, R>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.count();
        match guarded(execution, act) {
            Ok(done) => Ok(Some(done)),
            Err(Fault::Refused(status)) => {
                execution.refused(key, &status);
                progress.refuse(key, &status);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

/// Does something whole or not at all: a refusal is undone, a panic is a refusal.
pub(super) fn guarded<R: StateReader + ?Sized, T>(
    execution: &mut Execution<'_, R>,
    act: impl FnOnce(&mut Execution<'_, R>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let savepoint = execution.overlay.savepoint();
    let done = catch_unwind(AssertUnwindSafe(|| act(execution))).unwrap_or_else(|_| {
        Err(Status::internal("a step of the state machine failed; it changed nothing").into())
    });
    if matches!(done, Err(Fault::Refused(_))) {
        execution.overlay.rollback(savepoint);
    }
    done
}
