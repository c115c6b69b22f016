//! Agents, asked over HTTP/3.
//!
//! An agent is dialled under the name that stands for its Node's key ([`stoq::PublicKey::server_name`]): whoever answers
//! proves that key, or is no agent. What the agent sees is this server's own certificate. A connection is kept for each
//! agent that is asked, and its streams share it.

use super::liveness::Alive;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hypermesh_api::Status;
use hypermesh_chain::Record;
use hypermesh_stream::{
    CONNECTION_WINDOW, Caller, FRAMES, IDLE, PORT, Route, STREAM, STREAM_WINDOW, STREAMS,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use stoq::http3::{Body, BoxError, Client, RequestError};
use stoq::{BindError, Endpoint, Identity, PublicKey, Settings, TlsError, Trust};
use thiserror::Error;

/// How long is waited for an agent's answer to begin.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of a refusal that are read.
const MOST_REFUSAL: usize = 64 * 1024;
/// Addresses that are remembered: one for each node that was asked.
const MOST_ADDRESSES: usize = 100_000;

/// Agents cannot be asked from here.
#[derive(Debug, Error)]
pub(crate) enum AgentsError {
    /// The certificate of this server.
    #[error("this server's certificate cannot be shown to agents")]
    Identity(#[from] TlsError),
    /// The socket.
    #[error("no UDP socket can be bound to dial agents from")]
    Bind(#[from] BindError),
}

/// A node, as far as its agent is reached by it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name.
    pub name: String,
    key: PublicKey,
    /// `host:port`.
    endpoint: String,
    /// Since when it says that it is not ready, RFC 3339; empty where it is.
    not_ready_since: String,
}

impl Node {
    /// The node of a record of our kind Node. 503 where its agent has not said where it listens.
    pub fn read(name: &str, record: &Record) -> Result<Self, Box<Status>> {
        let node: Value = serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
        let text = |path: &str| node.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let unavailable = |words: String| Box::new(Status::failure(503, "ServiceUnavailable", words));
        let key = key(text("/spec/publicKey")).ok_or_else(|| {
            unavailable(format!("the key of node {name:?} is no Ed25519 key in hexadecimal"))
        })?;
        let mut endpoint = text("/status/agentEndpoint").to_owned();
        if endpoint.is_empty() {
            let why = "its agent has not said where it is reached (status.agentEndpoint)";
            return Err(unavailable(format!(
                "node {name:?} cannot be asked: {why}; is the agent running there?"
            )));
        }
        if endpoint.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            endpoint = format!("{endpoint}:{PORT}");
        }
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        let said = |condition: &Value, field: &str, word: &str| {
            condition.get(field).and_then(Value::as_str).is_some_and(|found| found == word)
        };
        let ready = conditions.into_iter().flatten().find(|condition| said(condition, "type", "Ready"));
        let not_ready_since = ready
            .filter(|ready| !said(ready, "status", "True") && !said(ready, "reason", "NoController"))
            .and_then(|ready| ready.get("lastTransitionTime")?.as_str())
            .unwrap_or_default()
            .to_owned();
        Ok(Self { name: name.to_owned(), key, endpoint, not_ready_since })
    }
}

/// The key of a Node: 64 hexadecimal digits.
fn key(text: &str) -> Option<PublicKey> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(PublicKey::from_bytes(key))
}

/// Asks agents.
pub(crate) struct Agents {
    client: Client,
    /// Where the agents are whose keys were dialled, by the names that stand for the keys.
    addresses: Arc<Mutex<HashMap<String, String>>>,
}

impl Agents {
    /// Binds a socket to dial from. Must be called within a runtime.
    pub fn bind(identity: Identity) -> Result<Self, AgentsError> {
        let settings = Settings {
            streams: STREAMS,
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            datagrams: None,
            ..Settings::default()
        };
        let endpoint = Endpoint::client(Trust::dialled_key()).identity(identity).settings(settings).bind()?;
        let addresses = Arc::new(Mutex::new(HashMap::<String, String>::new()));
        let known = Arc::clone(&addresses);
        let client = Client::builder(endpoint)
            .resolver(move |name, _| {
                let address = known.lock().get(&name).cloned();
                async move {
                    let missing = || io::Error::new(io::ErrorKind::NotFound, "no agent has this key");
                    Ok(tokio::net::lookup_host(address.ok_or_else(missing)?).await?.collect())
                }
            })
            .answer_patience(Some(PATIENCE))
            .upload_patience(IDLE)
            .build();
        Ok(Self { client, addresses })
    }

    /// Shows another certificate from now on.
    pub fn show(&self, identity: Identity) {
        self.client.endpoint().replace_identity(identity);
    }

    /// Asks a node's agent. A refusal of the agent's is handed on; one that cannot be reached is told by name, with since
    /// when it is silent.
    pub async fn ask<B>(
        &self,
        node: &Node,
        alive: &Alive,
        route: &Route,
        caller: &Caller,
        body: B,
    ) -> Result<Response<Body>, Box<Status>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = self.request(node, route, caller, body)?;
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(unreachable(node, alive, &error)),
        };
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        Err(refusal(node, answer).await)
    }

    fn request<B>(
        &self,
        node: &Node,
        route: &Route,
        caller: &Caller,
        body: B,
    ) -> Result<Request<B>, Box<Status>> {
        let name = node.key.server_name();
        {
            let mut addresses = self.addresses.lock();
            if addresses.len() >= MOST_ADDRESSES {
                addresses.clear();
            }
            addresses.insert(name.clone(), node.endpoint.clone());
        }
        let failed = |error: &dyn Error| Box::new(Status::internal(error));
        let mut request = Request::builder()
            .method(Method::from_bytes(route.method().as_bytes()).map_err(|e| failed(&e))?)
            .uri(format!("https://{name}:{PORT}{}", route.target()))
            .body(body)
            .map_err(|e| failed(&e))?;
        let headers = request.headers_mut();
        for (name, value) in caller.headers() {
            headers.insert(name, HeaderValue::try_from(value).map_err(|e| failed(&e))?);
        }
        if matches!(route, Route::Exec(..) | Route::Attach(..)) {
            headers.insert(STREAM, HeaderValue::from_static(FRAMES));
        }
        Ok(request)
    }
}

/// 503 with the node, what was tried, and since when it is not heard of.
fn unreachable(node: &Node, alive: &Alive, error: &RequestError) -> Box<Status> {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let since = match alive.of(&node.name) {
        Some(known) if known.connected => format!("; it was heard of at {}", known.last_seen),
        Some(known) => format!("; it was last heard of at {}", known.last_seen),
        None if !node.not_ready_since.is_empty() => {
            format!("; the node is not ready since {}", node.not_ready_since)
        }
        None => String::new(),
    };
    let words =
        format!("the agent of node {:?} cannot be asked at {}: {why}{since}", node.name, node.endpoint);
    let code = if matches!(error, RequestError::Timeout { .. }) { 504 } else { 503 };
    let reason = if code == 504 { "Timeout" } else { "ServiceUnavailable" };
    Box::new(Status::failure(code, reason, words))
}

/// What an agent refuses with. Words of its own where it has none.
async fn refusal(node: &Node, answer: Response<Body>) -> Box<Status> {
    let code = answer.status().as_u16();
    let json = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let read = tokio::time::timeout(PATIENCE, Limited::new(answer.into_body(), MOST_REFUSAL).collect());
    let bytes = match read.await {
        Ok(Ok(read)) => read.to_bytes(),
        _ => Bytes::new(),
    };
    match serde_json::from_slice::<Status>(&bytes) {
        Ok(mut status) if json && status.code >= 400 => {
            // What the agent may not say: that this server's client is not known here.
            if status.code == 401 {
                status.code = 500;
            }
            Box::new(status)
        }
        _ => {
            let words = format!("the agent of node {:?} answered {code} and did not say why", node.name);
            Box::new(Status::failure(502, "InternalError", words))
        }
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}
