//! One request of a server, from its fields to the end of its answer.

use crate::connection::Connection;
use crate::http3::body::{Body, Bounds, Half};
use crate::http3::error::BoxError;
use crate::http3::serve::HttpLimits;
use crate::http3::transport::{Arrival, Bidi, SendHalf, Transport};
use crate::http3::{Caller, EarlyData, fields};
use crate::router::Closing;
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tower::{Service, ServiceExt};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, or refused with an answer.
    Answered,
    /// The client gave it up after its answer began.
    CutShort,
    /// The client gave it up before, sent nothing, or what is no request.
    Abandoned,
}

/// What the requests of a connection share.
pub(crate) struct Exchange<S> {
    pub(crate) service: S,
    pub(crate) limits: HttpLimits,
    pub(crate) connection: Connection,
    pub(crate) closing: Closing,
    /// How many there are whose fields are there, and that are not over.
    pub(crate) taken: Arc<AtomicUsize>,
}

/// One of [`Exchange::taken`].
pub(crate) struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn new(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(taken))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request that is over. It counts as taken until this is dropped, so that whoever counts has its outcome first.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) _taken: Option<Taken>,
}

type Answer = RequestStream<SendHalf, Bytes>;

/// The client wants no more of the answer, or it is not there.
struct Gone;

impl From<StreamError> for Gone {
    fn from(_: StreamError) -> Self {
        Self
    }
}

impl<S> Exchange<S> {
    pub(crate) async fn run<B>(
        self: Arc<Self>,
        resolver: RequestResolver<Transport, Bytes>,
        arrival: Arrival,
    ) -> Ended
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let mut taken = None;
        let outcome = self.outcome(resolver, arrival, &mut taken).await;
        Ended { outcome, _taken: taken }
    }

    async fn outcome<B>(
        &self,
        resolver: RequestResolver<Transport, Bytes>,
        mut arrival: Arrival,
        taken: &mut Option<Taken>,
    ) -> Outcome
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let metrics = Arc::clone(self.connection.metrics());
        metrics.requests.one();
        let _active = metrics.requests_active.hold();
        let head = tokio::time::timeout(self.limits.field_patience, resolver.resolve_request()).await;
        let (head, stream) = match head {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(StreamError::HeaderTooBig { .. })) => {
                // h3 answered it with 431.
                metrics.requests_refused.one();
                return Outcome::Answered;
            }
            Ok(Err(_)) | Err(_) => {
                metrics.requests_refused.one();
                return Outcome::Abandoned;
            }
        };
        *taken = Some(Taken::new(&self.taken));
        match self.exchange(head, stream, &mut arrival).await {
            Ok(()) => {
                if self.closing.is_closing() {
                    // The connection is closed soon: not before the client has the answer.
                    arrival.stopped.await;
                }
                Outcome::Answered
            }
            Err(Gone) => {
                metrics.requests_cancelled.one();
                if arrival.answering { Outcome::CutShort } else { Outcome::Abandoned }
            }
        }
    }

    async fn exchange<B>(
        &self,
        head: Request<()>,
        stream: RequestStream<Bidi, Bytes>,
        arrival: &mut Arrival,
    ) -> Result<(), Gone>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let metrics = self.connection.metrics();
        let (mut send, recv) = stream.split();
        if arrival.early {
            metrics.early_requests.one();
            if !matches!(*head.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
                metrics.too_early.one();
                return self.refuse(send, StatusCode::TOO_EARLY).await;
            }
        } else if self.connection.proven().await.is_err() {
            return Err(Gone);
        }
        let announced = fields::content_length(head.headers());
        let (Ok(announced), false) = (announced, fields::malformed(head.headers())) else {
            metrics.requests_refused.one();
            send.stop_stream(Code::H3_MESSAGE_ERROR);
            return Err(Gone);
        };
        if self.limits.body_bytes.is_some_and(|most| announced > Some(most)) {
            metrics.requests_refused.one();
            return self.refuse(send, StatusCode::PAYLOAD_TOO_LARGE).await;
        }
        let bounds =
            Bounds { announced, most: self.limits.body_bytes, stall: Some(self.limits.body_patience) };
        let Ok(body) = Body::of(Half::Server(recv), &self.connection, bounds) else {
            send.stop_stream(Code::H3_MESSAGE_ERROR);
            return Err(Gone);
        };
        let method = head.method().clone();
        let mut request = head.map(|()| body);
        let caller = Caller { peer: self.connection.peer(), address: self.connection.remote_address() };
        request.extensions_mut().insert(caller);
        if arrival.early {
            request.extensions_mut().insert(EarlyData);
        }
        let response = tokio::select! {
            biased;
            response = self.service.clone().oneshot(request) => response.map_err(Into::into),
            () = &mut arrival.stopped => return Err(Gone),
        };
        match response {
            Ok(response) => {
                if response.status() == StatusCode::TOO_EARLY && arrival.early {
                    metrics.too_early.one();
                }
                self.answer(send, &method, response, arrival).await
            }
            Err(error) => {
                let error: BoxError = error;
                tracing::error!(error = &*error, "a service failed");
                send.stop_stream(Code::H3_INTERNAL_ERROR);
                Err(Gone)
            }
        }
    }

    async fn answer<B>(
        &self,
        mut send: Answer,
        method: &Method,
        response: Response<B>,
        arrival: &mut Arrival,
    ) -> Result<(), Gone>
    where
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        fields::strip(&mut parts.headers);
        fields::date(&mut parts.headers);
        let content = fields::has_content(method, parts.status);
        // To HEAD, the length is told that GET would have; a service that left the body out tells it itself.
        let told = |size: &u64| content || (method == Method::HEAD && *size > 0);
        if let Some(size) = body.size_hint().exact().filter(told)
            && !parts.headers.contains_key(CONTENT_LENGTH)
        {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        self.in_time(send.send_response(Response::from_parts(parts, ()))).await?;
        arrival.answering = true;
        if content && !body.is_end_stream() {
            self.content(&mut send, body, &mut arrival.stopped).await?;
        }
        self.in_time(send.finish()).await
    }

    async fn content<B>(
        &self,
        send: &mut Answer,
        body: B,
        stopped: &mut BoxFuture<'static, ()>,
    ) -> Result<(), Gone>
    where
        B: http_body::Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        let mut body = pin!(body);
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame.transpose().map_err(Into::into),
                () = &mut *stopped => return Err(Gone),
            };
            let frame = match frame {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => frame,
                Err(error) => {
                    let error: BoxError = error;
                    tracing::debug!(error = &*error, "an answer broke off");
                    send.stop_stream(Code::H3_INTERNAL_ERROR);
                    return Err(Gone);
                }
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let data = data.copy_to_bytes(data.remaining());
                    if !data.is_empty() {
                        self.in_time(send.send_data(data)).await?;
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.in_time(send.send_trailers(trailers)).await?;
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn refuse(&self, mut send: Answer, status: StatusCode) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        fields::date(response.headers_mut());
        self.in_time(send.send_response(response)).await?;
        self.in_time(send.finish()).await
    }

    /// A client that takes nothing for too long is given up.
    async fn in_time(&self, sent: impl Future<Output = Result<(), StreamError>>) -> Result<(), Gone> {
        let patience: Duration = self.limits.answer_patience;
        Ok(tokio::time::timeout(patience, sent).await.map_err(|_| Gone)??)
    }
}
