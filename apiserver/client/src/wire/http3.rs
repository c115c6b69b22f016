//! HTTP/3: requests over QUIC, on an endpoint that is bound when first needed.
//!
//! A request that changes nothing and has no body goes into the first flight of a connection that is resumed. A replay of
//! it would do no harm, and our servers hand each session out once, so that none is read (RFC 8470).

use crate::body::{Body, CollectError};
use crate::config::Config;
use crate::error::Error;
use crate::metrics::{Metrics, Protocol};
use crate::wire::fault::ConnectError;
use crate::wire::tls;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use rustls::CertificateError;
use rustls_pki_types::UnixTime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stoq::http3::{BodyError, Client, EarlyData, RequestError};
use stoq::{CertificateProblem, Closed, Endpoint, Identity, Settings, Trust};

/// How long a QUIC handshake may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// HTTP/3 to the members of one cluster.
#[derive(Clone)]
pub(crate) struct Http3(Arc<Inner>);

struct Inner {
    trust: Trust,
    identity: Option<Identity>,
    server_name: Option<String>,
    silence: Duration,
    metrics: Arc<Metrics>,
    /// Dials that were counted.
    dialled: AtomicU64,
    /// Bound by the first request: a client that never sends one needs no socket, and no runtime.
    client: OnceLock<Result<Client, String>>,
}

impl Http3 {
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            trust: tls::quic_trust(config)?,
            identity: identity(config)?,
            server_name: config.server_name.clone(),
            silence: config.silence,
            metrics: Arc::clone(&config.metrics),
            dialled: AtomicU64::new(0),
            client: OnceLock::new(),
        })))
    }

    fn client(&self) -> Result<&Client, ConnectError> {
        let client = self.0.client.get_or_init(|| self.0.bind());
        client.as_ref().map_err(|why| ConnectError::Quic(why.clone()))
    }

    /// Has a connection to the authority of `uri`, dialled if there is none.
    pub async fn ready(&self, uri: &Uri) -> Result<(), ConnectError> {
        let client = self.client()?;
        let connected = client.connect(uri).await;
        self.count(client, connected.is_ok());
        connected.map(drop).map_err(|error| explain(&error))
    }

    /// Sends a request whose target is a whole URL.
    pub async fn send(&self, mut request: Request<Body>, server: &str) -> Result<Response<Body>, Error> {
        let unreachable = |cause| Error::Connect { server: server.to_owned(), cause };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let client = self.client().map_err(unreachable)?;
        if may_be_early(&request) {
            request.extensions_mut().insert(EarlyData);
        }
        let reply = client.send(request).await;
        self.count(client, !matches!(reply, Err(RequestError::Connect(_))));
        let reply = reply.map_err(|error| self.told(server, method, path, error))?;
        let (server, silence) = (server.to_owned(), self.0.silence);
        Ok(reply.map(|body| Body::stream(body.map_err(move |error| broken_off(&server, &error, silence)))))
    }

    /// Counts what was dialled since the last look: mostly a connection is there.
    fn count(&self, client: &Client, opened: bool) {
        let dialled = client.endpoint().metrics().dialled.get();
        if self.0.dialled.fetch_max(dialled, Ordering::Relaxed) < dialled {
            self.0.metrics.connected(Protocol::Http3, opened);
        }
    }

    fn told(&self, server: &str, method: Method, path: String, error: RequestError) -> Error {
        let server = server.to_owned();
        match error {
            RequestError::Timeout { after } => Error::Timeout { server, after },
            RequestError::Closed(Closed::TimedOut) => Error::Silent { server, after: self.0.silence },
            RequestError::Body(error) => Error::Body { method, path, source: CollectError::Broken(error) },
            // The handshake had no end for the server: it has taken nothing.
            RequestError::Closed(Closed::CertificateRefused { .. }) => {
                Error::Connect { server, cause: ConnectError::Dropped }
            }
            error if error.is_unprocessed() => Error::Connect { server, cause: explain(&error) },
            error => Error::Broken { server, message: chain(&error) },
        }
    }
}

/// Whether a request may be sent before the server is proven: someone on the way could send it again.
pub(crate) fn may_be_early(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && http_body::Body::is_end_stream(request.body())
        && !request.headers().contains_key(http::header::UPGRADE)
}

impl Inner {
    fn bind(&self) -> Result<Client, String> {
        let settings = Settings {
            idle_timeout: self.silence,
            // Two may be lost before the peer is taken to be gone.
            keep_alive: Some(self.silence / 3),
            handshake_timeout: PATIENCE,
            datagrams: None,
            ..Settings::default()
        };
        let mut endpoint = Endpoint::client(self.trust.clone()).settings(settings);
        if let Some(identity) = &self.identity {
            endpoint = endpoint.identity(identity.clone());
        }
        let endpoint = endpoint.bind().map_err(|error| chain(&error))?;
        // The wait for a reply is bounded above.
        let mut client = Client::builder(endpoint).answer_patience(None);
        if let Some(name) = &self.server_name {
            client = client.server_name(name);
        }
        Ok(client.build())
    }
}

fn identity(config: &Config) -> Result<Option<Identity>, Error> {
    let Some((certificate, key)) = &config.identity.certificate else { return Ok(None) };
    let (shown, private) = tls::pair(certificate, key)?;
    Identity::issued(shown, private).map(Some).map_err(|error| match error {
        stoq::TlsError::Identity(error) => tls::unusable(error, certificate, key),
        other => Error::setup(&key.origin, chain(&other)),
    })
}

/// Why no connection came about, in the same words as over TCP where it is the same fault.
fn explain(error: &RequestError) -> ConnectError {
    use stoq::ConnectError as Dial;
    match error {
        RequestError::Connect(Dial::Resolve { source, .. }) => ConnectError::Unresolved(source.to_string()),
        RequestError::Connect(Dial::NoAnswer { .. }) => ConnectError::NoUdp(PATIENCE),
        RequestError::Connect(Dial::Certificate { problem, .. }) => refused(problem),
        RequestError::Connect(Dial::Handshake { closed: Closed::CertificateRefused { .. }, .. }) => {
            ConnectError::Dropped
        }
        RequestError::Connect(error) => ConnectError::Quic(chain(error)),
        other => ConnectError::Quic(chain(other)),
    }
}

/// What is wrong with a server's certificate.
fn refused(problem: &CertificateProblem) -> ConnectError {
    let invalid = |error| ConnectError::Tls(rustls::Error::InvalidCertificate(error));
    let (begin, since) = (Duration::ZERO, UnixTime::since_unix_epoch);
    match problem {
        CertificateProblem::UnknownIssuer => invalid(CertificateError::UnknownIssuer),
        CertificateProblem::Revoked => invalid(CertificateError::Revoked),
        // How far apart the two times are is all that is told of them.
        CertificateProblem::Expired { ago } => {
            invalid(CertificateError::ExpiredContext { time: since(*ago), not_after: since(begin) })
        }
        CertificateProblem::NotYetValid { ahead } => {
            invalid(CertificateError::NotValidYetContext { time: since(begin), not_before: since(*ahead) })
        }
        CertificateProblem::NotForName { expected, presented } => {
            ConnectError::OtherName { presented: presented.clone(), expected: expected.clone(), origin: None }
        }
        problem => ConnectError::Quic(format!("its certificate is refused: {problem}")),
    }
}

fn broken_off(server: &str, error: &BodyError, silence: Duration) -> Error {
    let server = server.to_owned();
    match error {
        BodyError::Closed(Closed::TimedOut) => Error::Silent { server, after: silence },
        other => Error::Broken { server, message: chain(other) },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
