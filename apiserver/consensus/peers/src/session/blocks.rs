//! Blocks, each on a stream of its own: one that is lost or late holds up nothing else.

use super::Session;
use crate::class::Class;
use crate::end::End;
use crate::frame::{Frame, Stream, limit};
use crate::reader::{Reader, lost};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use stoq::RecvStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// What a stream is reset with whose block came too late to be of use.
const LATE: u32 = 1;

pub(super) async fn write(session: Session) -> Result<(), End> {
    let most = session.shared.limits.block_streams.max(1) as usize;
    let (mut flying, mut priority) = (FuturesUnordered::new(), -1_i32);
    loop {
        while flying.len() < most
            && let Some(frame) = session.link.outbox.block()
        {
            flying.push(fly(&session, frame, priority));
            // The one that was begun first goes first.
            priority = priority.checked_sub(1).unwrap_or(-1);
        }
        tokio::select! {
            Some(landed) = flying.next(), if !flying.is_empty() => landed?,
            more = session.wait(Class::Blocks), if flying.len() < most => if !more { return Ok(()) },
        }
    }
}

/// Sends a block, for as long as that is worth it.
async fn fly(session: &Session, frame: Frame, priority: i32) -> Result<(), End> {
    let deadline = Instant::now() + session.shared.limits.patience(frame.len());
    let arrived = fly_until(session, &frame, priority, deadline).await;
    let link = &session.link;
    link.outbox.block_done(&frame);
    if arrived {
        link.counts.sent.add(Class::Blocks, 1, frame.len());
    } else {
        link.counts.drop(Class::Blocks, 1);
    }
    lost(&session.connection).map_or(Ok(()), Err)
}

/// Whether it arrived.
async fn fly_until(session: &Session, frame: &Frame, priority: i32, deadline: Instant) -> bool {
    let Ok(Ok(mut send)) = timeout_at(deadline, session.connection.open_uni()).await else { return false };
    let _ = send.set_priority(priority);
    let sent = timeout_at(deadline, async {
        let tag = Bytes::copy_from_slice(&[Stream::Block.tag()]);
        let mut chunks = [tag, frame.head.clone(), frame.body.clone()];
        let written = send.write_all_chunks(&mut chunks).await.is_ok() && send.finish().is_ok();
        written && matches!(send.stopped().await, Ok(None))
    });
    let arrived = sent.await.unwrap_or(false);
    if !arrived {
        // Dropped, it would end as if it were whole.
        let _ = send.reset(LATE.into());
    }
    arrived
}

pub(super) async fn read(session: Session) -> Result<(), End> {
    let mut landing = JoinSet::new();
    loop {
        tokio::select! {
            // No more are open at a time than the connection grants.
            stream = session.connection.accept_uni() => {
                let recv = stream.map_err(End::Closed)?;
                landing.spawn(land(session.clone(), recv));
            }
            Some(landed) = landing.join_next(), if !landing.is_empty() => match landed {
                Ok(landed) => landed?,
                Err(_) => return Err(End::Receiver),
            },
        }
    }
}

async fn land(session: Session, recv: RecvStream) -> Result<(), End> {
    match land_whole(&session, recv).await {
        // The sender thought better of it.
        Err(end) if end.is_given_up() => Ok(()),
        ended => ended,
    }
}

async fn land_whole(session: &Session, recv: RecvStream) -> Result<(), End> {
    let (shared, link) = (&session.shared, &session.link);
    let mut reader = Reader::new(recv, limit(Class::Blocks), &session.connection, "a block");
    if Stream::of_tag(reader.tag(shared.limits.frame).await?) != Some(Stream::Block) {
        return Err(End::OutOfPlace("a stream in one direction carries no block"));
    }
    let begun = Instant::now() + shared.limits.frame;
    let Some(length) = reader.head(&shared.limits, Some(begun)).await? else {
        return Err(reader.malformed("it is empty"));
    };
    let Some(room) = link.windows.room(Class::Blocks, length).await else { return Ok(()) };
    let body = reader.body(&shared.limits).await?;
    reader.end(&shared.limits).await?;
    let message = session.decode(Class::Blocks, &body, &reader)?;
    drop(body);
    shared.hand_over(link.key, message, room);
    Ok(())
}
