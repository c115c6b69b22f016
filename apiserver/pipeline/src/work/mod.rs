//! Work that goes on after a block: collecting what lost its owner, emptying namespaces, long deletions, filling in the
//! rules of aggregated roles.
//!
//! A job is a record of the state, so every replica has the same ones; a step does a bounded part of some of them, as
//! the last thing of a block, and leaves each where it stands. Jobs take turns: a step begins after the job that had the
//! last turn of the step before. A job that waits for others lies aside, where it costs nothing, until the write that
//! it waits for wakes it.
//!
//! What a job does for one object is whole or not at all. What is refused, or panics, is noted with its reason, holds up
//! no other object and no other job, and is tried again at later heights.
//!
//! Every turn of a job writes at least its own record: a block with work to do is never empty.

mod aggregate;
mod collect;
mod collection;
mod foreground;
mod job;
mod namespace;
mod orphan;
mod owners;
mod progress;
mod queue;
mod slice;

pub(crate) use job::{Job, Rest};
pub use job::{JobError, Stored, decode_job};
pub(crate) use owners::notice;
pub(crate) use progress::Progress;
pub(crate) use queue::{add, add_at, wake};

use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::{ReadError, StateReader};
use crate::system;
use hypermesh_chain::{ObjectKey, Uid};
use serde_json::Value;
use slice::Slice;

/// Writes that the steps after one block make at most (a job may go over by what one object takes).
const MOST_WRITES: usize = 500;
/// Bytes that they read and write at most. A turn of one job has half of both.
const MOST_BYTES: u64 = 8 << 20;
/// Objects that one turn of a job looks at.
const MOST_OBJECTS: usize = 250;
/// Dependents that are listed at once: keys only.
const KEYS: usize = 64;
/// Jobs that are listed at once.
const JOBS: usize = 64;

/// How a job's turn ended.
pub(crate) enum Turn {
    /// It is done, but for what was refused.
    Done,
    /// There is more to do at once.
    More,
    /// It waits to be woken.
    Waits,
}

/// What is left after a step.
pub(crate) struct Left {
    /// A job that does not wait.
    pub work: bool,
    /// One that waits for a height.
    pub retries: bool,
}

/// Nothing of the queue is refused, unless a record of it is none of this crate's.
fn only_reads(fault: Fault) -> ReadError {
    match fault {
        Fault::Read(error) => error,
        Fault::Refused(status) => ReadError(format!("the queue of jobs is damaged: {}", status.message)),
    }
}

/// Does a bounded part of what is to be done.
pub(crate) fn step<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<Left, ReadError> {
    queue::wake_due(execution).map_err(only_reads)?;
    turns(execution).map_err(only_reads)?;
    let any = |collection| Ok(!execution.overlay.scan(&system::range(collection), None, 1)?.is_empty());
    Ok(Left { work: any(system::WORK)?, retries: any(system::RETRIES)? })
}

/// A turn for each job, from the one after the last turn on and around, while there is room.
fn turns<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<(), Fault> {
    let mut room = Slice::new(execution, usize::MAX, MOST_WRITES, MOST_BYTES);
    let first = queue::last_turn(execution)?;
    let mut last = first.clone();
    let rounds = if first.is_some() { 2 } else { 1 };
    for round in 0..rounds {
        let end = first.as_ref().filter(|_| round == 1);
        let mut after = first.clone().filter(|_| round == 0);
        loop {
            let page = execution.overlay.scan(&system::range(system::WORK), after.as_ref(), JOBS)?;
            let full = page.len() == JOBS;
            for (key, _) in page {
                if end.is_some_and(|end| key > *end) {
                    return queue::note_turn(execution, None);
                }
                if !room.has_room(execution) {
                    return queue::note_turn(execution, last.as_ref());
                }
                room.count();
                match turn(execution, &room, &key) {
                    // It can neither be done nor laid aside: none is known of which that holds.
                    Err(Fault::Refused(status)) => {
                        execution.refused(&key, &status);
                        queue::drop_work(execution, key.name())?;
                    }
                    turned => turned?,
                }
                (after, last) = (Some(key.clone()), Some(key));
            }
            if !full {
                break;
            }
        }
    }
    queue::note_turn(execution, None)
}

/// Has the rules of aggregated roles written into them.
pub(crate) fn aggregate<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<(), ReadError> {
    add(execution, Job::Aggregate).map_err(only_reads)
}

/// One turn of a job.
fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    room: &Slice,
    key: &ObjectKey,
) -> Result<(), Fault> {
    // The turn of another job may have changed it, or done with it.
    let Some(record) = execution.overlay.get(key)? else { return Ok(()) };
    let stored = match decode_job(key.name(), &record.body) {
        Ok(stored) => stored,
        Err(error) => {
            execution.refused(key, &hypermesh_api::Status::internal(error));
            return queue::drop_work(execution, key.name());
        }
    };
    let settled = slice::guarded(execution, |execution| {
        let Stored { job, mut progress } = stored.clone();
        progress.renew(execution.block.height.0);
        let share = Slice::new(execution, MOST_OBJECTS, MOST_WRITES / 2, MOST_BYTES / 2);
        let turn = run(execution, &mut share.within(room), &job, &mut progress)?;
        settle(execution, Stored { job, progress }, turn)
    });
    match settled {
        Err(Fault::Refused(status)) => {
            execution.refused(key, &status);
            let mut stored = stored;
            stored.progress.refuse(key, &status);
            queue::lay_aside(execution, stored)
        }
        settled => settled,
    }
}

fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    job: &Job,
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    match job {
        Job::Aggregate => aggregate::turn(execution, slice, progress),
        Job::Collect { uid } => collect::turn(execution, slice, *uid, progress),
        Job::Foreground { uid, key } => foreground::turn(execution, slice, (*uid, key), progress),
        Job::Orphan { uid, key } => orphan::turn(execution, slice, (*uid, key), progress),
        Job::Namespace { name } => namespace::turn(execution, slice, name, progress),
        Job::Collection { rest, .. } => collection::turn(execution, slice, rest, progress),
    }
}

fn settle<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    stored: Stored,
    turn: Turn,
) -> Result<(), Fault> {
    match turn {
        Turn::Done => queue::drop_work(execution, &stored.job.name()),
        Turn::More => queue::work(execution, &stored),
        Turn::Waits => queue::lay_aside(execution, stored),
    }
}

/// The end of a pass over all objects of a job: it is done, unless something was refused.
fn end_of_pass(progress: &Progress) -> Turn {
    if progress.refused.is_empty() { Turn::Done } else { Turn::Waits }
}

/// Walks the dependents of `owner` from where the job stands; false when the slice was at its end before they were.
fn dependents<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    owner: Uid,
    progress: &mut Progress,
    mut act: impl FnMut(&mut Execution<'_, R>, &ObjectKey) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    loop {
        let page = execution.overlay.dependents(owner, progress.key().as_ref(), KEYS)?;
        for key in &page {
            if !slice.has_room(execution) {
                return Ok(false);
            }
            slice.attempt(execution, progress, key, |execution| act(execution, key))?;
            progress.pass(key);
        }
        if page.len() < KEYS {
            return Ok(true);
        }
    }
}

/// The object that a job concerns, if it is still the one with this uid and `finalizer` still holds it: a later deletion
/// may have settled on another way, and the last word counts.
fn held<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    uid: Uid,
    place: &job::Place,
    finalizer: &str,
) -> Result<Option<(ObjectKey, Value)>, Fault> {
    let Some(key) = place.key() else { return Ok(None) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(None);
    };
    let object = crate::verb::decode(&record)?;
    let holds = crate::metadata::finalizers(&object).contains(&finalizer);
    Ok(holds.then_some((key, object)))
}

/// Replaces the finalizers of an object that is still the one with this uid, by those that `left` keeps.
fn release<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    place: &job::Place,
    finalizer: &str,
) -> Result<(), Fault> {
    let Some(key) = place.key() else { return Ok(()) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(());
    };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else { return Ok(()) };
    let mut object = crate::verb::decode(&record)?;
    let left = crate::metadata::finalizers(&object).into_iter().filter(|f| *f != finalizer);
    let left = left.map(str::to_owned).collect();
    crate::metadata::set_finalizers(&mut object, left);
    crate::verb::overwrite(execution, &kind, &key, &record, object)?;
    Ok(())
}
