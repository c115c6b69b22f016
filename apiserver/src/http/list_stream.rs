//! Sends a large list in parts.
//!
//! Parts are made by a thread of the blocking pool, in turns: as long as the client takes them, a thread makes them;
//! when it does not, the thread goes and the list waits without one. It waits for a bounded time, since it holds a
//! snapshot of the store.

use super::context::Api;
use super::list::{Plan, Walked};
use super::outgoing::{Outgoing, Part};
use crate::budget::Reservation;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hypermesh_store::StoreError;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Bytes that are gathered before a part is sent.
const CHUNK: usize = 64 * 1024;
/// Room for that, and for the object that exceeds it.
const ROOM: usize = CHUNK + 4096;
/// Objects that are looked at before it is looked whether anyone still waits.
const LOOKED_AT: usize = 10_000;
/// Parts that may wait for a slow client; production goes on when half of them are gone.
const WAITING: usize = 8;
/// What a list holds while it is sent, in bytes.
pub(super) const MEMORY: usize = (WAITING + 2) * CHUNK;
/// How long a list of any size may take, and how much longer for each part: 64 KiB a second is the least.
const LEAST: Duration = Duration::from_secs(60);
const EACH: Duration = Duration::from_secs(1);

/// A list that is being made.
struct Making {
    plan: Plan,
    walked: Walked,
    made: Made,
}

/// What was made of a list and not sent.
struct Made {
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Bytes to be sent.
    ready: Bytes,
    /// Whether all of it was made.
    ended: bool,
}

/// Why a turn of making parts ended.
enum Turn {
    /// All is sent.
    Done,
    /// The client has enough for now.
    Full,
    /// The client is gone.
    Gone,
}

/// Begins to send a list of which `first` was made and `walked` is where it goes on.
pub(super) fn begin(
    plan: Plan,
    first: Vec<u8>,
    walked: Walked,
    gzip: bool,
    room: Reservation,
    api: &Api,
) -> Outgoing {
    let (sender, parts) = mpsc::channel(WAITING);
    let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut making = Making { plan, walked, made: Made { gzip, ready: Bytes::new(), ended: false } };
    let (turns, stall) = (Arc::clone(&api.lists), api.stall);
    tokio::spawn(async move {
        let _room = room;
        // A sender that is dropped before it has said that this is all breaks the reply off.
        if let Err(error) = making.made.take_up(first) {
            tracing::error!(%error, "a list could not be compressed");
            return;
        }
        send(making, sender, &turns, stall).await;
    });
    Outgoing::parts(parts)
}

async fn send(mut making: Making, sender: mpsc::Sender<Part>, turns: &Semaphore, stall: Duration) {
    let begun = Instant::now();
    let mut parts = 0;
    loop {
        let turn = turns.acquire().await;
        let theirs = sender.clone();
        let made = tokio::task::spawn_blocking(move || {
            let result = making.turn(&theirs);
            (making, result)
        });
        let Ok((back, result)) = made.await else { return };
        drop(turn);
        making = back;
        match result {
            Ok(Turn::Done | Turn::Gone) => return,
            Ok(Turn::Full) => {}
            Err(error) => {
                tracing::error!(%error, "a list broke off");
                return;
            }
        }
        parts += WAITING as u32 / 2;
        let left = (LEAST + EACH * parts).saturating_sub(begun.elapsed()).min(stall);
        match tokio::time::timeout(left, sender.reserve_many(WAITING / 2)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::info!("a list was broken off: its client takes it too slowly");
                return;
            }
        }
    }
}

/// A list cannot be made to its end.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    #[error("it cannot be compressed")]
    Compress(#[from] std::io::Error),
}

impl Making {
    /// Sends parts until the client has enough or all are sent.
    fn turn(&mut self, sender: &mpsc::Sender<Part>) -> Result<Turn, MakeError> {
        let made = &mut self.made;
        loop {
            if let Some(turn) = made.send(sender) {
                return Ok(turn);
            }
            // A search that finds nothing sends nothing: it would not notice that nobody waits.
            if sender.is_closed() {
                return Ok(Turn::Gone);
            }
            let mut part = Vec::with_capacity(ROOM);
            if self.walked.more {
                let (begun, written) = (self.walked.last.take(), self.walked.written);
                let mut failed = None;
                // One pass makes part after part, for as long as there is room for them.
                let mut enough = |part: &mut Vec<u8>| {
                    let full = std::mem::replace(part, Vec::with_capacity(ROOM));
                    match made.take_up(full) {
                        Ok(()) if made.send(sender).is_none() => ControlFlow::Continue(()),
                        Ok(()) => ControlFlow::Break(()),
                        Err(error) => {
                            failed = Some(error);
                            ControlFlow::Break(())
                        }
                    }
                };
                self.walked = self.plan.walk_on(begun, written, CHUNK, LOOKED_AT, &mut part, &mut enough)?;
                if let Some(error) = failed {
                    return Err(error.into());
                }
            } else {
                part = self.plan.suffix(&self.walked)?;
                made.ended = true;
            }
            // A walk that stopped because there was no room for more leaves nothing here.
            if made.ended || !part.is_empty() {
                made.take_up(part)?;
            }
        }
    }
}

impl Made {
    /// Sends what is ready. `None` when all of it is sent and there is room for more.
    fn send(&mut self, sender: &mpsc::Sender<Part>) -> Option<Turn> {
        while !self.ready.is_empty() {
            match sender.try_reserve() {
                // Sliced, so that a large object does not fill the queue with several of its size.
                Ok(place) => place.send(Part::Bytes(self.ready.split_to(self.ready.len().min(CHUNK)))),
                Err(mpsc::error::TrySendError::Full(())) => return Some(Turn::Full),
                Err(mpsc::error::TrySendError::Closed(())) => return Some(Turn::Gone),
            }
        }
        if !self.ended {
            return None;
        }
        Some(match sender.try_send(Part::End) {
            Ok(()) => Turn::Done,
            Err(mpsc::error::TrySendError::Full(_)) => Turn::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Turn::Gone,
        })
    }

    /// Makes `part` ready to be sent, or adds it to what is being compressed.
    fn take_up(&mut self, part: Vec<u8>) -> std::io::Result<()> {
        let Some(encoder) = &mut self.gzip else {
            self.ready = part.into();
            return Ok(());
        };
        encoder.write_all(&part)?;
        if self.ended {
            if let Some(encoder) = self.gzip.take() {
                self.ready = encoder.finish()?.into();
            }
        } else if encoder.get_ref().len() >= CHUNK {
            self.ready = std::mem::take(encoder.get_mut()).into();
        }
        Ok(())
    }
}
