//! What API servers ask of this node: logs, streams, usage, images. Nobody else is answered.
//!
//! HTTP/3 over stoq. The agent shows its node's key; who calls has to show a certificate for servers that the cluster's
//! authority issued, which only API servers have. What they ask is read by `hypermesh-stream`, and streams into
//! containers are opened only as [`authorize`] has it.

pub mod authorize;
mod door;
mod exec;
mod forward;
mod images;
mod logs;
mod metrics;
mod stats;

pub(crate) use images::forget_half_imported;

use crate::host::Host;
use crate::workers::Workers;
use authorize::Judge;
use bytes::Bytes;
use door::Replicas;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hypermesh_api::Status;
use hypermesh_chain::ClusterId;
use hypermesh_stream::{CONNECTION_WINDOW, Caller, FRAMES, IDLE, Route, STREAM, STREAM_WINDOW, STREAMS};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stoq::http3::{ALPN, Body, BoxError, Http3, HttpLimits};
use stoq::{BindError, ClientAuth, Endpoint, Identity, Router, Settings, TlsError};
use tokio::sync::mpsc;

/// How long what is under way has to come to its end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Pieces of an answer that wait for a slow reader.
const AHEAD: usize = 8;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Refusal = Box<Status>;

/// The node cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The certificate, or the authorities.
    #[error("the certificate or the authorities of the kubeconfig cannot be used")]
    Tls(#[from] TlsError),
    /// The authorities.
    #[error("the authorities of the kubeconfig cannot be used: {0}")]
    Authorities(String),
    /// The port.
    #[error("cannot listen on {address} (UDP): stop what uses the port, or choose another with --listen")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: BindError,
    },
}

/// What answers.
#[derive(Clone)]
pub(crate) struct Desk {
    pub host: Host,
    pub workers: Workers,
    judge: Arc<Judge>,
}

/// A socket on which nobody is answered yet.
pub struct Listening {
    endpoint: Endpoint,
}

impl Listening {
    /// Takes the port.
    ///
    /// # Errors
    /// When it is taken, or certificate and authorities cannot be used.
    pub fn bind(address: SocketAddr, identity: Identity, authorities: &str) -> Result<Self, ServerError> {
        let replicas = Replicas::new(authorities).map_err(ServerError::Authorities)?;
        let endpoint = Endpoint::server(identity)
            .clients(ClientAuth::Verifier(Arc::new(replicas)))
            .address(address)
            .settings(Settings {
                streams: STREAMS,
                stream_window: STREAM_WINDOW,
                connection_window: CONNECTION_WINDOW,
                datagrams: None,
                ..Settings::default()
            })
            .bind()
            .map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self { endpoint })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }

    /// Answers until this is dropped or shut down.
    ///
    /// # Errors
    /// When the endpoint's TLS cannot be used.
    pub fn serve(self, host: Host, workers: Workers, cluster: ClusterId) -> Result<Serving, ServerError> {
        let judge = Arc::new(Judge::new(host.api.clone(), cluster, &host.policy));
        let desk = Desk { host, workers, judge };
        let service = tower::service_fn(move |request| {
            let desk = desk.clone();
            async move { Ok::<_, Infallible>(desk.answer(request).await) }
        });
        let limits = HttpLimits { body_patience: IDLE, answer_patience: IDLE, ..HttpLimits::default() };
        let router =
            Router::builder(self.endpoint).accept(ALPN, Http3::new(service).limits(limits)).spawn()?;
        Ok(Serving { router })
    }
}

/// It answers.
pub struct Serving {
    router: Router,
}

impl Serving {
    /// Ends it; what is under way is given a moment.
    pub async fn shutdown(self) {
        self.router.shutdown(FAREWELL).await;
    }
}

impl Desk {
    async fn answer(self, request: Request<Body>) -> Answer {
        match self.route(request).await {
            Ok(answer) => answer,
            Err(status) => refusal(&status),
        }
    }

    async fn route(self, request: Request<Body>) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        if target == "/healthz" {
            return Ok(bytes("text/plain", Bytes::from_static(b"ok")));
        }
        let route = Route::parse(head.method.as_str(), target)?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let caller = Caller::parse(header).map_err(|error| Status::bad_request(error.to_string()))?;
        tracing::info!(user = caller.user.name, audit = caller.audit, route = route.target(), "asked");
        self.judge.judge(&route, &caller).await?;
        let framed = header(STREAM) == Some(FRAMES);
        match route {
            Route::Log(instance, options) => logs::answer(&self, &instance, &options),
            Route::Exec(instance, terminal) => exec::exec(&self, &instance, terminal, framed, body).await,
            Route::Attach(instance, terminal) => exec::attach(&self, &instance, terminal, framed, body).await,
            Route::PortForward(instance, port) => forward::answer(&self, &instance, port, body).await,
            Route::Stats => Ok(stats::answer(&self).await),
            Route::Metrics => Ok(metrics::answer(&self).await),
            Route::Images(action) => images::answer(&self, action, body).await,
        }
    }
}

/// A refusal as a `v1` Status.
fn refusal(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = bytes("application/json", serde_json::to_vec(status).unwrap_or_default().into());
    *answer.status_mut() = code;
    answer
}

pub(crate) fn json(value: &impl serde::Serialize) -> Answer {
    bytes("application/json", serde_json::to_vec(value).unwrap_or_default().into())
}

pub(crate) fn bytes(kind: &'static str, bytes: Bytes) -> Answer {
    let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Where a streamed answer is written to; who writes waits for who reads, and learns that nobody does any more.
pub(crate) type Sink = mpsc::Sender<Result<Bytes, BoxError>>;

/// An answer that is written bit by bit. It ends when the sink is dropped.
pub(crate) fn streamed(kind: &'static str) -> (Sink, Answer) {
    let (sink, mut pieces) = mpsc::channel::<Result<Bytes, BoxError>>(AHEAD);
    let frames = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let frame = |piece: Result<Bytes, BoxError>| piece.map(http_body::Frame::data);
    let frames = futures_util::StreamExt::map(frames, frame);
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (sink, answer)
}

pub(crate) fn not_found(what: impl std::fmt::Display) -> Refusal {
    Box::new(Status::failure(404, "NotFound", what.to_string()))
}

pub(crate) fn failed(code: u16, reason: &'static str, words: impl std::fmt::Display) -> Refusal {
    Box::new(Status::failure(code, reason, words.to_string()))
}
