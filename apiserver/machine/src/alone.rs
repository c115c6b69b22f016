//! The thread of a replica that is alone: it takes what waits into one block after another.

use crate::error::MachineError;
use crate::replica::now;
use crate::state::Machine;
use crate::submission::Submission;
use crossbeam_channel::{Receiver, TryRecvError};
use hypermesh_consensus::Limits;
use hypermesh_consensus::solo::{Solo, Step};
use hypermesh_store::{Room, StoreError};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Runs the loop, and says so if it ends by a panic: a replica that is silent must not look ready.
pub(crate) fn run(
    machine: Machine,
    solo: &Solo,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
) {
    let run = AssertUnwindSafe(|| write_loop(machine, solo, receiver, failure));
    if catch_unwind(run).is_ok() {
        return;
    }
    tracing::error!("the replica stops writing: its thread panicked");
    *failure.lock() = Some("the replica's thread panicked; restart the server".to_owned());
    let error = MachineError::Unsupported("the replica stopped after a fault; restart the server");
    for late in receiver.iter() {
        late.waiting.refuse(&error);
    }
}

/// Takes whatever waits into one block after another, without waiting for more: under load blocks grow by themselves.
fn write_loop(
    mut machine: Machine,
    solo: &Solo,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
) {
    let most = Limits::default().requests;
    loop {
        if !machine.has_work() {
            match receiver.recv() {
                Ok(first) => machine.queue.push_back(*first),
                Err(_) => return,
            }
        }
        let mut open = true;
        while machine.queue.len() < most {
            match receiver.try_recv() {
                Ok(next) => machine.queue.push_back(*next),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        if !open && machine.queue.is_empty() {
            return;
        }
        if refuse_when_full(&mut machine) {
            continue;
        }
        match solo.step(&mut machine, now()) {
            Ok(Step::Committed | Step::Idle) => {}
            Err(MachineError::Store(StoreError::DiskFull { available, wanted, .. })) => {
                tracing::warn!(available, wanted, "a block was refused: the disk is full");
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Err(error) => return fail(machine, receiver, failure, &error),
        }
    }
}

/// While the disk has little room, what makes the store grow is refused before it is ordered; deletions go on.
pub(crate) fn refuse_when_full(machine: &mut Machine) -> bool {
    let (available, wanted) = match machine.room() {
        Ok(Room::Low { available, wanted }) => (available, wanted),
        Ok(Room::Enough) => return false,
        Err(error) => {
            tracing::warn!(%error, "the room on the disk cannot be told");
            return false;
        }
    };
    let error = MachineError::Store(StoreError::DiskFull { dir: machine.dir.clone(), available, wanted });
    let (shrinking, growing): (Vec<_>, Vec<_>) = std::mem::take(&mut machine.queue)
        .into_iter()
        .partition(|s| matches!(s.request.method, hypermesh_chain::Method::Delete));
    machine.queue.extend(shrinking);
    for refused in growing {
        refused.waiting.refuse(&error);
    }
    // Work of the state machine itself goes on: emptying and collecting is what makes room.
    !machine.has_work()
}

/// A replica that does not know what it has written must not go on: it answers everyone, and reads stay.
fn fail(
    mut machine: Machine,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
    error: &MachineError,
) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    tracing::error!(error = %text, "the replica stops writing");
    *failure.lock() = Some(text);
    for waiting in machine.queue.drain(..) {
        waiting.waiting.refuse(error);
    }
    for (_, prepared) in std::mem::take(&mut machine.prepared) {
        prepared.refuse(error);
    }
    for late in receiver.iter() {
        late.waiting.refuse(error);
    }
}
