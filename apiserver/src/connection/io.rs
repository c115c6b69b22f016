//! A connection's bytes, watched: a head that does not arrive and a client that reads nothing end it.

use super::activity::Activity;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bounds of [`Watched`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From the first byte of a request's head to its last. `None` on HTTP/2, where bytes between requests are usual
    /// and pings find out who is gone.
    pub head: Option<Duration>,
    /// How long nothing of what is to be written may be taken.
    pub stall: Duration,
}

/// A connection's bytes.
pub(crate) struct Watched<S> {
    inner: S,
    activity: Arc<Activity>,
    bounds: Bounds,
    /// Runs while a head has begun and has not ended: which request's it is, and its bound.
    head: Option<(u64, Pin<Box<Sleep>>)>,
    /// Runs while nothing can be written.
    stall: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches `inner`.
    pub fn new(inner: S, activity: Arc<Activity>, bounds: Bounds) -> Self {
        Self { inner, activity, bounds, head: None, stall: None }
    }

    /// Lets a result of the inner writer pass, unless it has been pending for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let bound = self.bounds.stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        match stall.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the client took nothing of what it was sent"))),
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let Some(bound) = self.bounds.head else { return result };
        let (busy, requests) = self.activity.progress();
        if busy {
            self.head = None;
            return result;
        }
        self.head.take_if(|(request, _)| *request != requests);
        if result.is_ready() {
            if buffer.filled().len() > before && self.head.is_none() {
                self.head = Some((requests, Box::pin(tokio::time::sleep(bound))));
            }
            return result;
        }
        let late = self.head.as_mut().is_some_and(|(_, head)| head.as_mut().poll(cx).is_ready());
        if late { Poll::Ready(Err(timed_out("the head of a request did not arrive"))) } else { Poll::Pending }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.in_time(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.in_time(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.in_time(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.in_time(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const BOUNDS: Bounds = Bounds { head: Some(Duration::from_secs(10)), stall: Duration::from_secs(60) };

    fn pair(bounds: Bounds) -> (tokio::io::DuplexStream, Watched<tokio::io::DuplexStream>, Arc<Activity>) {
        let (client, server) = tokio::io::duplex(16);
        let activity = Activity::new();
        (client, Watched::new(server, Arc::clone(&activity), bounds), activity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_ends_in_time_however_it_trickles() {
        let (mut client, mut watched, _) = pair(BOUNDS);
        let begun = tokio::time::Instant::now();
        let trickle = tokio::spawn(async move {
            loop {
                client.write_all(b"G").await.unwrap();
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let mut buffer = [0; 8];
        let error = loop {
            match watched.read(&mut buffer).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        trickle.abort();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_a_body_are_not_a_head() {
        let (mut client, mut watched, activity) = pair(BOUNDS);
        let mut buffer = [0; 8];
        let silent = tokio::time::timeout(Duration::from_secs(1000), watched.read(&mut buffer)).await;
        assert!(silent.is_err());
        client.write_all(b"head").await.unwrap();
        assert_eq!(watched.read(&mut buffer).await.unwrap(), 4);
        let request = activity.begin();
        let body = tokio::time::timeout(Duration::from_secs(1000), watched.read(&mut buffer)).await;
        assert!(body.is_err(), "a body has a bound of its own");
        drop(request);
        client.write_all(b"head").await.unwrap();
        assert_eq!(watched.read(&mut buffer).await.unwrap(), 4);
        drop(activity.begin());
        let idle = tokio::time::timeout(Duration::from_secs(1000), watched.read(&mut buffer)).await;
        assert!(idle.is_err(), "the head ended before anyone looked");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_cut_and_who_reads_slowly_is_not() {
        let (mut client, mut watched, _) = pair(BOUNDS);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 4];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                client.read_exact(&mut buffer).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(500)).await;
        });
        let begun = tokio::time::Instant::now();
        let error = watched.write_all(&[0; 64]).await.unwrap_err();
        reader.abort();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), Duration::from_secs(4 * 50 + 60));
    }
}
