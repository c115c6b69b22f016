//! Connections: TLS, HTTP/1.1 and HTTP/2, and their end.

use crate::access;
use crate::http::{Api, Client};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A client must finish its handshake, and the head of each request, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long connections are given to finish when the server stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// Connections at a time; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 20_000;
/// Handshakes at a time: what strangers can make the server compute.
const MOST_HANDSHAKES: usize = 256;
/// Streams of one HTTP/2 connection (the reference's default).
const MOST_STREAMS: u32 = 250;

/// Accepts connections until `closing` turns true, then lets them finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    api: Arc<Api>,
    mut closing: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let handshakes = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others have to close first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = closed(&mut closing) => break,
        };
        let (api, tls, handshakes) = (Arc::clone(&api), tls.load_full(), Arc::clone(&handshakes));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            api.metrics.connections.fetch_add(1, Ordering::Relaxed);
            connection(stream, tls, &api, &handshakes, watcher).await;
            api.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in {} s and were cut", FAREWELL.as_secs());
    }
}

/// Ends when the server closes (or the sender is gone).
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn connection(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    api: &Arc<Api>,
    handshakes: &Semaphore,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Small writes (watch events) must not wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let Some(stream) = handshake(stream, tls, handshakes, &api.metrics).await else { return };
    let client = client(stream.get_ref().1);
    let api = Arc::clone(api);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (api, client) = (Arc::clone(&api), client.clone());
        async move { Ok::<_, Infallible>(api.answer(client, request.map(axum::body::Body::new)).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

async fn handshake(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    handshakes: &Semaphore,
    metrics: &Metrics,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let _turn = tokio::time::timeout(PATIENCE, handshakes.acquire()).await.ok()?.ok()?;
    match tokio::time::timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            metrics.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            metrics.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Whom the connection's certificate names, decided once a connection.
fn client(connection: &rustls::ServerConnection) -> Client {
    let Some(certificate) = connection.peer_certificates().and_then(|chain| chain.first()) else {
        return Client::default();
    };
    let expires = x509_parser::parse_x509_certificate(certificate)
        .ok()
        .map(|(_, c)| c.validity().not_after.timestamp());
    Client { user: access::certificate_user(certificate).map(Arc::new), expires }
}
