//! Forwarded ports over WebSocket alone, as libraries speak it (`v4.channel.k8s.io` with `ports` in the query).
//!
//! Of the port with the number n in the query, channel 2n carries data and 2n + 1 what went wrong. The server begins each
//! channel with the port, in two bytes, the lower first. A session is one connection to each port, and ends with the last.
//!
//! Source: `k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go`.

use super::forward::Open;
use super::upload::{Feeder, upload};
use super::websocket::{self, Goodbye, PING, Receiver, SILENCE, Sender, Session, Socket};
use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// What is spoken.
pub(crate) const PROTOCOL: &str = "v4.channel.k8s.io";
/// Ports of one session.
const MOST: usize = 32;
/// Messages that may wait for the client.
const WAITING: usize = 8;

/// The ports that a query names: `ports=80&ports=81`, or `ports=80,81`. 400 for none, or for what is none.
pub(crate) fn asked(query: &Query) -> Result<Vec<u16>, Box<Status>> {
    let bad = |words: String| Box::new(Status::bad_request(words));
    let words = query.all("ports").flat_map(|value| value.split(','));
    let ports = words.map(|word| match word.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(bad(format!("port {word:?} is none: 1 to 65535"))),
    });
    let ports: Vec<u16> = ports.collect::<Result<_, _>>()?;
    match ports.len() {
        0 => Err(bad("query parameter \"ports\" is required".to_owned())),
        1..=MOST => Ok(ports),
        many => Err(bad(format!("{many} ports are named, the limit is {MOST}"))),
    }
}

/// Carries bytes until the last connection has ended, or the client is gone.
pub(crate) async fn carry(
    session: Session<Socket>,
    ports: Vec<u16>,
    open: Open,
    mut closing: watch::Receiver<bool>,
) {
    let Session { stream, .. } = session;
    let (mut sender, mut receiver) = stream.split();
    let (out, outgoing) = mpsc::channel(WAITING);
    let mut connections = JoinSet::new();
    let mut feeders = Vec::new();
    for (n, port) in ports.into_iter().enumerate() {
        let (feeder, body) = upload();
        feeders.push(feeder);
        connections.spawn(connect(Arc::clone(&open), n as u8 * 2, port, body, out.clone()));
    }
    drop(out);
    let ended = tokio::select! {
        ended = downward(&mut sender, outgoing) => ended,
        ended = upward(&mut receiver, feeders) => match ended {
            Ok(()) => return,
            Err(wrong) => Goodbye::Wrong(wrong),
        },
        _ = closing.wait_for(|closing| *closing) => Goodbye::Leaving,
    };
    websocket::close(&mut sender, &mut receiver, ended).await;
}

/// Bytes on a channel.
fn message(channel: u8, bytes: &[u8]) -> Bytes {
    [&[channel], bytes].concat().into()
}

/// One connection, from its making to its end.
async fn connect(open: Open, channel: u8, port: u16, body: super::Upload, out: mpsc::Sender<Bytes>) {
    for begun in [channel, channel + 1] {
        let _ = out.send(message(begun, &port.to_le_bytes())).await;
    }
    let wrong = match open(port, body).await {
        Err(refused) => refused.message,
        Ok(mut body) => loop {
            match body.frame().await {
                None => return,
                Some(Err(error)) => break format!("the connection to the port broke off: {error}"),
                Some(Ok(part)) => {
                    let bytes = part.into_data().unwrap_or_default();
                    if !bytes.is_empty() && out.send(message(channel, &bytes)).await.is_err() {
                        return;
                    }
                }
            }
        },
    };
    let _ = out.send(message(channel + 1, wrong.as_bytes())).await;
}

async fn downward(sender: &mut Sender, mut outgoing: mpsc::Receiver<Bytes>) -> Goodbye {
    let mut ping = tokio::time::interval(PING);
    loop {
        let message = tokio::select! {
            bytes = outgoing.recv() => match bytes {
                Some(bytes) => websocket::binary(bytes),
                None => return Goodbye::Done,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        if sender.send(message).await.is_err() {
            return Goodbye::Failed;
        }
    }
}

async fn upward(receiver: &mut Receiver, feeders: Vec<Feeder>) -> Result<(), String> {
    while let Ok(Some(Ok(message))) = tokio::time::timeout(SILENCE, receiver.next()).await {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Ok(()),
            _ => continue,
        };
        if bytes.is_empty() {
            continue;
        }
        let channel = bytes.get_u8();
        let feeder = feeders.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
        let Some(feeder) = feeder else { return Err(format!("nothing is sent on channel {channel}")) };
        // A connection that has ended takes no more, and the others go on.
        if !bytes.is_empty() {
            let _ = feeder.send(Ok(bytes)).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_query() {
        let of = |text: &str| asked(&Query::parse(text).unwrap());
        assert_eq!(of("ports=80&ports=81,443").unwrap(), [80, 81, 443]);
        for bad in ["", "ports=", "ports=0", "ports=65536", "ports=http", &"ports=1&".repeat(MOST + 1)] {
            assert_eq!(of(bad).unwrap_err().code, 400, "{bad}");
        }
    }
}
