//! Requests over HTTP/3: a tower service that finds a connection, sends, and says exactly what is known when it
//! fails.
//!
//! A request is sent again only if it is certain that the server did not process it and none of its body is spent; and
//! a safe one without a body (RFC 9110 §9.2.2) once more if the connection that was used before turns out to be dead.

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::http3::body::{Body, Bounds, Half};
use crate::http3::error::{BoxError, Fault, RequestError};
use crate::http3::pool::{Key, Live, Pool, Use};
use crate::http3::transport::{Bidi, SendHalf};
use crate::http3::{EarlyData, fields};
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use h3::client::RequestStream;
use h3::error::Code;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How often a request is sent that no server took.
const TRIES: usize = 4;

/// Finds the addresses of a host and port.
pub(crate) type Resolve =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Sends requests over HTTP/3. Clones share connections: one for each authority.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: Pool,
    options: Options,
}

/// What a client does and how long it waits.
pub(crate) struct Options {
    pub(crate) endpoint: Endpoint,
    pub(crate) resolve: Resolve,
    pub(crate) server_name: Option<String>,
    pub(crate) field_bytes: u64,
    pub(crate) answer_patience: Option<Duration>,
    pub(crate) body_patience: Option<Duration>,
    pub(crate) upload_patience: Duration,
    pub(crate) idle: Duration,
}

/// What a client is made of.
#[must_use = "nothing is made until `build` is called"]
pub struct ClientBuilder(Options);

impl ClientBuilder {
    /// Finds addresses by this instead of the system's resolver.
    pub fn resolver<F, R>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.0.resolve = Arc::new(move |host, port| Box::pin(resolve(host, port)));
        self
    }

    /// Every server must prove this name, whatever the URL says (kubeconfig's `tls-server-name`).
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.0.server_name = Some(name.into());
        self
    }

    /// Bytes of an answer's fields that are taken (64 KiB unless told otherwise).
    pub fn field_bytes(mut self, most: u64) -> Self {
        self.0.field_bytes = most;
        self
    }

    /// How long is waited for the fields of an answer (30 s unless told otherwise).
    pub fn answer_patience(mut self, patience: Option<Duration>) -> Self {
        self.0.answer_patience = patience;
        self
    }

    /// How long is waited for more of an answer's body. Without end unless told otherwise: a watch may have nothing
    /// to say, and a server that vanished is noticed by the endpoint's keep-alive and idle timeout.
    pub fn body_patience(mut self, patience: Option<Duration>) -> Self {
        self.0.body_patience = patience;
        self
    }

    /// How long the server may take nothing of a request's body (60 s unless told otherwise).
    pub fn upload_patience(mut self, patience: Duration) -> Self {
        self.0.upload_patience = patience;
        self
    }

    /// After how long a connection without requests is closed (90 s unless told otherwise).
    pub fn idle(mut self, idle: Duration) -> Self {
        self.0.idle = idle;
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        Client(Arc::new(Inner { pool: Pool::default(), options: self.0 }))
    }
}

impl Client {
    /// A client on an endpoint, which must have trust for servers.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self::builder(endpoint).build()
    }

    /// A client on an endpoint, with more to say.
    pub fn builder(endpoint: Endpoint) -> ClientBuilder {
        ClientBuilder(Options {
            endpoint,
            resolve: Arc::new(|host, port| {
                Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
            }),
            server_name: None,
            field_bytes: 64 << 10,
            answer_patience: Some(Duration::from_secs(30)),
            body_patience: None,
            upload_patience: Duration::from_secs(60),
            idle: Duration::from_secs(90),
        })
    }

    /// The endpoint it dials from.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.options.endpoint
    }

    /// Dials the authority of a URI unless a connection is open; returns it, to see who is there or that UDP
    /// works.
    pub async fn connect(&self, uri: &http::Uri) -> Result<Connection, RequestError> {
        let key = Key::of(uri)?;
        let live = self.0.pool.live(&self.0.options, &key, false).await?;
        live.ready().await?;
        Ok(live.connection().clone())
    }

    /// Sends a request; the answer's body streams. Dropping the future or the answer's body cancels the request.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Body>, RequestError>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let key = Key::of(&parts.uri)?;
        if parts.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
            return Err(RequestError::Invalid("HTTP/3 is for https URIs"));
        }
        fields::strip(&mut parts.headers);
        // The authority says it, and two that differ are an error.
        parts.headers.remove(HOST);
        let size = body
            .size_hint()
            .exact()
            .filter(|size| *size > 0 || matches!(parts.method, Method::POST | Method::PUT | Method::PATCH));
        if let Some(size) = size.filter(|_| !parts.headers.contains_key(CONTENT_LENGTH)) {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        parts.version = Version::HTTP_3;
        let mut body = (!body.is_end_stream()).then_some(body);
        let with_body = body.is_some();
        let mut early = parts.extensions.remove::<EarlyData>().is_some()
            && !with_body
            && matches!(parts.method, Method::GET | Method::HEAD);
        let metrics = self.endpoint().metrics();
        let mut tries = 1;
        loop {
            let live = self.0.pool.live(&self.0.options, &key, early).await?;
            early = early && live.is_early();
            if !early {
                live.ready().await?;
            }
            let reused = live.is_used();
            metrics.sent.one();
            if early {
                metrics.sent_early.one();
            }
            let head = Request::from_parts(parts.clone(), ());
            match self.exchange(&live, head, &mut body).await {
                Ok(response) if early && response.status() == StatusCode::TOO_EARLY => {}
                Ok(response) => return Ok(response),
                // So it is where nothing was heard of the server until the handshake had taken too long.
                Err(Failure::EarlyRefused) if early => {}
                Err(Failure::EarlyRefused) => return Err(Fault::EarlyRefused.into()),
                Err(Failure::NotTaken(error)) => {
                    live.retire();
                    if tries >= TRIES || with_body != body.is_some() {
                        return Err(error);
                    }
                }
                Err(Failure::Told(RequestError::Closed(_)))
                    if reused && tries == 1 && !with_body && parts.method.is_safe() =>
                {
                    live.retire();
                }
                Err(Failure::Told(error)) => return Err(error),
            }
            early = false;
            tries += 1;
            metrics.sent_again.one();
        }
    }

    /// One try. Takes the body once it begins to be sent.
    async fn exchange<B>(
        &self,
        live: &Arc<Live>,
        head: Request<()>,
        body: &mut Option<B>,
    ) -> Result<Response<Body>, Failure>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let using = live.begin();
        let method = head.method().clone();
        let answered = async {
            let mut sender = live.sender();
            let stream = sender.send_request(head).await.map_err(|error| {
                match Fault::of(error, live.connection()) {
                    // The fields did not leave whole, so the server cannot have taken the request.
                    Fault::Closed(_) => Failure::NotTaken(RequestError::Rejected),
                    fault => Failure::of(fault),
                }
            })?;
            self.answer(live, stream, body.take(), using, method).await
        };
        match self.0.options.answer_patience {
            None => answered.await,
            Some(after) => match tokio::time::timeout(after, answered).await {
                Ok(answered) => answered,
                Err(_) => Err(Failure::Told(RequestError::Timeout { after })),
            },
        }
    }

    async fn answer<B>(
        &self,
        live: &Arc<Live>,
        mut stream: RequestStream<Bidi, Bytes>,
        body: Option<B>,
        using: Use,
        method: Method,
    ) -> Result<Response<Body>, Failure>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let connection = live.connection();
        let fault = |error| Failure::of(Fault::of(error, connection));
        if body.is_none() {
            stream.finish().await.map_err(fault)?;
        }
        let (send, mut recv) = stream.split();
        let (tell, mut failed) = oneshot::channel();
        let upload = body.map(|body| {
            let patience = self.0.options.upload_patience;
            Upload(tokio::spawn(upload(send, body, patience, tell)).abort_handle())
        });
        let response = loop {
            let response = tokio::select! {
                biased;
                response = recv.recv_response() => response.map_err(fault)?,
                Ok(error) = &mut failed => return Err(Failure::Told(RequestError::Body(error))),
            };
            if !response.status().is_informational() {
                break response;
            }
        };
        let announced = match fields::content_length(response.headers()) {
            Ok(_) if !fields::has_content(&method, response.status()) => None,
            Ok(announced) if !fields::malformed(response.headers()) => announced,
            _ => {
                recv.stop_sending(Code::H3_MESSAGE_ERROR);
                let told = "the fields of the answer are malformed".to_owned();
                return Err(Failure::Told(RequestError::Protocol(told)));
            }
        };
        let bounds = Bounds { announced, most: None, stall: self.0.options.body_patience };
        let body = Body::of(Half::Client(recv), connection, bounds)
            .map_err(|error| Failure::Told(RequestError::Protocol(error.to_string())))?
            .keeping((upload, using));
        Ok(response.map(|()| body))
    }
}

/// Why a try failed.
enum Failure {
    /// The server did not take early data; after the handshake it may be sent again.
    EarlyRefused,
    /// The server certainly did not process it.
    NotTaken(RequestError),
    Told(RequestError),
}

impl Failure {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::EarlyRefused => Self::EarlyRefused,
            Fault::NotTaken => Self::NotTaken(RequestError::Rejected),
            Fault::Reset(code) if code == Code::H3_REQUEST_REJECTED.value() => {
                Self::NotTaken(RequestError::Rejected)
            }
            fault => Self::Told(fault.into()),
        }
    }
}

/// A body that is being sent; dropping it cancels the rest.
struct Upload(AbortHandle);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn upload<B>(
    mut send: RequestStream<SendHalf, Bytes>,
    body: B,
    patience: Duration,
    failed: oneshot::Sender<BoxError>,
) where
    B: http_body::Body,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    loop {
        let frame = match body.frame().await.transpose().map_err(Into::into) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                send.stop_stream(Code::H3_REQUEST_CANCELLED);
                let _ = failed.send(error);
                return;
            }
        };
        let sent = match frame.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                tokio::time::timeout(patience, send.send_data(data)).await
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => tokio::time::timeout(patience, send.send_trailers(trailers)).await,
                Err(_) => continue,
            },
        };
        match sent {
            Ok(Ok(())) => {}
            // The server wants no more of it: its answer says why.
            Ok(Err(_)) => return,
            Err(_) => {
                send.stop_stream(Code::H3_REQUEST_CANCELLED);
                let stalled = crate::http3::BodyError::Stalled { after: patience };
                let _ = failed.send(Box::new(stalled));
                return;
            }
        }
    }
    let _ = send.finish().await;
}

impl<B> tower::Service<Request<B>> for Client
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = RequestError;
    type Future = BoxFuture<'static, Result<Response<Body>, RequestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.send(request).await })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}
