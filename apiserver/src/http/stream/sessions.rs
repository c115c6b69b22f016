//! Requests that become something else: WebSocket, SPDY, or frames on the request itself.

use super::{Asking, handed_on, plain_form, relay};
use crate::http::Exchange;
use crate::http::outgoing::Outgoing;
use crate::http::who::Who;
use crate::streams::forward::{self, Open};
use crate::streams::websocket::{self, Goodbye, PING, Session, Upgrade};
use crate::streams::{Place, ports, shell, terminal, upload};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_stream::{Route, STREAM};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

/// Messages that may wait for a client that forwards ports.
const WAITING: usize = 8;
/// Bytes of SPDY that are read at once.
const READ: usize = 32 * 1024;

/// How a client wants a session carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// On the request itself, as what this names.
    Plain(&'static str),
    /// On the connection, which becomes a WebSocket.
    WebSocket,
    /// On the connection, which becomes SPDY.
    Spdy,
}

impl Form {
    /// The form that a request for a session asks for; `None` for what is no session. 400 for a request that asks for none.
    pub fn of(head: &Parts, route: &Route) -> Result<Option<Self>, Box<Status>> {
        if !matches!(route, Route::Exec(..) | Route::Attach(..) | Route::PortForward(..)) {
            return Ok(None);
        }
        if let Some(form) = plain_form(head, route)? {
            return Ok(Some(Self::Plain(form)));
        }
        if websocket::is_websocket(head) {
            return Ok(Some(Self::WebSocket));
        }
        if websocket::is_asked(head, "SPDY/3.1") {
            return Ok(Some(Self::Spdy));
        }
        let words = format!(
            "Upgrade request required: GET with Upgrade: websocket over HTTP/1.1, or POST with {STREAM}"
        );
        Err(Box::new(Status::bad_request(words)))
    }
}

/// An exec, an attach, or forwarded ports.
pub(super) async fn answer(
    asking: Asking,
    form: Form,
    who: &Who,
    exchange: &mut Exchange<'_>,
) -> Result<Response<Outgoing>, Box<Status>> {
    let head = exchange.head;
    let place = asking.api.room.enter(who.caller.clone())?;
    let forwards = matches!(asking.route, Route::PortForward(..));
    match form {
        Form::Plain(form) => {
            let answer = asking.ask(handed_on(exchange)).await?;
            let mut response = relay(answer, true).map(|body| body.keeping(place));
            response.headers_mut().insert(STREAM, HeaderValue::from_static(form));
            Ok(response)
        }
        Form::WebSocket if forwards => tunnel(asking, head, place),
        Form::WebSocket => terminal_over_websocket(asking, head, place).await,
        Form::Spdy if forwards => spdy(asking, head, place),
        Form::Spdy => terminal_over_spdy(asking, head, place).await,
    }
}

/// An exec or attach over bare SPDY.
async fn terminal_over_spdy(
    asking: Asking,
    head: &Parts,
    place: Place,
) -> Result<Response<Outgoing>, Box<Status>> {
    let response = accept_spdy(&head.headers, shell::PROTOCOL)?;
    let upgrade = Upgrade::of(head)?;
    let (Route::Exec(_, terminal) | Route::Attach(_, terminal)) = &asking.route else {
        return Err(Box::new(Status::unknown_path()));
    };
    let (feeder, body) = upload::upload();
    let down = asking.ask(body).await?.into_body();
    let (session, terminal, mut closing) = (upgrade.begin(), terminal.clone(), asking.api.closing.clone());
    tokio::spawn(async move {
        let _place = place;
        let Some(session) = session.await else { return };
        let serving = bare(session, move |incoming, out| async move {
            shell::carry(incoming, out, &terminal, feeder, down).await;
        });
        tokio::select! {
            () = serving => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    });
    Ok(response)
}

async fn terminal_over_websocket(
    asking: Asking,
    head: &Parts,
    place: Place,
) -> Result<Response<Outgoing>, Box<Status>> {
    let protocol = websocket::subprotocol(&head.headers, &terminal::PROTOCOLS)?;
    let response = websocket::accept(&head.headers, Some(protocol), Outgoing::empty())?;
    let upgrade = Upgrade::of(head)?;
    let (feeder, body) = upload::upload();
    let down = asking.ask(body).await?.into_body();
    let (session, closing) = (upgrade.begin(), asking.api.closing.clone());
    tokio::spawn(async move {
        let _place = place;
        if let Some(session) = session.await {
            terminal::carry(session.websocket().await, protocol, feeder, down, closing).await;
        }
    });
    Ok(response)
}

/// Makes connections to the instance's ports.
fn opener(asking: Asking) -> Open {
    let asking = Arc::new(asking);
    Arc::new(move |port, body| {
        let asking = Arc::clone(&asking);
        Box::pin(async move {
            let route = asking.route.clone().with_port(port);
            let agents = super::agents(&asking.api)?;
            let answer = agents.ask(&asking.node, &asking.api.alive, &route, &asking.caller, body).await?;
            Ok(answer.into_body())
        })
    })
}

/// SPDY through WebSocket, or channels of it alone.
fn tunnel(asking: Asking, head: &Parts, place: Place) -> Result<Response<Outgoing>, Box<Status>> {
    let offered = [forward::TUNNEL, ports::PROTOCOL];
    let protocol = websocket::subprotocol(&head.headers, &offered)?;
    let named = if protocol == ports::PROTOCOL {
        Some(ports::asked(&Query::parse(head.uri.query().unwrap_or_default())?)?)
    } else {
        None
    };
    let response = websocket::accept(&head.headers, Some(protocol), Outgoing::empty())?;
    let session = Upgrade::of(head)?.begin();
    let closing = asking.api.closing.clone();
    let open = opener(asking);
    tokio::spawn(async move {
        let _place = place;
        let Some(session) = session.await else { return };
        let session = session.websocket().await;
        match named {
            Some(ports) => ports::carry(session, ports, open, closing).await,
            None => tunnelled(session, open, closing).await,
        }
    });
    Ok(response)
}

async fn tunnelled(session: Session<websocket::Socket>, open: Open, mut closing: watch::Receiver<bool>) {
    let Session { stream, .. } = session;
    let (mut sender, mut receiver) = stream.split();
    let (out, mut outgoing) = mpsc::channel::<Bytes>(WAITING);
    let writing = async {
        let mut ping = tokio::time::interval(PING);
        loop {
            let message = tokio::select! {
                bytes = outgoing.recv() => match bytes {
                    Some(bytes) => websocket::binary(bytes),
                    None => return,
                },
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            if sender.send(message).await.is_err() {
                return;
            }
        }
    };
    let silence = websocket::SILENCE;
    let incoming = futures_util::stream::unfold(&mut receiver, |receiver| async move {
        loop {
            let message = match tokio::time::timeout(silence, receiver.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Some((Err(io::Error::other(error)), receiver)),
                // Whoever does not even answer pings is gone.
                Ok(None) | Err(_) => return None,
            };
            match message {
                Message::Binary(bytes) => return Some((Ok(bytes), receiver)),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    });
    let ended = tokio::select! {
        served = forward::serve(incoming, out, open) => match served {
            Ok(()) => Goodbye::Done,
            Err(wrong) => Goodbye::Wrong(wrong.to_string()),
        },
        () = writing => Goodbye::Failed,
        _ = closing.wait_for(|closing| *closing) => Goodbye::Leaving,
    };
    websocket::close(&mut sender, &mut receiver, ended).await;
}

/// SPDY as it is, for clients from before WebSocket.
fn spdy(asking: Asking, head: &Parts, place: Place) -> Result<Response<Outgoing>, Box<Status>> {
    let response = accept_spdy(&head.headers, forward::PROTOCOL)?;
    let session = Upgrade::of(head)?.begin();
    let mut closing = asking.api.closing.clone();
    let open = opener(asking);
    tokio::spawn(async move {
        let _place = place;
        let Some(session) = session.await else { return };
        let serving = bare(session, move |incoming, out| async move {
            if let Err(wrong) = forward::serve(incoming, out, open).await {
                tracing::debug!(%wrong, "a client that forwards ports broke SPDY");
            }
        });
        tokio::select! {
            () = serving => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    });
    Ok(response)
}

/// The answer that accepts SPDY; 403 for a client that does not offer what is spoken on it, as in the reference.
fn accept_spdy(headers: &HeaderMap, protocol: &'static str) -> Result<Response<Outgoing>, Box<Status>> {
    const VERSION: &str = "x-stream-protocol-version";
    let lines = headers.get_all(VERSION).iter().filter_map(|line| line.to_str().ok());
    if !lines.flat_map(|line| line.split(',')).any(|word| word.trim() == protocol) {
        let words = format!("{VERSION} has to offer {protocol}");
        return Err(Box::new(Status::failure(403, "Forbidden", words)));
    }
    let mut response = Response::new(Outgoing::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(VERSION, HeaderValue::from_static(protocol));
    Ok(response)
}

/// What a client sends on a connection that was upgraded and has no form of its own.
type Bare = futures_util::stream::BoxStream<'static, io::Result<Bytes>>;

/// Serves a session of which `serve` is given what comes and where to send. What was sent last is waited for.
async fn bare<F>(session: Session<TokioIo<Upgraded>>, serve: impl FnOnce(Bare, mpsc::Sender<Bytes>) -> F)
where
    F: Future<Output = ()>,
{
    let Session { stream, .. } = session;
    let (reading, mut writing) = tokio::io::split(stream);
    let (out, mut outgoing) = mpsc::channel::<Bytes>(WAITING);
    let incoming = futures_util::stream::unfold(reading, |mut reading| async move {
        let mut bytes = BytesMut::with_capacity(READ);
        match reading.read_buf(&mut bytes).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(bytes.freeze()), reading)),
            Err(error) => Some((Err(error), reading)),
        }
    });
    let written = async {
        while let Some(bytes) = outgoing.recv().await {
            if writing.write_all(&bytes).await.is_err() || writing.flush().await.is_err() {
                return;
            }
        }
    };
    let mut written = std::pin::pin!(written);
    tokio::select! {
        () = serve(Box::pin(incoming), out) => {}
        () = &mut written => return,
    }
    let _ = tokio::time::timeout(websocket::FAREWELL, written).await;
}

/// Sends the events of a watch as messages, each of them one.
pub(in crate::http) fn watch(
    response: Response<Outgoing>,
    head: &Parts,
    mut closing: watch::Receiver<bool>,
    place: Place,
) -> Result<Response<Outgoing>, Box<Status>> {
    let accepted = websocket::accept(&head.headers, websocket::only_named(&head.headers), Outgoing::empty())?;
    let session = Upgrade::of(head)?.begin();
    let body = response.into_body();
    tokio::spawn(async move {
        let _place = place;
        let Some(session) = session.await else { return };
        let session = session.websocket().await;
        let Session { stream, .. } = session;
        let (mut sender, mut receiver) = stream.split();
        let ended = tokio::select! {
            ended = events(body, &mut sender) => ended,
            // A client that watches says nothing but goodbye.
            () = async { while let Some(Ok(_)) = receiver.next().await {} } => return,
            _ = closing.wait_for(|closing| *closing) => Goodbye::Leaving,
        };
        websocket::close(&mut sender, &mut receiver, ended).await;
    });
    Ok(accepted)
}

async fn events(mut body: Outgoing, sender: &mut websocket::Sender) -> Goodbye {
    let mut held = BytesMut::new();
    let mut ping = tokio::time::interval(PING);
    loop {
        let part = tokio::select! {
            part = body.frame() => part,
            _ = ping.tick() => {
                if sender.send(Message::Ping(Bytes::new())).await.is_err() {
                    return Goodbye::Failed;
                }
                continue;
            }
        };
        let Some(part) = part else { return Goodbye::Done };
        let Ok(bytes) = part.map(|part| part.into_data().unwrap_or_default()) else { return Goodbye::Failed };
        held.extend_from_slice(&bytes);
        while let Some(end) = memchr::memchr(b'\n', &held) {
            let mut event = held.split_to(end + 1);
            event.truncate(end);
            let Some(message) = websocket::text(event.freeze()) else { return Goodbye::Failed };
            if sender.send(message).await.is_err() {
                return Goodbye::Failed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use hypermesh_stream::{Instance, RAW};

    fn form(headers: &[(&str, &str)]) -> Result<Option<Form>, u16> {
        let mut request = Request::get("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        Form::of(&head, &Route::PortForward(Instance::default(), 80)).map_err(|status| status.code)
    }

    #[test]
    fn a_session_is_asked_for_in_one_of_three_forms() {
        let upgrade = |to: &'static str| form(&[("connection", "Upgrade"), ("upgrade", to)]);
        assert_eq!(form(&[(STREAM, RAW)]), Ok(Some(Form::Plain(RAW))));
        assert_eq!(upgrade("websocket"), Ok(Some(Form::WebSocket)));
        assert_eq!(upgrade("SPDY/3.1"), Ok(Some(Form::Spdy)));
        assert_eq!(upgrade("h2c"), Err(400));
        assert_eq!(form(&[]), Err(400));
        let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
        assert_eq!(Form::of(&head, &Route::Stats).unwrap(), None);
    }
}
