//! The body of a request as a service reads it, or of an answer as a client does.
//!
//! Nothing is read ahead of the reader beyond QUIC's windows: who reads slowly slows the sender. Dropping a body
//! before its end tells the peer to stop.

use crate::connection::Connection;
use crate::http3::error::{BodyError, Fault};
use crate::http3::transport::RecvHalf;
use bytes::{Buf, Bytes};
use futures_util::task::noop_waker;
use h3::error::{Code, StreamError};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A body that comes over a stream: data, then perhaps trailers.
pub struct Body(Option<Box<Streaming>>);

/// The receiving half of a request stream, at either end.
pub(crate) enum Half {
    Server(h3::server::RequestStream<RecvHalf, Bytes>),
    Client(h3::client::RequestStream<RecvHalf, Bytes>),
}

struct Streaming {
    half: Half,
    connection: Connection,
    stage: Stage,
    /// What was there at the first look.
    first: Option<Frame<Bytes>>,
    announced: Option<u64>,
    seen: u64,
    most: Option<u64>,
    stall: Option<Stall>,
    /// What must live as long as the body.
    keep: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    Over,
}

/// What bounds a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) announced: Option<u64>,
    pub(crate) most: Option<u64>,
    pub(crate) stall: Option<Duration>,
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// Waits so long for more of it from now on, whatever was agreed before; `None`: without end. For a body that may be
    /// silent for long, such as what a person types.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        if let Some(streaming) = &mut self.0 {
            streaming.stall = patience.map(Stall::new);
        }
    }

    /// Looks once whether the stream has already ended, so that an empty body is known to be empty.
    pub(crate) fn of(half: Half, connection: &Connection, bounds: Bounds) -> Result<Self, BodyError> {
        let mut streaming = Box::new(Streaming {
            half,
            connection: connection.clone(),
            stage: Stage::Data,
            first: None,
            announced: bounds.announced,
            seen: 0,
            most: bounds.most,
            stall: bounds.stall.map(Stall::new),
            keep: None,
        });
        let waker = noop_waker();
        match streaming.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(None) => Ok(Self(None)),
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(frame))) => {
                streaming.first = Some(frame);
                Ok(Self(Some(streaming)))
            }
            Poll::Pending => Ok(Self(Some(streaming))),
        }
    }

    pub(crate) fn keeping(mut self, keep: impl Any + Send + Sync) -> Self {
        if let Some(streaming) = &mut self.0 {
            streaming.keep = Some(Box::new(keep));
        }
        self
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let polled = self.poll_stream(cx);
        match &polled {
            Poll::Pending => {
                if let Some(after) = self.stall.as_mut().and_then(|stall| stall.over(cx)) {
                    return Poll::Ready(Some(Err(self.fail(BodyError::Stalled { after }))));
                }
            }
            Poll::Ready(_) => self.stall.iter_mut().for_each(Stall::heard),
        }
        polled
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.stage == Stage::Data {
            match ready!(self.half.poll_data(cx)) {
                Err(error) => return Poll::Ready(Some(Err(self.broken(error)))),
                Ok(Some(data)) => {
                    return Poll::Ready(Some(match self.count(data.len() as u64) {
                        Ok(()) => Ok(Frame::data(data)),
                        Err(error) => Err(self.fail(error)),
                    }));
                }
                Ok(None) => self.stage = Stage::Trailers,
            }
        }
        if self.stage == Stage::Trailers {
            let trailers = match ready!(self.half.poll_trailers(cx)) {
                Err(error) => return Poll::Ready(Some(Err(self.broken(error)))),
                Ok(trailers) => trailers,
            };
            self.stage = Stage::Over;
            if let Some(announced) = self.announced.filter(|announced| *announced != self.seen) {
                return Poll::Ready(Some(Err(self.fail(BodyError::Length { announced }))));
            }
            if let Some(trailers) = trailers {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        Poll::Ready(None)
    }

    fn count(&mut self, length: u64) -> Result<(), BodyError> {
        self.seen = self.seen.saturating_add(length);
        if let Some(most) = self.most.filter(|most| self.seen > *most) {
            return Err(BodyError::TooLarge { most });
        }
        match self.announced.filter(|announced| self.seen > *announced) {
            Some(announced) => Err(BodyError::Length { announced }),
            None => Ok(()),
        }
    }

    fn broken(&mut self, error: StreamError) -> BodyError {
        let fault = Fault::of(error, &self.connection);
        self.fail(fault.into())
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.stage = Stage::Over;
        let code = match error {
            BodyError::TooLarge { .. } | BodyError::Stalled { .. } => Code::H3_EXCESSIVE_LOAD,
            _ => Code::H3_MESSAGE_ERROR,
        };
        self.half.stop(code);
        error
    }
}

/// How long a peer may say nothing: each word of its begins the wait anew.
struct Stall {
    after: Duration,
    /// Begun when it was first waited for.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(after: Duration) -> Self {
        Self { after, sleep: None }
    }

    /// How long was waited, if that is too long.
    fn over(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        let after = self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        sleep.as_mut().poll(cx).is_ready().then_some(after)
    }

    fn heard(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(Instant::now() + self.after);
        }
    }
}

impl Half {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        fn whole(data: Option<impl Buf>) -> Option<Bytes> {
            data.map(|mut data| data.copy_to_bytes(data.remaining()))
        }
        match self {
            Self::Server(half) => half.poll_recv_data(cx).map_ok(whole),
            Self::Client(half) => half.poll_recv_data(cx).map_ok(whole),
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, StreamError>> {
        match self {
            Self::Server(half) => half.poll_recv_trailers(cx),
            Self::Client(half) => half.poll_recv_trailers(cx),
        }
    }

    pub(crate) fn stop(&mut self, code: Code) {
        match self {
            Self::Server(half) => half.stop_sending(code),
            Self::Client(half) => half.stop_sending(code),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(streaming) = &mut self.0 else { return Poll::Ready(None) };
        let polled = ready!(streaming.poll(cx));
        if polled.is_none() {
            self.0 = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|streaming| streaming.stage == Stage::Over && streaming.first.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(streaming) => match streaming.announced {
                Some(announced) => {
                    let given = streaming.seen
                        - streaming
                            .first
                            .as_ref()
                            .and_then(Frame::data_ref)
                            .map_or(0, |data| data.len() as u64);
                    SizeHint::with_exact(announced.saturating_sub(given))
                }
                None => SizeHint::default(),
            },
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Body(empty)"),
            Some(streaming) => write!(f, "Body({} bytes seen)", streaming.seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn each_word_begins_the_wait_anew() {
        let (after, almost) = (Duration::from_secs(10), Duration::from_millis(9_999));
        let mut stall = Stall::new(after);
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        // Before anybody waits, no time passes.
        advance(after).await;
        assert_eq!(stall.over(&mut cx), None);
        for _ in 0..3 {
            advance(almost).await;
            assert_eq!(stall.over(&mut cx), None);
            stall.heard();
        }
        advance(almost).await;
        assert_eq!(stall.over(&mut cx), None);
        advance(Duration::from_millis(2)).await;
        assert_eq!(stall.over(&mut cx), Some(after));
    }
}
