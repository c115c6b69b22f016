//! HTTP/1.1 and HTTP/2 over TLS over TCP: connections that are opened when first needed, kept, and pinged.

use crate::body::Body;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::{Metrics, Protocol};
use crate::wire::fault::{ConnectError, PATIENCE};
use crate::wire::stream::{Stream, Witness, Witnessed};
use crate::wire::{addresses, tls};
use http::uri::Authority;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(90);
/// Connections that are kept for each host; HTTP/2 needs one.
const MOST_IDLE: usize = 4;

/// HTTP over TCP to the members of one cluster.
#[derive(Clone)]
pub(crate) struct Tcp {
    http: legacy::Client<Connector, Body>,
    witness: Witnessed,
    /// Whether a certificate is shown, which a server may refuse without a word.
    certified: bool,
    silence: Duration,
    connector: Connector,
}

impl Tcp {
    pub fn new(config: &Config) -> Result<Self, Error> {
        let tls = if config.server.tls() {
            // A name that is none is a fault of the configuration, and is told as such.
            tls::server_name(config, config.server.host())?;
            let mut tls = tls::configuration(config)?;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Some(TlsConnector::from(Arc::new(tls)))
        } else {
            None
        };
        let connector = Connector {
            tls,
            server_name: config.server_name.clone(),
            witness: Witnessed::default(),
            silence: config.silence,
            metrics: Arc::clone(&config.metrics),
            stock: Stock::default(),
        };
        let witness = Arc::clone(&connector.witness);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            // A watch may be silent for ever, and so may a peer that is gone: only a ping tells them apart.
            .http2_keep_alive_interval(config.silence / 2)
            .http2_keep_alive_timeout(config.silence / 2)
            .http2_adaptive_window(true)
            .build(connector.clone());
        let certified = config.server.tls() && config.identity.certificate.is_some();
        Ok(Self { http, witness, certified, silence: config.silence, connector })
    }

    /// Has a connection to the authority of `uri` ready for the next request.
    pub async fn ready(&self, uri: &http::Uri) -> Result<(), ConnectError> {
        let dialled = self.connector.dial(uri).await;
        self.connector.metrics.connected(Protocol::Tcp, dialled.is_ok());
        let stream = dialled?;
        if let (Some(authority), Ok(mut stock)) = (uri.authority(), self.connector.stock.lock()) {
            stock.insert(authority.clone(), (Instant::now(), stream));
        }
        Ok(())
    }

    /// Sends a request whose target is a whole URL.
    pub async fn send(&self, request: Request<Body>, server: &str) -> Result<Response<Body>, Error> {
        let reply = self.http.request(request).await.map_err(|error| self.explain(server, &error))?;
        let (server, silence, witness) = (server.to_owned(), self.silence, Arc::clone(&self.witness));
        let told = move |error: hyper::Error| of_open(&witness, silence, &server, &error);
        Ok(reply.map(|body| Body::stream(body.map_err(told))))
    }

    fn explain(&self, server: &str, error: &(dyn std::error::Error + 'static)) -> Error {
        let witness = self.witness.lock().map(|mut w| (w.fault.take(), w.spoke));
        let (fault, spoke) = witness.unwrap_or((None, true));
        let dropped = (self.certified && !spoke).then_some(ConnectError::Dropped);
        match (of_open(&self.witness, self.silence, server, error), fault.map(ConnectError::Tls).or(dropped))
        {
            (Error::Broken { server, .. }, Some(cause)) => Error::Connect { server, cause },
            (other, _) => other,
        }
    }
}

/// What went wrong on a connection that was open. When an unanswered ping ends a connection, its streams say only that
/// it is gone: how long nothing was heard tells the two apart.
fn of_open(
    witness: &Witnessed,
    silence: Duration,
    server: &str,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    let heard = witness.lock().map(|witness| witness.heard.elapsed()).unwrap_or_default();
    match Error::of_hyper(server, error, silence) {
        Error::Broken { server, .. } if heard >= silence / 4 * 3 => Error::Silent { server, after: silence },
        other => other,
    }
}

/// Opens connections: name, TCP, TLS, each with a bound and a name for its failure.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
    server_name: Option<String>,
    witness: Witnessed,
    silence: Duration,
    metrics: Arc<Metrics>,
    stock: Stock,
}

/// Connections that won a race and wait for their first request, and since when.
type Stock = Arc<Mutex<HashMap<Authority, (Instant, Stream)>>>;
/// How long a connection may wait for its first request: servers close those that never ask.
const FRESH: Duration = Duration::from_secs(2);

impl Connector {
    async fn open(self, uri: http::Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let ready = uri.authority().and_then(|authority| self.stock.lock().ok()?.remove(authority));
        if let Some((since, stream)) = ready
            && since.elapsed() < FRESH
        {
            return Ok(TokioIo::new(stream));
        }
        let opened = self.dial(&uri).await;
        self.metrics.connected(Protocol::Tcp, opened.is_ok());
        opened.map(TokioIo::new)
    }

    async fn dial(&self, uri: &http::Uri) -> Result<Stream, ConnectError> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let tcp = tokio::time::timeout(PATIENCE, addresses::connect(&host, port, self.silence));
        let tcp = tcp.await.map_err(|_| ConnectError::TimedOut("TCP"))??;
        let Some(connector) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let name = self.server_name.clone().unwrap_or(host);
        let name =
            rustls_pki_types::ServerName::try_from(name.clone()).map_err(|_| ConnectError::Misnamed(name))?;
        match tokio::time::timeout(PATIENCE, connector.connect(name, tcp)).await {
            Ok(Ok(stream)) => {
                if let Ok(mut witness) = self.witness.lock() {
                    *witness = Witness::default();
                }
                Ok(Stream::Tls(Box::new(stream), Arc::clone(&self.witness)))
            }
            Ok(Err(error)) => Err(handshake_error(&error)),
            Err(_) => Err(ConnectError::TimedOut("TLS handshake")),
        }
    }
}

fn handshake_error(error: &io::Error) -> ConnectError {
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => ConnectError::NotTls,
        Some(tls) => ConnectError::Tls(tls.clone()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectError::NotTls,
        None => ConnectError::Tcp(error.kind(), error.to_string()),
    }
}

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}
