//! An exec or attach over bare SPDY, for clients that fall back to it: kubectl does whenever an upgrade to WebSocket is
//! refused, and shows what it is then told.
//!
//! The client opens a stream for errors and one for each of stdin, stdout, stderr and resize that it asked for. At the end
//! the stream of errors carries a Status, and all end.
//!
//! Source: `k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go`, protocol v4.

use super::upload::Feeder;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_stream::{Channel, Decoder, Frame, Terminal, data_frames};
use hypermesh_wire::spdy::{self, Encoder, Frame as Spdy};
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use stoq::http3::Body;
use tokio::sync::mpsc;

/// What is spoken.
pub(crate) const PROTOCOL: &str = "v4.channel.k8s.io";
/// How long the client may take to open its streams.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest size of a terminal, in bytes.
const MOST_RESIZE: usize = 1024;

/// The streams of a session, by what they carry.
type Streams = HashMap<Channel, u32>;

/// What the client sends, as frames.
struct Incoming<S> {
    bytes: S,
    decoder: spdy::Decoder,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Incoming<S> {
    /// The next frame; `None` when the client is gone, or speaks no SPDY.
    async fn next(&mut self) -> Option<Spdy> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => self.decoder.push(&self.bytes.next().await?.ok()?),
                Err(wrong) => {
                    tracing::debug!(%wrong, "a client broke SPDY");
                    return None;
                }
            }
        }
    }
}

/// Carries a session to its end: `incoming` is what the client sends, `out` what it is sent.
pub(crate) async fn carry(
    incoming: impl Stream<Item = io::Result<Bytes>> + Send,
    out: mpsc::Sender<Bytes>,
    terminal: &Terminal,
    up: Feeder,
    down: Body,
) {
    let bytes = std::pin::pin!(incoming);
    let mut incoming = Incoming { bytes, decoder: spdy::Decoder::default() };
    let opened = tokio::time::timeout(PATIENCE, open(&mut incoming, &out, terminal)).await;
    let Ok(Some(streams)) = opened else { return };
    tokio::select! {
        () = downward(down, &out, &streams) => {}
        () = upward(&mut incoming, &out, &streams, up) => {}
    }
}

/// The channels that a client opens streams for.
fn wanted(terminal: &Terminal) -> Vec<Channel> {
    let all = [
        (Channel::Error, true),
        (Channel::Stdin, terminal.stdin),
        (Channel::Stdout, terminal.stdout),
        (Channel::Stderr, terminal.stderr),
        (Channel::Resize, terminal.tty),
    ];
    all.into_iter().filter(|(_, wanted)| *wanted).map(|(channel, _)| channel).collect()
}

async fn open<S: Stream<Item = io::Result<Bytes>> + Unpin>(
    incoming: &mut Incoming<S>,
    out: &mpsc::Sender<Bytes>,
    terminal: &Terminal,
) -> Option<Streams> {
    let (wanted, mut streams, mut encoder) = (wanted(terminal), Streams::new(), Encoder::default());
    while streams.len() < wanted.len() {
        let (stream, headers) = match incoming.next().await? {
            Spdy::Open { stream, headers, .. } => (stream, headers),
            Spdy::Ping(number) => {
                out.send(spdy::ping(number)).await.ok()?;
                continue;
            }
            _ => continue,
        };
        let kind = headers.iter().find(|(name, _)| name == "streamtype").map(|(_, value)| value.as_str());
        let channel = match kind {
            Some("error") => Channel::Error,
            Some("stdin") => Channel::Stdin,
            Some("stdout") => Channel::Stdout,
            Some("stderr") => Channel::Stderr,
            Some("resize") => Channel::Resize,
            _ => return None,
        };
        if !wanted.contains(&channel) || streams.insert(channel, stream).is_some() {
            return None;
        }
        out.send(encoder.reply(stream)).await.ok()?;
    }
    Some(streams)
}

/// What the client sends, to the agent. Ends when the client does.
async fn upward<S: Stream<Item = io::Result<Bytes>> + Unpin>(
    incoming: &mut Incoming<S>,
    out: &mpsc::Sender<Bytes>,
    streams: &Streams,
    up: Feeder,
) {
    let is = |channel, stream: u32| streams.get(&channel) == Some(&stream);
    let mut sizes = BytesMut::new();
    while let Some(frame) = incoming.next().await {
        let mut frames = Vec::new();
        match frame {
            Spdy::Data { stream, fin, bytes } if is(Channel::Stdin, stream) => {
                frames.extend(data_frames(Channel::Stdin, bytes));
                frames.extend(fin.then_some(Frame::Close(Channel::Stdin)));
            }
            Spdy::Data { stream, bytes, .. } if is(Channel::Resize, stream) => {
                sizes.extend_from_slice(&bytes);
                while let Some(end) = memchr::memchr(b'\n', &sizes) {
                    frames.push(Frame::Data(Channel::Resize, sizes.split_to(end + 1).freeze()));
                }
                if sizes.len() > MOST_RESIZE {
                    return;
                }
            }
            Spdy::Ping(number) if out.send(spdy::ping(number)).await.is_err() => return,
            _ => {}
        }
        for frame in frames {
            // An agent that takes no more has ended, or will say so.
            if up.send(Ok(frame.encode())).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What the agent sends, to the client; at the end, how it ended.
async fn downward(mut down: Body, out: &mpsc::Sender<Bytes>, streams: &Streams) {
    let mut decoder = Decoder::default();
    let mut status = None;
    let broken = 'all: loop {
        match down.frame().await {
            None => break decoder.finish().err().map(|cut| cut.to_string()),
            Some(Err(error)) => break Some(error.to_string()),
            Some(Ok(part)) => decoder.push(&part.into_data().unwrap_or_default()),
        }
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Data(Channel::Error, bytes))) => status = Some(bytes),
                Ok(Some(Frame::Data(channel, bytes))) => {
                    if let Some(stream) = streams.get(&channel)
                        && out.send(spdy::data(*stream, &bytes, false)).await.is_err()
                    {
                        return;
                    }
                }
                Ok(Some(Frame::Close(_))) => {}
                Err(wrong) => break 'all Some(wrong.to_string()),
            }
        }
    };
    let status = status.unwrap_or_else(|| {
        let why = broken.unwrap_or_else(|| "it ended without saying how the command ended".to_owned());
        let status = Status::internal(format!("the stream from the node's agent broke off: {why}"));
        serde_json::to_vec(&status).unwrap_or_default().into()
    });
    for (channel, stream) in streams {
        let last = if *channel == Channel::Error { status.as_ref() } else { &[] };
        if out.send(spdy::data(*stream, last, true)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_opened_for_what_was_asked() {
        let asked = Terminal { stdin: true, stdout: true, tty: true, ..Terminal::default() };
        assert_eq!(wanted(&asked), [Channel::Error, Channel::Stdin, Channel::Stdout, Channel::Resize]);
    }

    #[tokio::test]
    async fn the_end_is_told_on_every_stream() {
        let (out, mut sent) = mpsc::channel(8);
        let streams = Streams::from([(Channel::Error, 1), (Channel::Stdout, 3)]);
        downward(Body::empty(), &out, &streams).await;
        drop(out);
        let mut all = Vec::new();
        while let Some(bytes) = sent.recv().await {
            all.extend_from_slice(&bytes);
        }
        let says = |words: &[u8]| all.windows(words.len()).any(|window| window == words);
        assert!(says(b"broke off") && says(&spdy::data(3, &[], true)));
    }
}
