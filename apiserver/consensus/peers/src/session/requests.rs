//! Requests, in order, each way; the other way of each stream says how many were taken, a byte for up to 255.
//!
//! What was not taken when a connection ends is sent again on the next, so a request may arrive twice and is not lost
//! while both replicas live. A receiver that holds a window full of requests is sent no more.

use super::{SECOND, Session};
use crate::class::Class;
use crate::end::End;
use crate::frame::{CHUNK, Stream, limit};
use crate::reader::{Reader, lost};
use bytes::Bytes;
use stoq::{RecvStream, SendStream};
use tokio::time::timeout;

pub(super) async fn write(session: Session) -> Result<(), End> {
    let (send, recv) = session.connection.open_bi().await.map_err(End::Closed)?;
    let _ = send.set_priority(SECOND);
    tokio::select! {
        ended = push(&session, send) => ended,
        end = count(&session, recv) => Err(end),
    }
}

async fn push(session: &Session, mut send: SendStream) -> Result<(), End> {
    let link = &session.link;
    let mut tag = [Bytes::copy_from_slice(&[Stream::Requests.tag()])];
    send.write_all_chunks(&mut tag).await.map_err(|_| session.unwritten())?;
    loop {
        let Some(frame) = link.outbox.request() else {
            if session.wait(Class::Requests).await {
                continue;
            }
            let _ = send.finish();
            return Ok(());
        };
        let bytes = frame.len();
        let mut chunks = [frame.head, frame.body];
        // For as long as it takes: whoever is full says so by not reading.
        send.write_all_chunks(&mut chunks).await.map_err(|_| session.unwritten())?;
        link.counts.sent.add(Class::Requests, 1, bytes);
    }
}

/// Hears how many were taken; why that ended.
async fn count(session: &Session, mut recv: RecvStream) -> End {
    loop {
        match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => {
                let taken = chunk.bytes.iter().map(|byte| u64::from(*byte)).sum();
                if session.link.outbox.acknowledge(taken).is_err() {
                    return End::OutOfPlace("more requests are acknowledged than were sent");
                }
            }
            Ok(None) if session.is_draining() => std::future::pending().await,
            _ => return lost(&session.connection).unwrap_or(End::OutOfPlace("requests are not taken")),
        }
    }
}

/// Takes the peer's stream of requests; it has one.
pub(super) async fn accept(session: Session) -> Result<(), End> {
    let (send, recv) = session.connection.accept_bi().await.map_err(End::Closed)?;
    let limits = &session.shared.limits;
    let mut reader = Reader::new(recv, limit(Class::Requests), &session.connection, "requests");
    if Stream::of_tag(reader.tag(limits.frame).await?) != Some(Stream::Requests) {
        return Err(End::OutOfPlace("a stream in both directions carries no requests"));
    }
    tokio::select! {
        ended = read(&session, reader, send) => ended,
        another = session.connection.accept_bi() => Err(match another {
            Ok(_) => End::OutOfPlace("a second stream of requests was opened"),
            Err(closed) => End::Closed(closed),
        }),
    }
}

async fn read(session: &Session, mut reader: Reader, mut send: SendStream) -> Result<(), End> {
    let (shared, link) = (&session.shared, &session.link);
    let stall = shared.limits.stall;
    while let Some(length) = reader.head(&shared.limits, None).await? {
        let Some(room) = link.windows.room(Class::Requests, length).await else { break };
        let body = reader.body(&shared.limits).await?;
        let message = session.decode(Class::Requests, &body, &reader)?;
        drop(body);
        shared.hand_over(link.key, message, room);
        match timeout(stall, send.write_all(&[1])).await {
            Err(_) => return Err(session.stalled(stall)),
            Ok(Err(_)) => return Err(session.unwritten()),
            Ok(Ok(())) => {}
        }
    }
    // The stream stays, for what was counted is still on its way.
    let _ = send.finish();
    std::future::pending().await
}
