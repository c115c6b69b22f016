//! Connections on which nobody says anything, and which are closed for that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long may nothing be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Before the first byte, of either side.
    pub first: Duration,
    /// After it.
    pub later: Duration,
}

/// A stream that notes when something was last read from it or written to it.
#[derive(Debug)]
pub struct Heard<S> {
    stream: S,
    last: Arc<Last>,
}

/// When something was last said.
#[derive(Debug)]
pub struct Last {
    begun: Instant,
    /// Milliseconds since then, and one; 0: nothing was said yet.
    said: AtomicU64,
}

impl<S> Heard<S> {
    /// Listens to a stream from now on.
    pub fn new(stream: S) -> (Self, Arc<Last>) {
        let last = Arc::new(Last { begun: Instant::now(), said: AtomicU64::new(0) });
        (Self { stream, last: Arc::clone(&last) }, last)
    }
}

impl Last {
    fn say(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.said.store(now.saturating_add(1), Ordering::Relaxed);
    }

    /// Waits until nothing has been said for too long.
    pub async fn silence(&self, limits: Limits) {
        loop {
            let until = match self.said.load(Ordering::Relaxed) {
                0 => self.begun + limits.first,
                said => self.begun + Duration::from_millis(said - 1) + limits.later,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.last.say();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.last.say();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LIMITS: Limits = Limits { first: Duration::from_secs(30), later: Duration::from_secs(900) };

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_at_all_is_given_up_soon() {
        let (_one, other) = tokio::io::duplex(8);
        let (_heard, last) = Heard::new(other);
        let begun = Instant::now();
        last.silence(LIMITS).await;
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn either_side_keeps_it_open() {
        let (mut one, other) = tokio::io::duplex(8);
        let (mut heard, last) = Heard::new(other);
        let begun = Instant::now();
        one.write_all(b"a").await.unwrap();
        heard.read_u8().await.unwrap();
        tokio::select! {
            () = last.silence(LIMITS) => panic!("it was given up after {:?}", begun.elapsed()),
            () = tokio::time::sleep(Duration::from_secs(800)) => {}
        }
        heard.write_all(b"b").await.unwrap();
        last.silence(LIMITS).await;
        assert_eq!(begun.elapsed().as_secs(), 1700);
    }
}
