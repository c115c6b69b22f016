//! WebSocket (RFC 6455) where a client upgrades to it: the handshake, and a session with bounds.
//!
//! The handshake is answered only after everything that can be refused was; until then a refusal is a Status.

use crate::connection::{Activity, InProgress};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hypermesh_api::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

/// The longest message that a client may send, in bytes; clients of Kubernetes send 32 KiB.
const MOST_MESSAGE: usize = 1 << 20;
/// What may wait to be sent, in bytes, beyond one message.
const MOST_WAITING: usize = 256 * 1024;
/// How often a client that may be gone is asked, and how long it may say nothing at all.
pub(crate) const PING: Duration = Duration::from_secs(30);
pub(crate) const SILENCE: Duration = Duration::from_secs(90);
/// How long the connection may take to become one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client is given to say goodbye.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// A session.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;
/// The half of it that is written.
pub(crate) type Sender = SplitSink<Socket, Message>;
/// The half of it that is read.
pub(crate) type Receiver = SplitStream<Socket>;

/// A connection that is to be upgraded.
pub(crate) struct Upgrade {
    upgrade: OnUpgrade,
    activity: Option<Arc<Activity>>,
}

/// A connection that was upgraded, in progress until it is dropped.
pub(crate) struct Session<S> {
    pub stream: S,
    _progress: Option<Ended>,
}

/// A request that ends well, whenever it ends.
struct Ended(InProgress);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Whether a header has this word in its list, whatever the case.
fn says(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// How a client that can set no header but this one shows a token: as a subprotocol, in base64url.
///
/// Source: `k8s.io/apiserver/pkg/authentication/request/websocket`.
const TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// The subprotocols that a client names, but for the one that is a token.
fn named(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    all_named(headers).filter(|name| !name.starts_with(TOKEN))
}

fn all_named(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// The token that a client shows as a subprotocol. 401 for what is none, for two of them, and for one that stands alone:
/// the answer could name no subprotocol then, and must not name the token.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<String>, Box<Status>> {
    let mut tokens = all_named(headers).filter_map(|name| name.strip_prefix(TOKEN));
    let Some(encoded) = tokens.next() else { return Ok(None) };
    if !says(headers, header::CONNECTION, "upgrade") || !says(headers, header::UPGRADE, "websocket") {
        return Ok(None);
    }
    let alone = tokens.next().is_none() && named(headers).next().is_some();
    let decoded = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let token = decoded.filter(|token| alone && !token.is_empty());
    token.map(Some).ok_or_else(|| Box::new(Status::unauthorized()))
}

/// The subprotocol of a client that may name any: the only one that it names.
pub(crate) fn only_named(headers: &HeaderMap) -> Option<&str> {
    let mut names = named(headers);
    names.next().filter(|_| names.next().is_none())
}

/// Whether a request asks to be upgraded to `protocol`.
pub(crate) fn is_asked(head: &Parts, protocol: &str) -> bool {
    says(&head.headers, header::CONNECTION, "upgrade") && says(&head.headers, header::UPGRADE, protocol)
}

/// Whether a request asks for WebSocket.
pub(crate) fn is_websocket(head: &Parts) -> bool {
    head.method == Method::GET && is_asked(head, "websocket")
}

impl Upgrade {
    /// The upgrade of a request's connection; 400 where there is none to be had.
    pub fn of(head: &Parts) -> Result<Self, Box<Status>> {
        let upgrade = head.extensions.get::<OnUpgrade>().cloned();
        let Some(upgrade) = upgrade.filter(|_| head.version == Version::HTTP_11) else {
            let words = "an upgrade needs HTTP/1.1 over TLS: this connection cannot be upgraded";
            return Err(Box::new(Status::bad_request(words)));
        };
        Ok(Self { upgrade, activity: head.extensions.get::<Arc<Activity>>().cloned() })
    }

    /// What the connection becomes once the reply is sent. Begun before that, so that it never looks idle.
    pub fn begin(self) -> impl Future<Output = Option<Session<TokioIo<Upgraded>>>> + Send {
        let progress = self.activity.map(|activity| Ended(activity.begin()));
        let upgrade = self.upgrade;
        async move {
            match tokio::time::timeout(PATIENCE, upgrade).await {
                Ok(Ok(upgraded)) => Some(Session { stream: TokioIo::new(upgraded), _progress: progress }),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection was not upgraded");
                    None
                }
                Err(_) => None,
            }
        }
    }
}

/// The first of `offered` that the client names as a subprotocol. 400 with both lists where there is none.
pub(crate) fn subprotocol(
    headers: &HeaderMap,
    offered: &[&'static str],
) -> Result<&'static str, Box<Status>> {
    let chosen =
        offered.iter().find(|protocol| named(headers).any(|name| name.eq_ignore_ascii_case(protocol)));
    chosen.copied().ok_or_else(|| {
        let words = format!(
            "unable to negotiate protocol: client supports [{}], server accepts [{}]",
            named(headers).collect::<Vec<_>>().join(", "),
            offered.join(", ")
        );
        Box::new(Status::bad_request(words))
    })
}

/// The answer that accepts WebSocket; 400 where the handshake is none.
pub(crate) fn accept<B>(
    headers: &HeaderMap,
    subprotocol: Option<&str>,
    body: B,
) -> Result<Response<B>, Box<Status>> {
    let only = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if only(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Box::new(Status::bad_request("WebSocket is spoken in version 13 here (RFC 6455)")));
    }
    let Some(key) = only(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24) else {
        return Err(Box::new(Status::bad_request(
            "Sec-WebSocket-Key is missing, or is not 16 bytes in base64",
        )));
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::try_from(accept).map_err(|e| Box::new(Status::internal(e)))?,
    );
    if let Some(protocol) = subprotocol {
        let protocol = HeaderValue::from_str(protocol).map_err(|e| Box::new(Status::internal(e)))?;
        out.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

impl Session<TokioIo<Upgraded>> {
    /// The session as WebSocket, within bounds.
    pub async fn websocket(self) -> Session<Socket> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MOST_MESSAGE))
            .max_frame_size(Some(MOST_MESSAGE))
            .write_buffer_size(0)
            .max_write_buffer_size(MOST_WAITING + MOST_MESSAGE);
        let stream = WebSocketStream::from_raw_socket(self.stream, Role::Server, Some(config)).await;
        Session { stream, _progress: self._progress }
    }
}

/// A message of bytes.
pub(crate) fn binary(bytes: Bytes) -> Message {
    Message::Binary(bytes)
}

/// A message of text, which is UTF-8.
pub(crate) fn text(bytes: Bytes) -> Option<Message> {
    Utf8Bytes::try_from(bytes).ok().map(Message::Text)
}

/// Says goodbye, and waits a little for the client to do so.
pub(crate) async fn close(sender: &mut Sender, receiver: &mut Receiver, why: Goodbye) {
    let code = match why {
        Goodbye::Done => CloseCode::Normal,
        Goodbye::Leaving => CloseCode::Away,
        Goodbye::Wrong(_) => CloseCode::Protocol,
        Goodbye::Failed => CloseCode::Error,
    };
    // At most 123 bytes (RFC 6455, section 5.5).
    let words: String =
        if let Goodbye::Wrong(words) = &why { words.chars().take(100).collect() } else { String::new() };
    let frame = CloseFrame { code, reason: words.into() };
    let farewell = async {
        if sender.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = receiver.next().await {}
        }
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// All was said.
    Done,
    /// The server stops.
    Leaving,
    /// The client broke the protocol.
    Wrong(String),
    /// The other side failed.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in pairs {
            all.append(name, value.parse().unwrap());
        }
        all
    }

    #[test]
    fn the_first_offer_that_the_client_takes_is_chosen() {
        let asked = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io, v5.channel.k8s.io")]);
        let offered = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
        assert_eq!(subprotocol(&asked, &offered).unwrap(), "v5.channel.k8s.io");
        let none = subprotocol(&headers(&[]), &offered).unwrap_err();
        assert_eq!(none.code, 400);
    }

    #[test]
    fn a_token_may_stand_among_the_subprotocols_and_is_never_named_back() {
        let of = |protocols: &[&str]| {
            let mut all = headers(&[(header::CONNECTION, "Upgrade"), (header::UPGRADE, "WebSocket")]);
            for line in protocols {
                all.append(header::SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
            }
            all
        };
        let shown = format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode("a.b?c"));
        let both = of(&[&format!("{shown}, v4.channel.k8s.io")]);
        assert_eq!(token(&both).unwrap().as_deref(), Some("a.b?c"));
        assert_eq!(token(&of(&["v4.channel.k8s.io", &shown])).unwrap().as_deref(), Some("a.b?c"));
        assert_eq!(subprotocol(&both, &["v4.channel.k8s.io"]).unwrap(), "v4.channel.k8s.io");
        assert_eq!(only_named(&both), Some("v4.channel.k8s.io"));
        let none = subprotocol(&both, &["v9.channel.k8s.io"]).unwrap_err();
        assert!(!none.message.contains(TOKEN), "{}", none.message);
        assert_eq!(token(&of(&[])).unwrap(), None);
        assert_eq!(only_named(&of(&["a", "b"])), None);
        // Whoever asks for no WebSocket shows none.
        let plain = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, &format!("{shown}, x"))]);
        assert_eq!(token(&plain).unwrap(), None);
        for wrong in [
            shown.clone(),
            format!("{shown}, {shown}, x"),
            format!("{TOKEN}, x"),
            format!("{TOKEN}a=, x"),
            format!("{TOKEN}%, x"),
            format!("{TOKEN}{}, x", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
        ] {
            assert_eq!(token(&of(&[&wrong])).unwrap_err().code, 401, "{wrong}");
        }
    }

    #[test]
    fn golden_handshake() {
        // RFC 6455, section 1.3.
        let asked = headers(&[
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let accepted = accept(&asked, None, ()).unwrap();
        assert_eq!(accepted.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for missing in [header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
            let mut asked = asked.clone();
            asked.remove(missing);
            assert_eq!(accept(&asked, None, ()).unwrap_err().code, 400);
        }
    }
}
