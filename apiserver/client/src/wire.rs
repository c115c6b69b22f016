//! The last layer: from a request for a path to bytes on a connection.
//!
//! It adds what is the same for every request (server, agent, token) and bounds the wait for a reply's beginning. It
//! sends each request once; who sends again is above.

mod addresses;
mod fault;
mod http3;
mod race;
mod stream;
mod tcp;
mod tls;

pub use fault::ConnectError;
pub(crate) use fault::span;
pub(crate) use tls::private_key;
pub use tls::{any_certificate, system_roots};

use crate::body::Body;
use crate::config::{Config, Server, Transport};
use crate::error::Error;
use crate::metrics::{Metrics, Protocol};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http3::Http3;
use race::{Choice, Memory, race};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tcp::Tcp;

/// The future of every layer here.
pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// An extension of a request: the member of the cluster that it goes to, where that is not the configured server.
#[derive(Clone, Debug)]
pub(crate) struct Member(pub Authority);

/// An extension of a request: the longest wait for its reply, where that is shorter than the configured one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound(pub Duration);

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

struct Inner {
    server: Server,
    headers: Vec<(HeaderName, HeaderValue)>,
    agent: HeaderValue,
    timeout: Duration,
    transport: Transport,
    memory: Memory,
    /// Held by who races: others wait for the outcome.
    racing: tokio::sync::Mutex<()>,
    tcp: Tcp,
    /// None where TCP alone is to be used.
    http3: Option<Http3>,
    metrics: Arc<Metrics>,
    words: fault::Words,
}

impl Wire {
    pub fn new(config: &Config) -> Result<Self, Error> {
        // HTTP/3 is never plain.
        let transport = if config.server.tls() { config.transport } else { Transport::Tcp };
        Ok(Self(Arc::new(Inner {
            server: config.server.clone(),
            headers: identity(config)?,
            agent: value("the user agent", &config.agent)?,
            timeout: config.timeout,
            transport,
            memory: Memory::default(),
            racing: tokio::sync::Mutex::default(),
            tcp: Tcp::new(config)?,
            http3: if transport == Transport::Tcp { None } else { Some(Http3::new(config)?) },
            metrics: Arc::clone(&config.metrics),
            words: fault::Words::of(config),
        })))
    }
}

impl tower::Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ReplyFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(request).await })
    }
}

impl Inner {
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Error> {
        let bound = request.extensions().get::<Bound>().map_or(self.timeout, |b| b.0.min(self.timeout));
        let request = self.addressed(request)?;
        let server = self.named(request.uri());
        self.metrics.begun();
        let mut protocol = None;
        let reply = tokio::time::timeout(bound, self.exchange(request, &server, &mut protocol)).await;
        let reply = match reply {
            Ok(reply) => reply.map_err(|error| self.words.add_to(error)),
            Err(_) => Err(Error::Timeout { server, after: bound }),
        };
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        self.metrics.ended(protocol, reply.as_ref().ok().map(|reply| reply.status().as_u16()));
        reply
    }

    /// Sends a request over the protocol that is known to work, or that turns out to.
    async fn exchange(
        self: &Arc<Self>,
        request: Request<Body>,
        server: &str,
        over: &mut Option<Protocol>,
    ) -> Result<Response<Body>, Error> {
        let (Some(authority), Some(http3)) = (request.uri().authority().cloned(), &self.http3) else {
            *over = Some(Protocol::Tcp);
            return self.tcp.send(request, server).await;
        };
        let known = self.transport == Transport::Auto && self.memory.knows_http3(&authority);
        if known && http3::may_be_early(&request) {
            return self.at_once(http3, &authority, request, server, over).await;
        }
        let protocol = self.protocol(http3, &authority, request.uri(), server).await?;
        *over = Some(protocol);
        if protocol == Protocol::Tcp {
            return self.tcp.send(request, server).await;
        }
        let (parts, body) = request.into_parts();
        let again = body.try_clone().map(|body| Request::from_parts(parts.clone(), body));
        let reply = http3.send(Request::from_parts(parts, body), server).await;
        let Err(error) = reply else { return reply };
        if error.is_unreachable() {
            self.memory.forget(&authority);
        }
        match again {
            // It worked before and does not any more: nothing was sent, so TCP may be used.
            Some(request) if self.transport == Transport::Auto && matches!(error, Error::Connect { .. }) => {
                *over = Some(Protocol::Tcp);
                self.tcp.send(request, server).await
            }
            _ => Err(error),
        }
    }

    /// Sends a read over HTTP/3, which worked before, without waiting for a connection that stands: on one that is
    /// resumed it goes into the first flight. TCP joins the race as it does before other requests, and has the read if
    /// it wins.
    async fn at_once(
        &self,
        http3: &Http3,
        authority: &Authority,
        request: Request<Body>,
        server: &str,
        over: &mut Option<Protocol>,
    ) -> Result<Response<Body>, Error> {
        let (parts, _) = request.into_parts();
        let again = || Request::from_parts(parts.clone(), Body::empty());
        *over = Some(Protocol::Http3);
        let mut sent = std::pin::pin!(http3.send(again(), server));
        let reply = tokio::select! {
            biased;
            reply = &mut sent => Some(reply),
            raced = self.raced(http3, authority, &parts.uri, server) => match raced? {
                Protocol::Http3 => Some(sent.await),
                Protocol::Tcp => None,
            },
        };
        match reply {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(error)) => {
                if error.is_unreachable() {
                    self.memory.forget(authority);
                }
                // Nothing was sent, so TCP may be used.
                if !matches!(error, Error::Connect { .. }) {
                    return Err(error);
                }
            }
            None => {}
        }
        *over = Some(Protocol::Tcp);
        self.tcp.send(again(), server).await
    }

    /// The protocol to use for a server.
    async fn protocol(
        self: &Arc<Self>,
        http3: &Http3,
        authority: &Authority,
        uri: &Uri,
        server: &str,
    ) -> Result<Protocol, Error> {
        match self.memory.choose(self.transport, authority) {
            // A connection that stands is found at once; one that has gone is raced for again.
            Choice::Use(Protocol::Http3) if self.transport == Transport::Auto => {
                self.raced(http3, authority, uri, server).await
            }
            Choice::Use(protocol) => Ok(protocol),
            Choice::TcpAndTry => {
                let (inner, http3) = (Arc::clone(self), http3.clone());
                let (authority, uri) = (authority.clone(), uri.clone());
                tokio::spawn(async move {
                    if http3.ready(&uri).await.is_ok() {
                        inner.memory.remember(&authority, Protocol::Http3);
                    }
                });
                Ok(Protocol::Tcp)
            }
            Choice::Race => {
                let _racing = self.racing.lock().await;
                if let Choice::Use(protocol) = self.memory.choose(self.transport, authority) {
                    return Ok(protocol);
                }
                self.raced(http3, authority, uri, server).await
            }
        }
    }

    async fn raced(
        &self,
        http3: &Http3,
        authority: &Authority,
        uri: &Uri,
        server: &str,
    ) -> Result<Protocol, Error> {
        let raced = race(http3.ready(uri), self.tcp.ready(uri)).await;
        let protocol = raced.map_err(|(tcp, http3)| {
            let cause = match http3 {
                Some(http3) => ConnectError::Both { tcp: Box::new(tcp), http3: Box::new(http3) },
                None => tcp,
            };
            Error::Connect { server: server.to_owned(), cause }
        })?;
        tracing::trace!(server, protocol = protocol.as_str(), "the server was reached");
        self.memory.remember(authority, protocol);
        Ok(protocol)
    }

    /// The request with a whole URL and the headers that are the same for all.
    fn addressed(&self, request: Request<Body>) -> Result<Request<Body>, Error> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = match parts.extensions.get::<Member>() {
            Some(Member(authority)) => format!("https://{authority}{}{path}", self.server.prefix()),
            None => format!("{}{path}", self.server.url()),
        };
        let uri: Result<Uri, _> = url.parse();
        parts.uri =
            uri.map_err(|e| Error::Request { path: parts.uri.path().to_owned(), source: e.into() })?;
        parts.headers.entry(header::USER_AGENT).or_insert_with(|| self.agent.clone());
        for (name, _) in &self.headers {
            parts.headers.remove(name);
        }
        for (name, value) in &self.headers {
            parts.headers.append(name, value.clone());
        }
        Ok(Request::from_parts(parts, body))
    }

    /// The server that a URL leads to, for people.
    fn named(&self, uri: &Uri) -> String {
        match uri.authority() {
            Some(authority) if !self.server.url().contains(authority.as_str()) => {
                format!("{}://{authority}", uri.scheme_str().unwrap_or("https"))
            }
            _ => self.server.url().to_owned(),
        }
    }
}

/// The headers that say who calls.
fn identity(config: &Config) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = Vec::new();
    if let Some(token) = &config.identity.token {
        let mut value = value("the token", &format!("Bearer {token}"))?;
        value.set_sensitive(true);
        headers.push((header::AUTHORIZATION, value));
    }
    if let Some(user) = &config.identity.impersonate {
        headers.push((HeaderName::from_static("impersonate-user"), value("--as", user)?));
    }
    for group in &config.identity.impersonate_groups {
        headers.push((HeaderName::from_static("impersonate-group"), value("--as-group", group)?));
    }
    Ok(headers)
}

fn value(what: &str, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::setup(what, "holds characters that no header takes".to_owned()))
}
