//! Statements, in order, each way.

use super::Session;
use crate::class::Class;
use crate::end::End;
use crate::reader::Reader;
use bytes::Bytes;
use stoq::SendStream;
use tokio::time::{Instant, sleep, timeout};

/// Bytes that are written at once.
const BATCH: usize = 64 << 10;

pub(super) async fn write(session: Session, mut send: SendStream) -> Result<(), End> {
    let (link, stall) = (&session.link, session.shared.limits.stall);
    loop {
        let frames = link.outbox.statements(BATCH);
        if frames.is_empty() {
            if session.wait(Class::Statements).await {
                continue;
            }
            // That it arrived is known when the other end has acknowledged all of it.
            send.finish().map_err(|_| session.unwritten())?;
            let _ = send.stopped().await;
            return Ok(());
        }
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        let mut chunks: Vec<Bytes> =
            frames.iter().flat_map(|frame| [frame.head.clone(), frame.body.clone()]).collect();
        match timeout(stall, send.write_all_chunks(&mut chunks)).await {
            Err(_) => return Err(session.stalled(stall)),
            Ok(Err(_)) => return Err(session.unwritten()),
            Ok(Ok(())) => link.counts.sent.add(Class::Statements, frames.len() as u64, bytes),
        }
    }
}

pub(super) async fn read(session: Session, mut reader: Reader) -> Result<(), End> {
    let (link, shared) = (&session.link, &session.shared);
    while let Some(length) = reader.head(&shared.limits, None).await? {
        let Some(room) = link.windows.room(Class::Statements, length).await else { break };
        let body = reader.body(&shared.limits).await?;
        let message = session.decode(Class::Statements, &body, &reader)?;
        shared.hand_over(link.key, message, room);
        let pause = link.rate.lock().take(Instant::now());
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    // The other end has said all it had to say, and closes the connection when everything has arrived.
    std::future::pending().await
}
