//! HTTP/3 on the UDP side of the API's port: the same answers as over TCP.
//!
//! TCP serves whether or not UDP can: where it cannot, the reason is told once, and replies over TCP do not name
//! HTTP/3. Limits are those of the TCP side, and connections of both are counted together.

use crate::connection::Admission;
use crate::http::{Api, Client, Incoming, Outgoing};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stoq::http3::{ALPN, Body, Caller, Http3, HttpLimits};
use stoq::{BindError, Endpoint, Router, ServerTls, Settings};
use tokio::sync::watch;

/// How long connections are given to finish when the server stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// A client must finish its handshake, and the fields of each request, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection on which nothing is heard for so long is over.
const SILENCE: Duration = Duration::from_secs(30);
/// A connection on which no request was answered is closed after this time.
const UNUSED: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(60);
/// Streams of one connection.
const MOST_STREAMS: u32 = 250;
/// What a client may send on a stream, and on all of them, before anyone reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What may be on its way to a client, in bytes, which the bound of all replies does not count: some 2.5 MB/s at 100 ms.
const SEND_WINDOW: u64 = 256 * 1024;
/// The fields of a request, in bytes.
const LONGEST_FIELDS: u64 = 64 * 1024;
/// For how long clients may remember that HTTP/3 is served, in seconds.
const REMEMBER: u32 = 3600;

/// Binds UDP and begins to serve, with one TLS for good. `secret` stays the same over restarts.
pub(crate) fn start(
    address: SocketAddr,
    tls: ServerConfig,
    api: &Arc<Api>,
    admission: &Arc<Admission>,
    secret: &[u8],
) -> Option<Router> {
    match bind(address, tls, api, admission, secret) {
        Ok(router) => {
            let port = address.port();
            let alternative = HeaderValue::try_from(format!("h3=\":{port}\"; ma={REMEMBER}"));
            if let Ok(alternative) = alternative {
                let _ = api.alternative.set(alternative);
            }
            let _ = api.metrics.quic.set(Arc::clone(router.endpoint().metrics()));
            Some(router)
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map(tracing::field::display);
            tracing::warn!(%error, source, "HTTP/3 is not served; clients are served over TCP");
            None
        }
    }
}

fn bind(
    address: SocketAddr,
    tls: ServerConfig,
    api: &Arc<Api>,
    admission: &Arc<Admission>,
    secret: &[u8],
) -> Result<Router, BindError> {
    let settings = Settings {
        idle_timeout: SILENCE,
        handshake_timeout: PATIENCE,
        streams: MOST_STREAMS,
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        send_window: SEND_WINDOW,
        datagrams: None,
        ..Settings::default()
    };
    let http = HttpLimits {
        field_bytes: LONGEST_FIELDS,
        field_patience: PATIENCE,
        unused: UNUSED,
        answer_patience: STALL,
        ..HttpLimits::default()
    };
    let endpoint = Endpoint::with_tls(Some(ServerTls::from_rustls(tls)), None)
        .address(address)
        .settings(settings)
        .reset_secret(secret)
        .bind()?;
    let admission = Arc::clone(admission);
    let router = Router::builder(endpoint)
        .accept(ALPN, Http3::new(Answers(Arc::clone(api))).limits(http))
        // What is left to the endpoint are handshakes.
        .limits(stoq::Limits { connections: usize::MAX, per_address: usize::MAX, ..stoq::Limits::default() })
        .admit(move |address| admission.enter(address).ok())
        .spawn()?;
    Ok(router)
}

/// Serves until `closing` turns true, then lets requests finish.
pub(crate) async fn serve(router: Router, mut closing: watch::Receiver<bool>) {
    // Ends, too, when the sender is gone.
    let _ = closing.wait_for(|closing| *closing).await;
    if !router.shutdown(FAREWELL).await {
        tracing::warn!("some HTTP/3 connections did not finish in {} s and were cut", FAREWELL.as_secs());
    }
}

/// The API as HTTP/3 asks it.
#[derive(Clone)]
struct Answers(Arc<Api>);

impl tower::Service<Request<Body>> for Answers {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Outgoing>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = match request.extensions().get::<Caller>() {
            Some(caller) => {
                let known = caller.peer.known_as(|peer| Client::of(peer.certificates.first()));
                Client::clone(&known)
            }
            None => Client::default(),
        };
        let api = Arc::clone(&self.0);
        Box::pin(async move { Ok(api.answer(client, request.map(Incoming::Quic)).await) })
    }
}

#[cfg(test)]
mod tests;
