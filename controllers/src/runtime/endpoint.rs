//! `/metrics`, `/healthz`, `/readyz` and `/decisions` of a controller process.
//!
//! Metrics and health tell no name of any object and are served to whoever reaches the port. Decisions do, and are
//! served to this machine alone, and not to a browser that a stranger's name has led here: elsewhere, conditions and
//! Events say the same to those who may read them. What a client may hold is bounded: connections, the head of a request,
//! and time.

use super::decision::{Asked, Decisions};
use super::metrics::Metrics;
use super::stop::Stop;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hypermesh_api::query::Query;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Decisions that are served at once.
const AT_ONCE: usize = 1_000;
/// Connections that are served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 32;
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// Within this time a request has to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// No connection lasts longer: a scrape takes milliseconds.
const LONGEST: Duration = Duration::from_secs(300);

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Counters of the client by which the API server is reached.
    pub client: Arc<hypermesh_client::Metrics>,
    /// Decisions.
    pub decisions: Arc<Decisions>,
}

/// Serves until it is stopped; requests that are under way are cut.
pub async fn serve(listener: TcpListener, served: Served, mut stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, served.clone()));
                }
                Err(error) => {
                    // Out of files, most of all: a loop would make it worse.
                    tracing::warn!(%error, "a connection to the metrics was not taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, served: Served) {
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = served.answer(&request, peer);
        async move { Ok::<_, Infallible>(reply) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LONGEST, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the metrics ended early"),
    }
}

impl Served {
    fn answer<B>(&self, request: &Request<B>, peer: SocketAddr) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        }
        match request.uri().path() {
            "/metrics" => {
                let media = "text/plain; version=0.0.4; charset=utf-8";
                reply(StatusCode::OK, media, self.metrics.render() + &self.client.render())
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/decisions" if !is_asked_by_address(request) => {
                text(StatusCode::FORBIDDEN, "decisions are told to who asks for localhost or an address\n")
            }
            "/decisions" => self.decisions(request.uri().query().unwrap_or_default(), peer),
            _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz and /decisions are served here\n"),
        }
    }

    /// A process that stands by is ready: it is what it is there for. One that cannot read its Lease does not stand by: it
    /// would take nothing over.
    fn ready(&self) -> Response<Full<Bytes>> {
        if self.metrics.lease_unread.load(Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the Lease has not been read yet\n");
        }
        if !self.metrics.synced() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the watches have not shown all that exists yet\n");
        }
        let leading = self.metrics.leading.load(Relaxed);
        text(StatusCode::OK, if leading { "ok: leading\n" } else { "ok: standing by\n" })
    }

    fn decisions(&self, query: &str, peer: SocketAddr) -> Response<Full<Bytes>> {
        if !peer.ip().to_canonical().is_loopback() {
            return text(StatusCode::FORBIDDEN, "decisions are told on this machine alone\n");
        }
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(status) => return text(StatusCode::BAD_REQUEST, &format!("{}\n", status.message)),
        };
        let asked = Asked {
            kind: query.first("kind").unwrap_or_default().to_owned(),
            namespace: query.first("namespace").map(str::to_owned),
            name: query.first("name").unwrap_or_default().to_owned(),
        };
        match serde_json::to_string(&self.decisions.find(&asked, AT_ONCE)) {
            Ok(json) => reply(StatusCode::OK, "application/json", json),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

/// Whether a request was sent to an address or to `localhost`. A page of a stranger reaches this machine by a name of the
/// stranger's, which was made to lead here once the page was loaded; an address cannot be made to.
fn is_asked_by_address<B>(request: &Request<B>) -> bool {
    let named = match (request.uri().authority(), request.headers().get(header::HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => host.to_str().ok().and_then(|host| host.parse().ok()),
        // No browser leaves it out.
        (None, None) => return true,
    };
    named.is_some_and(|authority: http::uri::Authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

fn text(code: StatusCode, text: &str) -> Response<Full<Bytes>> {
    reply(code, "text/plain; charset=utf-8", text.to_owned())
}

fn reply(code: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, peer: &str) -> u16 {
        let served = Served { metrics: Arc::default(), client: Arc::default(), decisions: Arc::default() };
        let request = Request::builder().uri(path).body(()).unwrap();
        served.answer(&request, peer.parse().unwrap()).status().as_u16()
    }

    #[test]
    fn decisions_are_for_this_machine_alone() {
        assert_eq!(ask("/decisions?kind=namespace", "127.0.0.1:9"), 200);
        assert_eq!(ask("/decisions", "[::1]:9"), 200);
        assert_eq!(ask("/decisions", "[::ffff:127.0.0.1]:9"), 200);
        assert_eq!(ask("/decisions", "192.0.2.7:9"), 403);
        assert_eq!(ask("/decisions?name=%zz", "127.0.0.1:9"), 400);
        assert_eq!(ask("/metrics", "192.0.2.7:9"), 200);
        assert_eq!(ask("/other", "127.0.0.1:9"), 404);
    }

    #[test]
    fn a_name_that_was_pointed_here_gets_no_decisions() {
        let asked = |host: &str| {
            let served =
                Served { metrics: Arc::default(), client: Arc::default(), decisions: Arc::default() };
            let request = Request::builder().uri("/decisions").header("host", host).body(()).unwrap();
            served.answer(&request, "127.0.0.1:9".parse().unwrap()).status().as_u16()
        };
        for host in ["localhost:6445", "LOCALHOST", "127.0.0.1:6445", "[::1]:6445", "127.0.0.1"] {
            assert_eq!(asked(host), 200, "{host}");
        }
        for host in
            ["evil.example:6445", "localhost.evil.example", "127.0.0.1.evil.example", "", "x@evil.example"]
        {
            assert_eq!(asked(host), 403, "{host}");
        }
    }

    #[test]
    fn a_process_is_ready_once_it_stands_by_or_has_seen_everything() {
        let served = Served { metrics: Arc::default(), client: Arc::default(), decisions: Arc::default() };
        assert_eq!(served.ready().status(), 200);
        served.metrics.lease_unread.store(true, Relaxed);
        assert_eq!(served.ready().status(), 503);
        served.metrics.lease_unread.store(false, Relaxed);
        served.metrics.leading.store(true, Relaxed);
        served.metrics.of("one");
        assert_eq!(served.ready().status(), 503);
    }
}
