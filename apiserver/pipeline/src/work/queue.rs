//! Where jobs lie: those to be done, those that wait for a write, those that try again at a height.
//!
//! A job lies in `~/work` or in `~/waiting`, never in both. One that waits because something was refused has a record
//! in `~/retries` too, named by height and job, so that a block finds those that are due without looking at others.

use super::job::{Job, Stored, decode_job};
use super::progress::Progress;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::system;
use hypermesh_api::Status;
use hypermesh_chain::{Facts, ObjectKey, Record};
use std::sync::Arc;

/// Jobs that are due and are woken after one block.
const MOST_DUE: usize = 64;

/// Adds a job, or has one start over.
pub(crate) fn add<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>, job: Job) -> Result<(), Fault> {
    add_at(execution, job, Progress::default())
}

/// Adds a job that starts from somewhere.
pub(crate) fn add_at<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    job: Job,
    progress: Progress,
) -> Result<(), Fault> {
    take_waiting(execution, &job.name())?;
    work(execution, &Stored { job, progress })
}

/// Wakes a job that waits.
pub(crate) fn wake<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<(), Fault> {
    let Some(record) = take_waiting(execution, name)? else { return Ok(()) };
    put(execution, system::WORK, name, record.body.clone())
}

/// Puts a job where the next blocks do of it what they can.
pub(super) fn work<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    stored: &Stored,
) -> Result<(), Fault> {
    let body = stored.encode().map_err(Status::internal)?;
    put(execution, system::WORK, &stored.job.name(), body.into())
}

/// Lays a job aside until it is woken, or its height has come.
pub(super) fn lay_aside<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    mut stored: Stored,
) -> Result<(), Fault> {
    let name = stored.job.name();
    stored.progress.wait(execution.block.height.0);
    let body = stored.encode().map_err(Status::internal)?;
    take(execution, system::WORK, &name)?;
    put(execution, system::WAITING, &name, body.into())?;
    if stored.progress.retry > 0 {
        put(execution, system::RETRIES, &retry_name(stored.progress.retry, &name), "{}".into())?;
    }
    Ok(())
}

/// Takes a job from those to be done.
pub(super) fn drop_work<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<(), Fault> {
    take(execution, system::WORK, name).map(drop)
}

/// Wakes the jobs whose height has come.
pub(super) fn wake_due<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<(), Fault> {
    let page = execution.overlay.scan(&system::range(system::RETRIES), None, MOST_DUE)?;
    for (key, _) in page {
        let due =
            key.name().split_once('/').and_then(|(height, job)| Some((height.parse::<u64>().ok()?, job)));
        match due {
            Some((height, _)) if height > execution.block.height.0 => break,
            Some((_, job)) => wake(execution, job)?,
            None => {}
        }
        // What named no job that waits is of no use any more.
        take(execution, system::RETRIES, key.name())?;
    }
    Ok(())
}

/// Which job had the last turn when not all had one.
pub(super) fn last_turn<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
) -> Result<Option<ObjectKey>, Fault> {
    let Some(key) = system::key(system::CLUSTER, system::LAST_TURN) else { return Ok(None) };
    let Some(record) = execution.overlay.get(&key)? else { return Ok(None) };
    let name: Option<String> = serde_json::from_slice(&record.body).ok();
    Ok(name.and_then(|name| system::key(system::WORK, &name)))
}

/// Notes which job had the last turn, or that all had one.
pub(super) fn note_turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    last: Option<&ObjectKey>,
) -> Result<(), Fault> {
    match last {
        Some(last) => {
            let body = serde_json::to_vec(last.name()).map_err(Status::internal)?;
            put(execution, system::CLUSTER, system::LAST_TURN, body.into())
        }
        None => take(execution, system::CLUSTER, system::LAST_TURN).map(drop),
    }
}

fn retry_name(height: u64, job: &str) -> String {
    format!("{height:020}/{job}")
}

fn take_waiting<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<Option<Arc<Record>>, Fault> {
    let Some(record) = take(execution, system::WAITING, name)? else { return Ok(None) };
    let retry = decode_job(name, &record.body).map_or(0, |stored| stored.progress.retry);
    if retry > 0 {
        take(execution, system::RETRIES, &retry_name(retry, name))?;
    }
    Ok(Some(record))
}

fn put<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    collection: &'static str,
    name: &str,
    body: bytes::Bytes,
) -> Result<(), Fault> {
    let key =
        system::key(collection, name).ok_or_else(|| Status::internal("a job's name holds a zero byte"))?;
    let before = execution.overlay.get(&key)?;
    if before.as_ref().is_some_and(|before| before.body == body) {
        return Ok(());
    }
    let revision = execution.overlay.next_revision();
    execution.overlay.put(key, Record { revision, salt: Vec::new(), facts: Facts::default(), body }, before);
    Ok(())
}

/// Takes a record away; what it was.
fn take<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    collection: &'static str,
    name: &str,
) -> Result<Option<Arc<Record>>, Fault> {
    let Some(key) = system::key(collection, name) else { return Ok(None) };
    let Some(record) = execution.overlay.get(&key)? else { return Ok(None) };
    let last = Record { revision: execution.overlay.next_revision(), ..(*record).clone() };
    execution.overlay.delete(key, last, Arc::clone(&record));
    Ok(Some(record))
}
