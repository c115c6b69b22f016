//! One connection: its handshake, its requests, and the reasons for which it ends.
//!
//! Whatever a client does, what it holds is bounded in time: a handshake, the head of a request, silence between
//! requests, and replies that it does not take. Only a watch may be quiet for as long as it lasts.

mod activity;
mod admission;
mod handshakes;
mod io;
mod pace;
mod socket;

pub(crate) use activity::{Activity, InProgress};
pub(crate) use admission::{Admission, Limits, Refused};
pub(crate) use handshakes::Handshakes;
pub(crate) use pace::Pace;

use crate::http::{Api, Client, Incoming as Body};
use crate::metrics::Metrics;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pace::Streams;
use rustls::ServerConfig;
use socket::Socket;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client must finish its handshake, and the head of each request, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection is closed when it was never used for so long.
const UNUSED: Duration = Duration::from_secs(30);
/// A connection is closed when there was no request for so long: longer than clients keep theirs (Go's 90 s), so that
/// they close first and no request is lost.
const IDLE: Duration = Duration::from_secs(180);
/// Streams of one HTTP/2 connection (the reference's default).
const MOST_STREAMS: u32 = 250;
/// What a client may send on a stream before anyone reads it, in bytes. The protocol's initial value.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// The same for all streams of a connection: what a stranger can make the server hold.
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// Streams that were reset before they were looked at, and streams that were reset for the client's errors: beyond
/// these the client is told to calm down and the connection ends.
const MOST_RESET: usize = 20;
const MOST_ERRORS: usize = 256;
/// The longest head of a request, in bytes. On HTTP/2 it also bounds the frames that a head may come in.
const LONGEST_HEAD: usize = 64 * 1024;

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    api: Arc<Api>,
    handshakes: &Handshakes,
    closing: watch::Receiver<bool>,
) {
    // Small writes (watch events) must not wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let Some(stream) = handshake(stream, tls, handshakes, &api.metrics).await else { return };
    let (client, multiplexed) = {
        let connection = stream.get_ref().1;
        (client(connection), connection.alpn_protocol() == Some(b"h2"))
    };
    let activity = Activity::new();
    let bounds = io::Bounds { head: (!multiplexed).then_some(PATIENCE), stall: api.stall };
    let stream = TokioIo::new(io::Watched::new(stream, Arc::clone(&activity), bounds));
    let builder = builder(multiplexed, Streams { bound: api.stall, metrics: Arc::clone(&api.metrics) });
    let (requests, metrics) = (Arc::clone(&activity), Arc::clone(&api.metrics));
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let (api, client, mut progress) = (Arc::clone(&api), client.clone(), requests.begin());
        // What a request is upgraded to is in progress for longer than its reply.
        request.extensions_mut().insert(Arc::clone(&requests));
        // The body of its reply is never asked for.
        if request.method() == http::Method::HEAD {
            progress.finish();
        }
        async move {
            let reply = api.answer(client, request.map(Body::Tcp)).await;
            Ok::<_, Infallible>(reply.map(|body| body.sent_by(progress, Pace::current())))
        }
    });
    let connection = builder.serve_connection_with_upgrades(stream, service);
    let mut connection = std::pin::pin!(connection);
    let ended = until_closed(connection.as_mut(), &activity, closing).await;
    match ended {
        Ended::Itself(Ok(())) => {}
        Ended::Itself(Err(error)) => {
            if timed_out(error.as_ref()) {
                metrics.stalled_connections.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(error = %error, "a connection ended early");
        }
        Ended::Flooded => {
            metrics.flooded_connections.fetch_add(1, Ordering::Relaxed);
            tracing::info!("a connection was cut: its client gave up requests as fast as it made them");
        }
    }
}

type Serving<'b, I, S> = auto::UpgradeableConnection<'b, I, S, Streams>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whether a connection ended by one of its own bounds.
fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

enum Ended {
    Itself(Result<(), Failure>),
    Flooded,
}

fn builder(multiplexed: bool, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    // The head's bound is the connection's own: hyper's would count silence between requests too.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MOST_RESET)
        .max_local_error_reset_streams(MOST_ERRORS)
        .max_send_buf_size(LONGEST_HEAD)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    // What the handshake agreed on is spoken, and nothing else.
    if multiplexed { builder.http2_only() } else { builder.http1_only() }
}

/// Drives a connection until it ends; asks it to end when the server closes, or nobody uses it.
async fn until_closed<I, S, B>(
    mut connection: std::pin::Pin<&mut Serving<'_, I, S>>,
    activity: &Activity,
    mut closing: watch::Receiver<bool>,
) -> Ended
where
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<Failure>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failure>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut asked = false;
    loop {
        let until = idle_until(activity);
        tokio::select! {
            ended = connection.as_mut() => return Ended::Itself(ended),
            () = activity.flooded() => return Ended::Flooded,
            () = closed(&mut closing), if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(until) => {
                // There may have been requests meanwhile.
                let idle = idle_until(activity) <= Instant::now();
                // Who was asked to go and says nothing more is not waited for.
                if idle && asked {
                    return Ended::Itself(Ok(()));
                }
                if idle {
                    asked = true;
                    connection.as_mut().graceful_shutdown();
                    if let Some(ended) = farewell(connection.as_mut()).await {
                        return Ended::Itself(ended);
                    }
                }
            }
        }
    }
}

/// Until when a connection is waited for, unless a request begins.
fn idle_until(activity: &Activity) -> Instant {
    let (since, requests) = activity.idle();
    since.unwrap_or_else(Instant::now) + if requests == 0 { UNUSED } else { IDLE }
}

/// Ends when the server closes, or is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Gives a connection that was asked to end the time to say so.
async fn farewell<F: Future>(connection: std::pin::Pin<&mut F>) -> Option<F::Output> {
    tokio::time::timeout(PATIENCE, connection).await.ok()
}

async fn handshake(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    handshakes: &Handshakes,
    metrics: &Metrics,
) -> Option<TlsStream<Socket>> {
    let mut turn = handshakes.begin();
    let failed = || {
        metrics.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    };
    tokio::select! {
        shaken = tokio::time::timeout(PATIENCE, TlsAcceptor::from(tls).accept(Socket(stream))) => match shaken {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                failed();
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                failed();
                None
            }
        },
        () = turn.displaced() => {
            failed();
            None
        }
    }
}

/// Whom the connection's certificate names, decided once a connection.
fn client(connection: &rustls::ServerConnection) -> Client {
    Client::of(connection.peer_certificates().and_then(|chain| chain.first()))
}

#[cfg(test)]
mod tests;
