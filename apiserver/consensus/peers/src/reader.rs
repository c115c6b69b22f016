//! Reads frames off a stream: no faster than there is room for them, and no slower than is honest.

use crate::end::End;
use crate::frame::{CHUNK, Decoder};
use crate::settings::Limits;
use bytes::Bytes;
use std::time::Duration;
use stoq::{Connection, RecvStream};
use tokio::time::{Instant, timeout_at};

/// The frames of one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    recv: RecvStream,
    decoder: Decoder,
    connection: Connection,
    what: &'static str,
}

impl Reader {
    /// `most`: the longest frame, in bytes without its head. `what` is on it, for people.
    pub(crate) fn new(recv: RecvStream, most: usize, connection: &Connection, what: &'static str) -> Self {
        Self { recv, decoder: Decoder::new(most), connection: connection.clone(), what }
    }

    /// The byte that says what is on the stream.
    pub(crate) async fn tag(&mut self, patience: Duration) -> Result<u8, End> {
        let chunk = timeout_at(Instant::now() + patience, self.recv.read_chunk(1, true));
        match chunk.await {
            Err(_) => Err(End::Slow("a stream")),
            Ok(Ok(Some(chunk))) => chunk.bytes.first().copied().ok_or(End::OutOfPlace("a stream is empty")),
            Ok(Ok(None)) => Err(End::OutOfPlace("a stream is empty")),
            Ok(Err(error)) => Err(self.failed(&error)),
        }
    }

    /// The length of the next frame; nothing if the stream ended before one began. A frame is waited for as long as it
    /// takes, or until `begun` if that is given; one that has begun must go on.
    pub(crate) async fn head(
        &mut self,
        limits: &Limits,
        begun: Option<Instant>,
    ) -> Result<Option<usize>, End> {
        let mut deadline = begun;
        loop {
            if let Some(length) = self.decoder.announced()? {
                return Ok(Some(length));
            }
            if self.decoder.missing().is_some() {
                deadline = deadline.or_else(|| Some(Instant::now() + limits.frame));
            }
            if !self.more(deadline).await? {
                return match self.decoder.missing() {
                    None => Ok(None),
                    Some(_) => Err(self.malformed("it ends within a frame")),
                };
            }
        }
    }

    /// The frame that was announced.
    pub(crate) async fn body(&mut self, limits: &Limits) -> Result<Bytes, End> {
        let deadline = Instant::now() + limits.patience(self.decoder.missing().unwrap_or(0));
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            if !self.more(Some(deadline)).await? {
                return Err(self.malformed("it ends within a frame"));
            }
        }
    }

    /// That nothing more comes.
    pub(crate) async fn end(&mut self, limits: &Limits) -> Result<(), End> {
        let deadline = Some(Instant::now() + limits.frame);
        if self.decoder.missing().is_some() || self.more(deadline).await? {
            return Err(self.malformed("more than one frame came"));
        }
        Ok(())
    }

    pub(crate) fn malformed(&self, why: impl Into<String>) -> End {
        End::Malformed { stream: self.what, why: why.into() }
    }

    /// From here on, frames of other lengths: those that were read already are judged by it, too.
    pub(crate) fn becomes(self, most: usize, what: &'static str) -> Self {
        Self { decoder: self.decoder.with_limit(most), what, ..self }
    }

    /// Reads what is there; false at the end of the stream.
    async fn more(&mut self, deadline: Option<Instant>) -> Result<bool, End> {
        let chunk = self.recv.read_chunk(CHUNK, true);
        let chunk = match deadline {
            None => chunk.await,
            Some(deadline) => timeout_at(deadline, chunk).await.map_err(|_| End::Slow("a frame"))?,
        };
        match chunk {
            Ok(Some(chunk)) => {
                self.decoder.push(&chunk.bytes);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// A stream fails with its connection, or because the other end gave it up.
    fn failed(&self, _error: &dyn std::error::Error) -> End {
        lost(&self.connection).unwrap_or(End::OutOfPlace(GIVEN_UP))
    }
}

const GIVEN_UP: &str = "a stream was given up";

impl End {
    /// Whether the other end took back what it had begun to say on a stream.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::OutOfPlace(why) if *why == GIVEN_UP)
    }
}

/// How a connection ended, if it did.
pub(crate) fn lost(connection: &Connection) -> Option<End> {
    connection.close_reason().map(End::Closed)
}
