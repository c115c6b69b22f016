//! Bodies of requests and replies: bytes that are there, or a stream of them.
//!
//! Bytes that are there can be sent twice; a stream cannot, so nothing here reads one to its end unless asked to.

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body.
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

/// In the extensions of a request: its body is a stream that goes on after the request was taken, as that of an `exec`.
/// A signature covers such a request without its body, and nobody sends it twice.
#[derive(Clone, Copy, Debug)]
pub struct Streamed;

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It is longer than the reader takes.
    #[error("it has more than {limit} bytes")]
    TooLong {
        /// Bytes that are taken.
        limit: usize,
    },
    /// It broke off.
    #[error("it broke off")]
    Broken(#[source] BoxError),
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// Bytes as they come, trailers too.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    /// The same body once more, if it is bytes that are there.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Kind::Full(bytes) => Some(Self(Kind::Full(bytes.clone()))),
            Kind::Stream(_) => None,
        }
    }

    /// All of it, if it has at most `limit` bytes.
    pub async fn collect(self, limit: usize) -> Result<Bytes, CollectError> {
        let too_long = CollectError::TooLong { limit };
        match self.0 {
            Kind::Full(bytes) => {
                Some(bytes.unwrap_or_default()).filter(|bytes| bytes.len() <= limit).ok_or(too_long)
            }
            Kind::Stream(stream) => collect(stream, limit).await,
        }
    }
}

async fn collect(mut stream: UnsyncBoxBody<Bytes, BoxError>, limit: usize) -> Result<Bytes, CollectError> {
    let mut all = BytesMut::new();
    while let Some(frame) = stream.frame().await {
        let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() else { continue };
        if all.len() + data.len() > limit {
            return Err(CollectError::TooLong { limit });
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Full(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<kube::client::Body> for Body {
    fn from(body: kube::client::Body) -> Self {
        // kube hands out bytes that are there only through a stream of one frame.
        Self::stream(body)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}
