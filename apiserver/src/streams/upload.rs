//! The body of a request to an agent, fed piece by piece by whoever reads the client.

use bytes::Bytes;
use http_body::{Body, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that may wait for the agent: beyond them, the client waits.
const WAITING: usize = 4;

/// A body. It ends when its feeder is dropped, and breaks off where that sends an error.
#[derive(Debug)]
pub(crate) struct Upload(mpsc::Receiver<io::Result<Bytes>>);

/// Feeds an [`Upload`].
pub(crate) type Feeder = mpsc::Sender<io::Result<Bytes>>;

/// A body and its feeder.
pub(crate) fn upload() -> (Feeder, Upload) {
    let (feeder, pieces) = mpsc::channel(WAITING);
    (feeder, Upload(pieces))
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
