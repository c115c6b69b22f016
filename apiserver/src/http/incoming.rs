//! The body of a request as it comes, whichever way.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request.
pub(crate) enum Incoming {
    /// Over HTTP/1.1 or HTTP/2.
    Tcp(hyper::body::Incoming),
    /// Over HTTP/3.
    Quic(stoq::http3::Body),
    /// Nothing any more: somebody else has it.
    Taken,
}

impl Incoming {
    /// Takes the body away, to be read for as long as it lasts. `patience` bounds its silence.
    pub fn take(&mut self, patience: std::time::Duration) -> Self {
        let mut body = std::mem::replace(self, Self::Taken);
        if let Self::Quic(body) = &mut body {
            body.set_patience(Some(patience));
        }
        body
    }
}

/// A body broke off, for the reason that the transport gives.
pub(crate) type BrokenOff = Box<dyn std::error::Error + Send + Sync>;

impl Body for Incoming {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Tcp(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Quic(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Taken => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Tcp(body) => body.is_end_stream(),
            Self::Quic(body) => body.is_end_stream(),
            Self::Taken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Tcp(body) => body.size_hint(),
            Self::Quic(body) => body.size_hint(),
            Self::Taken => SizeHint::with_exact(0),
        }
    }
}
