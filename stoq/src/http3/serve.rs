//! HTTP/3 connections of a server: their requests, their abuse, their end.

use crate::connection::Connection;
use crate::http3::body::Body;
use crate::http3::error::BoxError;
use crate::http3::request::{Exchange, Outcome};
use crate::http3::transport::{StreamRules, Transport};
use crate::router::{Closing, Protocol, ProtocolError};
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use h3::error::Code;
use http::{Request, Response};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service;

/// How long a client is given to take the last answers before the connection is closed, at least.
const FAREWELL: Duration = Duration::from_millis(200);

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Bytes of a request's fields, counted as RFC 9114 §4.2.2 does; more are answered with 431. Header
    /// sections that are begun on a connection and not whole take twice as much together, encoded, and 16 KiB more;
    /// beyond, the stream is reset with H3_EXCESSIVE_LOAD.
    pub field_bytes: u64,
    /// How long the fields of a request may take to come once its stream is open.
    pub field_patience: Duration,
    /// Bytes of a request's body; more are answered with 413, or end the body with an error.
    pub body_bytes: Option<u64>,
    /// How long a service that reads a body waits for more of it.
    pub body_patience: Duration,
    /// How long the client may take nothing of an answer that is ready.
    pub answer_patience: Duration,
    /// After how long a connection is closed on which no request was ever answered.
    pub unused: Duration,
    /// After how long a connection without requests is closed: longer than clients keep theirs, so that they close
    /// first. A request begins once its fields are there; one that is given up before its answer does not count.
    pub idle: Duration,
    /// How many more requests a client may abandon on a connection than it ends well, before the connection is
    /// closed with H3_EXCESSIVE_LOAD.
    pub abandoned: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            field_bytes: 64 << 10,
            field_patience: Duration::from_secs(10),
            body_bytes: None,
            body_patience: Duration::from_secs(30),
            answer_patience: Duration::from_secs(60),
            unused: Duration::from_secs(30),
            idle: Duration::from_secs(180),
            abandoned: 500,
        }
    }
}

/// The protocol that answers HTTP/3 requests with a tower service.
///
/// The service is cloned for each request; requests of a connection run beside each other. It finds a
/// [`Caller`](crate::http3::Caller) in each request's extensions, and [`EarlyData`](crate::http3::EarlyData) where
/// that applies. An error of the service resets the stream. Fields that speak of connections are left out of
/// answers; Date and Content-Length are added.
#[derive(Clone, Debug)]
pub struct Http3<S> {
    service: S,
    limits: HttpLimits,
}

impl<S> Http3<S> {
    /// Answers with `service`.
    pub fn new(service: S) -> Self {
        Self { service, limits: HttpLimits::default() }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, limits: HttpLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl<S, B> Protocol for Http3<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    fn accept(
        self: Arc<Self>,
        connection: Connection,
        closing: Closing,
    ) -> BoxFuture<'static, Result<(), ProtocolError>> {
        Box::pin(async move {
            let exchange = Exchange {
                service: self.service.clone(),
                limits: self.limits,
                connection: connection.clone(),
                closing: closing.clone(),
                taken: Arc::default(),
            };
            serve(exchange, connection, closing).await
        })
    }

    fn takes_early(&self) -> bool {
        true
    }
}

async fn serve<S, B>(
    exchange: Exchange<S>,
    connection: Connection,
    mut closing: Closing,
) -> Result<(), ProtocolError>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let limits = exchange.limits;
    let rules = StreamRules {
        // Some more than the limit, so that what is a little too much is answered rather than cut.
        most_headers: limits.field_bytes.saturating_mul(2),
        dropped: Code::H3_INTERNAL_ERROR,
        unread: Code::H3_NO_ERROR,
        answers_itself: true,
    };
    let transport = Transport::new(&connection, rules);
    let arrivals = transport.arrivals();
    let mut h3 = h3::server::builder()
        .max_field_section_size(limits.field_bytes)
        .send_grease(false)
        .build::<_, Bytes>(transport)
        .await?;
    let exchange = Arc::new(exchange);
    let mut abandoned = 0u32;
    let mut requests = JoinSet::new();
    let mut going = false;
    let mut idle = pin!(tokio::time::sleep(limits.unused));
    // What was written last is on its way; a client that has all closes by itself.
    let farewell = || FAREWELL.max(connection.rtt() * 3);
    loop {
        // Streams on which no request comes do not keep a connection; once it goes, none is added to those there are.
        let resting = if going { requests.is_empty() } else { exchange.taken.load(Ordering::Acquire) == 0 };
        tokio::select! {
            accepted = h3.accept() => match accepted {
                Ok(Some(mut request)) => {
                    let arrival = arrivals.lock().take();
                    let Some(arrival) = arrival.filter(|_| !going) else {
                        // The client knows from GOAWAY that it may send it elsewhere.
                        h3::quic::SendStream::<Bytes>::reset(
                            &mut request.frame_stream,
                            Code::H3_REQUEST_REJECTED.value(),
                        );
                        continue;
                    };
                    requests.spawn(Arc::clone(&exchange).run(request, arrival));
                }
                Ok(None) => break,
                Err(error) if error.is_h3_no_error() => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            Some(ended) = requests.join_next(), if !requests.is_empty() => {
                let outcome = ended.as_ref().map_or(Outcome::Abandoned, |ended| ended.outcome);
                abandoned = match outcome {
                    Outcome::Answered => abandoned.saturating_sub(1),
                    Outcome::CutShort | Outcome::Abandoned => abandoned + 1,
                };
                if abandoned > limits.abandoned {
                    connection.metrics().abusive.one();
                    let code = u32::try_from(Code::H3_EXCESSIVE_LOAD.value()).unwrap_or_default();
                    connection.close(code, "too many requests were abandoned");
                    return Err("the client abandoned too many requests".into());
                }
                if outcome != Outcome::Abandoned {
                    idle.as_mut().reset(Instant::now() + if going { farewell() } else { limits.idle });
                }
            }
            () = &mut idle, if resting => {
                if !going && exchange.taken.load(Ordering::Acquire) > 0 {
                    // It came after the last look.
                    continue;
                }
                if std::mem::replace(&mut going, true) {
                    return Ok(());
                }
                h3.shutdown(1).await?;
                idle.as_mut().reset(Instant::now() + farewell());
            }
            () = closing.wait(), if !going => {
                going = true;
                // One more than was taken: the first that is not.
                h3.shutdown(1).await?;
                idle.as_mut().reset(Instant::now() + farewell());
            }
        }
    }
    Ok(())
}
