//! A request's body that is written as there is something to say.

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use hypermesh_client::Body;
use std::convert::Infallible;
use tokio::sync::mpsc;

/// Pieces that wait to be sent, at most.
const WAITING: usize = 16;

/// A body, and where what it is made of goes. While the server takes none, who sends waits; the body ends when all
/// senders have.
pub fn body() -> (mpsc::Sender<Bytes>, Body) {
    let (send, waiting) = mpsc::channel::<Bytes>(WAITING);
    let frames = stream::unfold(waiting, |mut waiting| async move {
        let bytes = waiting.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), waiting))
    });
    (send, Body::stream(StreamBody::new(frames)))
}
