//! One connection to a port of an instance, from inside its network.

use super::{Answer, Desk, Refusal, failed, streamed};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hypermesh_stream::Instance;
use std::sync::Arc;
use stoq::http3::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

/// What is read at once.
const PIECE: usize = 16 << 10;

pub(super) async fn answer(
    desk: &Desk,
    instance: &Instance,
    port: u16,
    mut body: Body,
) -> Result<Answer, Refusal> {
    let view = desk.view(instance)?;
    if view.sandbox.is_none() {
        return Err(failed(409, "Conflict", format!("the instance {} does not run", instance.name)));
    }
    let stream = view.place.dial(None, port).await;
    let stream = stream.map_err(|why| failed(502, "ServiceUnavailable", why))?;
    let (mut from, mut to) = stream.into_split();
    let (sink, answer) = streamed("application/octet-stream");
    // The answer ends when the port says nothing more: no other sender of it may be left.
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    tokio::spawn(async move {
        let mut piece = vec![0; PIECE];
        loop {
            let read = tokio::select! {
                read = from.read(&mut piece) => read,
                () = sink.closed() => {
                    told.notify_one();
                    break;
                }
            };
            let sent = match read {
                Ok(0) => break,
                Ok(read) => Ok(Bytes::copy_from_slice(piece.get(..read).unwrap_or_default())),
                Err(error) => Err(error.into()),
            };
            let broken = sent.is_err();
            let unread = sink.send(sent).await.is_err();
            if unread || broken {
                told.notify_one();
                break;
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                // Who does not read any more is gone; that the port says nothing more is no reason to end.
                () = gone.notified() => break,
            };
            let Some(Ok(frame)) = frame else { break };
            let Ok(data) = frame.into_data() else { continue };
            if to.write_all(&data).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    });
    Ok(answer)
}
