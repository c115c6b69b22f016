//! An exec or attach over WebSocket: messages of the client are frames of the agent, and back.

use super::upload::Feeder;
use super::websocket::{self, Goodbye, PING, Receiver, SILENCE, Sender, Session, Socket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_stream::{Channel, Decoder, Frame};
use std::sync::atomic::{AtomicBool, Ordering};
use stoq::http3::Body;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;

/// The subprotocols that are spoken, best first. The older has no way to end stdin.
pub(crate) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// Carries frames both ways until either side ends.
pub(crate) async fn carry(
    session: Session<Socket>,
    protocol: &'static str,
    up: Feeder,
    down: Body,
    mut closing: watch::Receiver<bool>,
) {
    let Session { stream, .. } = session;
    // What keeps the request in progress lives as long as this future.
    let (mut sender, mut receiver) = stream.split();
    let heard = AtomicBool::new(true);
    let ended = tokio::select! {
        ended = downward(&mut sender, down, protocol == PROTOCOLS[0], &heard) => ended,
        ended = upward(&mut receiver, up, &heard) => match ended {
            // The client is gone, or wants no more: so is its request to the agent.
            Ok(()) => return,
            Err(wrong) => Goodbye::Wrong(wrong),
        },
        _ = closing.wait_for(|closing| *closing) => Goodbye::Leaving,
    };
    websocket::close(&mut sender, &mut receiver, ended).await;
}

/// What the client sends, to the agent. Ends when the client does.
async fn upward(receiver: &mut Receiver, up: Feeder, heard: &AtomicBool) -> Result<(), String> {
    while let Some(Ok(message)) = receiver.next().await {
        heard.store(true, Ordering::Relaxed);
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => return Ok(()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        // A message without bytes says nothing; the reference passes it over.
        if bytes.is_empty() {
            continue;
        }
        for frame in Frame::of_message(bytes).map_err(|wrong| wrong.to_string())? {
            let theirs = matches!(
                frame,
                Frame::Data(Channel::Stdin | Channel::Resize, _) | Frame::Close(Channel::Stdin)
            );
            // An agent that takes no more has ended, or will say so.
            if theirs && up.send(Ok(frame.encode())).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
    Ok(())
}

/// What the agent sends, to the client; at the end, how it ended.
async fn downward(sender: &mut Sender, mut down: Body, closes: bool, heard: &AtomicBool) -> Goodbye {
    let mut decoder = Decoder::default();
    let mut ping = tokio::time::interval(PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut silent) = (false, 0);
    let broken = loop {
        let part = tokio::select! {
            part = down.frame() => part,
            _ = ping.tick() => {
                silent = if heard.swap(false, Ordering::Relaxed) { 0 } else { silent + 1 };
                if PING * silent >= SILENCE || sender.send(Message::Ping(Bytes::new())).await.is_err() {
                    return Goodbye::Failed;
                }
                continue;
            }
        };
        match part {
            None => break decoder.finish().err().map(|cut| cut.to_string()),
            Some(Err(error)) => break Some(error.to_string()),
            Some(Ok(frame)) => decoder.push(&frame.into_data().unwrap_or_default()),
        }
        match forward(sender, &mut decoder, closes, &mut told).await {
            Ok(()) => {}
            Err(Stop::Client) => return Goodbye::Failed,
            Err(Stop::Agent(why)) => break Some(why),
        }
    };
    if !told {
        let why = broken.unwrap_or_else(|| "it ended without saying how the command ended".to_owned());
        let status = Status::internal(format!("the stream from the node's agent broke off: {why}"));
        let status = serde_json::to_vec(&status).unwrap_or_default();
        let last = Frame::Data(Channel::Error, status.into());
        if sender.send(websocket::binary(last.message())).await.is_err() {
            return Goodbye::Failed;
        }
    }
    Goodbye::Done
}

/// Why nothing more is forwarded.
enum Stop {
    Client,
    Agent(String),
}

/// Sends the frames that are there.
async fn forward(
    sender: &mut Sender,
    decoder: &mut Decoder,
    closes: bool,
    told: &mut bool,
) -> Result<(), Stop> {
    while let Some(frame) = decoder.next_frame().map_err(|wrong| Stop::Agent(wrong.to_string()))? {
        match &frame {
            Frame::Data(Channel::Error, _) => *told = true,
            Frame::Data(Channel::Stdout | Channel::Stderr, _) => {}
            Frame::Close(_) if closes => {}
            // What only a client says.
            _ => continue,
        }
        sender.send(websocket::binary(frame.message())).await.map_err(|_| Stop::Client)?;
    }
    Ok(())
}
