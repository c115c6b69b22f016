//! A body that is read as it is sent: its bytes may be many, and may not be there yet.

use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Bytes;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a frame, at most.
const FRAME: usize = 64 * 1024;

/// What is sent.
pub struct Upload {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    left: Option<u64>,
    buffer: Vec<u8>,
}

impl Upload {
    /// All that `reader` gives; `length` is how much that is, where it is known.
    pub fn new(reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        Self { reader: Box::pin(reader), left: length, buffer: vec![0; FRAME] }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { reader, left, buffer } = &mut *self;
        // A file that grows is sent as long as it was: its length was announced.
        let most = left.map_or(FRAME, |left| usize::try_from(left).unwrap_or(FRAME).min(FRAME));
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut read = ReadBuf::new(buffer.get_mut(..most).unwrap_or_default());
        ready!(reader.as_mut().poll_read(cx, &mut read))?;
        let bytes = Bytes::copy_from_slice(read.filled());
        if let Some(left) = left {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        match (bytes.is_empty(), left) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (true, None) => Poll::Ready(None),
            (true, Some(_)) => Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was sent",
            )))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn as_long_as_it_was() {
        let all = vec![7; 3 * FRAME + 1];
        let of = |length| Upload::new(io::Cursor::new(all.clone()), length).collect();
        assert_eq!(of(None).await.unwrap().to_bytes().len(), all.len());
        assert_eq!(of(Some(10)).await.unwrap().to_bytes().len(), 10);
        assert_eq!(of(Some(all.len() as u64 + 1)).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
