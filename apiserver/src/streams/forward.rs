//! Forwarded ports: streams of SPDY, each pair of them a connection that an agent makes.
//!
//! A client opens two streams a connection, both with the port and a number of the request: one for data, one on which the
//! server says what went wrong. SPDY comes through WebSocket (`SPDY/3.1+portforward.k8s.io`) from today's kubectl, and as it
//! is from older clients.
//!
//! Source: `k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go`.

use super::upload::{Feeder, Upload, upload};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_wire::spdy::{self, Decoder, Encoder, Frame};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use stoq::http3::Body;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

/// The subprotocol of WebSocket by which SPDY is tunnelled.
pub(crate) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// What is spoken on SPDY.
pub(crate) const PROTOCOL: &str = "portforward.k8s.io";

/// Connections of one session at a time.
const MOST_CONNECTIONS: usize = 256;
/// Streams that wait for their other half.
const MOST_HALVES: usize = 64;

/// Makes a connection to a port of the instance.
pub(crate) type Open =
    Arc<dyn Fn(u16, Upload) -> BoxFuture<'static, Result<Body, Box<Status>>> + Send + Sync>;

/// A stream that waits for the other of its pair.
struct Half {
    stream: u32,
    is_data: bool,
    port: u16,
}

/// One session.
struct Forwarding {
    out: mpsc::Sender<Bytes>,
    open: Open,
    encoder: Encoder,
    halves: HashMap<String, Half>,
    /// Who feeds each stream of data; none once the client has sent all.
    feeders: HashMap<u32, Option<Feeder>>,
    connections: JoinSet<()>,
    /// The streams of each connection: data and error.
    pairs: HashMap<Id, (u32, u32)>,
}

/// Serves a session: `incoming` is what the client sends, `out` what it is sent. Ends when either does, or the bytes are no
/// SPDY, of which it then tells.
pub(crate) async fn serve(
    incoming: impl Stream<Item = io::Result<Bytes>> + Send,
    out: mpsc::Sender<Bytes>,
    open: Open,
) -> Result<(), spdy::SpdyError> {
    let mut incoming = std::pin::pin!(incoming);
    let mut decoder = Decoder::default();
    let mut session = Forwarding {
        out,
        open,
        encoder: Encoder::default(),
        halves: HashMap::new(),
        feeders: HashMap::new(),
        connections: JoinSet::new(),
        pairs: HashMap::new(),
    };
    loop {
        let chunk = tokio::select! {
            chunk = incoming.next() => chunk,
            Some(ended) = session.connections.join_next_with_id(), if !session.connections.is_empty() => {
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(panicked) => panicked.id(),
                };
                if let Some((data, _)) = session.pairs.remove(&id) {
                    session.feeders.remove(&data);
                }
                continue;
            }
        };
        let Some(Ok(chunk)) = chunk else { return Ok(()) };
        decoder.push(&chunk);
        while let Some(frame) = decoder.next_frame()? {
            if session.take(frame).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The client is gone.
struct Gone;

impl Forwarding {
    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.out.send(bytes).await.map_err(|_| Gone)
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Gone> {
        match frame {
            Frame::Open { stream, headers, .. } => self.opened(stream, &headers).await,
            Frame::Data { stream, fin, bytes } => {
                if let Some(place) = self.feeders.get_mut(&stream) {
                    if let Some(feeder) = place
                        && !bytes.is_empty()
                        && feeder.send(Ok(bytes)).await.is_err()
                    {
                        *place = None;
                    }
                    if fin {
                        *place = None;
                    }
                }
                Ok(())
            }
            Frame::Reset(stream) => {
                if let Some(Some(feeder)) = self.feeders.remove(&stream) {
                    let gone =
                        io::Error::new(io::ErrorKind::ConnectionReset, "the client gave the connection up");
                    // An agent that takes nothing just now notices when the connection's task is aborted.
                    let _ = feeder.try_send(Err(gone));
                }
                self.halves.retain(|_, half| half.stream != stream);
                Ok(())
            }
            Frame::Ping(number) => self.send(spdy::ping(number)).await,
            Frame::GoAway | Frame::Other => Ok(()),
        }
    }

    /// A stream is there: the other half of a connection, or the first.
    async fn opened(&mut self, stream: u32, headers: &[(String, String)]) -> Result<(), Gone> {
        let header = |wanted: &str| {
            headers
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        let port = header("port").parse::<u16>().ok().filter(|port| *port > 0);
        let is_data = match header("streamtype") {
            "data" => Some(true),
            "error" => Some(false),
            _ => None,
        };
        let (Some(port), Some(is_data)) = (port, is_data) else {
            return self.send(spdy::reset(stream, spdy::PROTOCOL_ERROR)).await;
        };
        if self.connections.len() >= MOST_CONNECTIONS || self.halves.len() >= MOST_HALVES {
            return self.send(spdy::reset(stream, spdy::REFUSED_STREAM)).await;
        }
        let reply = self.encoder.reply(stream);
        self.send(reply).await?;
        let own = Half { stream, is_data, port };
        let Some(other) = self.halves.remove(header("requestid")) else {
            self.halves.insert(header("requestid").to_owned(), own);
            return Ok(());
        };
        let (data, error) = match (own.is_data, other.is_data) {
            (true, false) => (own.stream, other.stream),
            (false, true) => (other.stream, own.stream),
            _ => return self.send(spdy::reset(stream, spdy::PROTOCOL_ERROR)).await,
        };
        if own.port != other.port {
            return self.send(spdy::reset(stream, spdy::PROTOCOL_ERROR)).await;
        }
        let (feeder, body) = upload();
        self.feeders.insert(data, Some(feeder));
        let connection = connect(Arc::clone(&self.open), port, body, self.out.clone(), (data, error));
        let id = self.connections.spawn(connection).id();
        self.pairs.insert(id, (data, error));
        Ok(())
    }
}

/// One connection, from its making to its end.
async fn connect(open: Open, port: u16, body: Upload, out: mpsc::Sender<Bytes>, (data, error): (u32, u32)) {
    let words = match open(port, body).await {
        Ok(body) => relay(body, &out, data).await,
        Err(refused) => Some(refused.message),
    };
    // A client that is gone takes no more of either.
    let _ = out.send(spdy::data(data, &[], true)).await;
    let _ = out.send(spdy::data(error, words.unwrap_or_default().as_bytes(), true)).await;
}

/// What the port sends; what went wrong, if something did.
async fn relay(mut body: Body, out: &mpsc::Sender<Bytes>, data: u32) -> Option<String> {
    while let Some(part) = body.frame().await {
        match part {
            Ok(part) => {
                let bytes = part.into_data().unwrap_or_default();
                if !bytes.is_empty() && out.send(spdy::data(data, &bytes, false)).await.is_err() {
                    return None;
                }
            }
            Err(error) => return Some(format!("the connection to the port broke off: {error}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What a client sends that forwards one port: both streams of a connection, a few bytes, a ping, a reset, the end.
    const SESSION: &[u8] = include_bytes!("../../../e2e/fuzz/corpus/spdy/forward");

    fn refusing() -> Open {
        Arc::new(|port, _| {
            Box::pin(async move { Err(Box::new(Status::bad_request(format!("nothing listens on {port}")))) })
        })
    }

    /// What a session is answered, until nothing more comes.
    async fn answers(chunks: Vec<io::Result<Bytes>>, open: Open) -> (Result<(), spdy::SpdyError>, Vec<u8>) {
        let (out, mut outgoing) = mpsc::channel(64);
        // A client that has said all stays to hear what comes.
        let incoming = futures_util::stream::iter(chunks).chain(futures_util::stream::pending());
        let serving = serve(incoming, out, open);
        let ended = tokio::time::timeout(Duration::from_millis(200), serving).await.unwrap_or(Ok(()));
        let mut sent = Vec::new();
        while let Ok(bytes) = outgoing.try_recv() {
            sent.extend_from_slice(&bytes);
        }
        (ended, sent)
    }

    fn says(sent: &[u8], words: &[u8]) -> bool {
        sent.windows(words.len()).any(|window| window == words)
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_agent_refuses_is_said_on_the_stream_of_errors() {
        // The first byte tells the fuzz target how to cut.
        let session: Vec<io::Result<Bytes>> =
            SESSION[1..].chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let (ended, sent) = answers(session, refusing()).await;
        assert_eq!(ended, Ok(()));
        assert!(says(&sent, b"nothing listens on 8080"));
        assert!(says(&sent, &spdy::data(3, &[], true)), "the stream of data ends");
        assert!(says(&sent, &spdy::ping(1)), "pings are answered");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_spdy_ends_the_session_with_words() {
        let (ended, _) = answers(vec![Ok(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"))], refusing()).await;
        assert!(ended.is_err());
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(answers(vec![Err(broken)], refusing()).await.0, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_carries_what_the_port_sends_and_then_both_streams_end() {
        let open: Open = Arc::new(|_, _| Box::pin(async { Ok(Body::empty()) }));
        let (_, sent) = answers(vec![Ok(Bytes::from_static(&SESSION[1..]))], open).await;
        assert!(says(&sent, &spdy::data(3, &[], true)) && says(&sent, &spdy::data(1, &[], true)));
    }
}
