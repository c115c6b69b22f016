//! Signing: writes are signed end to end by the client's key (RFC 9421), so that no replica can change or invent one.
//!
//! What is signed is what will be ordered: the body is transcoded to JSON first, the field manager is put into the
//! query, the cluster's id separates this cluster from every other. A request that cannot be signed goes out as it is
//! and is endorsed by the replica that takes it, if that may: reads, reviews, upgrades, whoever impersonates or shows a
//! token, and a key that the cluster has not registered. One replica alone must not bring a write into a form that it
//! could change: once a signature was taken, and from the beginning for a key that is known to be registered
//! ([`Identity::must_sign`](crate::Identity::must_sign)), a refusal of the key is handed on instead.
//!
//! The author's clock is in the signature. When the server refuses it for its time, the request is signed again by the
//! server's clock only while the two are less than [`MOST_CORRECTED`] apart; beyond it both clocks are told.

mod clock;
mod cluster;
mod form;
mod key;

pub use clock::Clock;
pub(crate) use key::signing_key;

use crate::body::{Body, Streamed};
use crate::config::{Config, Trust};
use crate::error::Error;
use crate::layer::{Below, Layer, Policy};
use crate::metrics::Metrics;
use crate::retry::Repeatable;
use bytes::Bytes;
use cluster::Cluster;
use form::Form;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hypermesh_chain::signature::{SignedHeaders, headers, sign};
use hypermesh_chain::{ClusterId, SigningKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// Clocks this far apart are corrected for, in seconds: a server that lies about its time could keep a signature back
/// for so long, and no longer.
const MOST_CORRECTED: i64 = 120;
/// Clocks this far apart are worth telling, in seconds.
const WORTH_TELLING: i64 = 30;
/// The longest refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 64 << 10;
/// What the server says of a key it does not know.
const UNREGISTERED: &str = "not registered in this cluster";
/// Where it says that writes have to be signed.
const MARK: &str = "hypermesh.online/signing";
/// What a person is told whose key the cluster knew and now does not.
const UNSIGNED_REFUSED: &str = "signatures of this key were taken before, so nothing is sent unsigned instead: \
    either the key was revoked, or this replica lies; ask another, or start anew with valid credentials";
/// What a person is told whose kubeconfig says that the cluster knows the key.
const MUST_SIGN: &str = "the kubeconfig says that it is (hypermesh.online/signing), so nothing is sent unsigned instead: \
    either the key was revoked, or this replica lies; ask another, or take a kubeconfig with valid credentials";

/// The question by which a client learns what the server thinks of its key.
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const WHO_AM_I_BODY: &str = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;

/// The layer.
pub(crate) type Sign<S> = Layer<Signing, S>;

/// Whether writes are signed, and by whom.
pub(crate) struct Signing {
    author: Option<Author>,
}

/// Who signs.
pub(crate) struct Author {
    key: SigningKey,
    cluster: Cluster,
    /// `User-Agent` of requests that name none.
    agent: String,
    server: String,
    patience: Duration,
    /// Seconds that are added to this machine's clock.
    correction: AtomicI64,
    /// Whether the cluster is taken to know the key.
    registered: AtomicBool,
    /// Whether a signature of the key was taken.
    accepted: AtomicBool,
    /// By how many seconds the server's clock was ahead in its last reply.
    skew: AtomicI64,
    /// Whether the cluster is known to know the key, whatever a server says.
    must_sign: bool,
    /// Whether nobody vouches for the server, and no cluster is pinned.
    stranger: bool,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Signing {
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self { author: author(config)? })
    }

    /// Whether a signature of the key was taken, so that the cluster is known to know it.
    pub fn is_known(&self) -> bool {
        self.author.as_ref().is_some_and(|author| author.accepted.load(Ordering::Relaxed))
    }
}

impl Policy for Signing {
    async fn run(
        self: Arc<Self>,
        below: impl Below,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        let Some(author) = &self.author else { return below.send(request).await };
        let sent = if author.signs(&request) {
            author.send(below, request).await
        } else {
            below.send(request).await
        };
        sent.inspect(|reply| author.heard(reply.headers()))
    }
}

fn author(config: &Config) -> Result<Option<Author>, Error> {
    let must_sign = config.identity.must_sign;
    let unsigned = |why: &str| match must_sign {
        false => Ok(None),
        true => Err(Error::setup(MARK, format!("writes have to be signed, and cannot be: {why}"))),
    };
    let Some((_, key)) = &config.identity.certificate else { return unsigned("there is no client key") };
    // Who impersonates says so with each request, and is not the key's owner.
    if config.identity.impersonate.is_some() {
        return Ok(None);
    }
    if config.identity.token.is_some() {
        return unsigned("a token's user is another than the key's");
    }
    // Whom nobody vouches for must not say for which cluster to sign. Reads may still be wanted.
    let stranger = config.cluster.is_none() && (config.trust == Trust::Anyone || !config.server.tls());
    if stranger && !must_sign {
        return Ok(None);
    }
    let Some(key) = signing_key(key)? else { return unsigned("the client key is no Ed25519 key") };
    Ok(Some(Author {
        key,
        cluster: Cluster::new(config.cluster, config.acquaintance.clone()),
        agent: config.agent.clone(),
        server: config.server.url().to_owned(),
        patience: config.patience,
        correction: AtomicI64::new(0),
        registered: AtomicBool::new(true),
        accepted: AtomicBool::new(false),
        skew: AtomicI64::new(0),
        must_sign,
        stranger,
        clock: config.clock.clone(),
        metrics: Arc::clone(&config.metrics),
    }))
}

impl Author {
    /// Whether a request is one that is ordered, and from this author alone.
    fn signs(&self, request: &Request<Body>) -> bool {
        let write = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        let impersonates = request.headers().keys().any(|name| name.as_str().starts_with("impersonate-"));
        let signed = request.headers().contains_key("signature-input");
        write
            && !impersonates
            && !signed
            && !request.headers().contains_key(header::UPGRADE)
            && !request.headers().contains_key(header::AUTHORIZATION)
            && (form::is_ordered(request.method().as_str(), request.uri().path()) || is_streamed(request))
            && self.registered.load(Ordering::Relaxed)
    }

    async fn send(&self, below: impl Below, request: Request<Body>) -> Result<Response<Body>, Error> {
        let cluster = if self.stranger { None } else { self.cluster.id(&below).await? };
        let Some(cluster) = cluster else {
            if self.must_sign {
                let why = "writes have to be signed, and nobody who can be believed says for which cluster; pin the \
                           cluster's id (hypermesh.online/cluster)";
                return Err(Error::setup(MARK, why.to_owned()));
            }
            return below.send(request).await;
        };
        if is_streamed(&request) {
            return self.stream(&cluster, below, request).await;
        }
        let (mut parts, body) = request.into_parts();
        let method = parts.method.clone();
        let path = parts.uri.path().to_owned();
        let body = body.collect(hypermesh_wire::MAX_BODY).await;
        let body = body.map_err(|source| Error::Body { method, path, source })?;
        let Some(form) = Form::of(&mut parts, &body, &self.agent)? else {
            // Not a form that is ordered: the server says so in its own words.
            return below.send(Request::from_parts(parts, body.into())).await;
        };
        let mut corrected = false;
        loop {
            let signed = self.signed(&cluster, &parts, &form)?;
            let reply = below.send(signed).await?;
            if let Some(skew) = self.clock.skew(reply.headers()) {
                self.metrics.skewed(skew);
            }
            if reply.status() != StatusCode::UNAUTHORIZED {
                // Who is too busy, or refuses for another reason, may not have looked at the signature.
                self.accepted.fetch_or(reply.status().is_success(), Ordering::Relaxed);
                return Ok(reply);
            }
            let refusal = Refusal::read(reply).await;
            // A server of another cluster knows other keys: it must not get unsigned what was meant for this one.
            self.cluster.check(&below, &self.server).await?;
            // One replica's word must not be enough for a write to go out in a form that this replica could change.
            if refusal.says(UNREGISTERED) && self.accepted.load(Ordering::Relaxed) {
                return Ok(refusal.explained(UNSIGNED_REFUSED));
            }
            if refusal.says(UNREGISTERED) && self.must_sign {
                return Ok(refusal.explained(MUST_SIGN));
            }
            if refusal.says(UNREGISTERED) {
                tracing::debug!("the cluster does not know the key that signs: requests go out unsigned");
                self.registered.store(false, Ordering::Relaxed);
                let body = Body::from(form.body.clone());
                return below.send(Request::from_parts(parts, body)).await;
            }
            let skew = self.clock.skew(&refusal.head.headers).filter(|skew| skew.abs() >= WORTH_TELLING);
            match skew {
                Some(skew) if skew.abs() <= MOST_CORRECTED && !corrected => {
                    tracing::warn!(
                        seconds = skew,
                        "the server's clock is ahead by this much: signing by its clock; set the one that is wrong"
                    );
                    self.correction.store(skew, Ordering::Relaxed);
                    corrected = true;
                }
                Some(skew) => return Ok(refusal.explained(&self.clock.words(&self.server, skew))),
                None => return Ok(refusal.reply()),
            }
        }
    }

    /// Keeps what a reply tells of the server's clock.
    fn heard(&self, headers: &HeaderMap) {
        if let Some(skew) = self.clock.skew(headers) {
            self.skew.store(skew, Ordering::Relaxed);
        }
    }

    /// Whether it is known, without asking, that a signature made now is taken.
    fn is_sure(&self) -> bool {
        let corrected = self.correction.load(Ordering::Relaxed);
        let apart = self.skew.load(Ordering::Relaxed).saturating_sub(corrected).saturating_abs();
        self.accepted.load(Ordering::Relaxed) || (self.must_sign && apart < WORTH_TELLING)
    }

    /// Sends a request whose body is a stream. It can be sent once only, so where it is not known whether the cluster knows
    /// the key, or the clocks are apart, that is asked before it by a request that can be repeated.
    async fn stream(
        &self,
        cluster: &ClusterId,
        below: impl Below,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        if !self.is_sure() {
            let question = Request::post(WHO_AM_I).header(header::CONTENT_TYPE, "application/json");
            let question = question.body(Body::from(WHO_AM_I_BODY.to_owned()));
            let question = question.map_err(|e| Error::Request { path: WHO_AM_I.to_owned(), source: e })?;
            Box::pin(self.send(below.clone(), question)).await?;
        }
        if !self.registered.load(Ordering::Relaxed) {
            return below.send(request).await;
        }
        let (parts, body) = request.into_parts();
        let Some(form) = Form::without_body(&parts) else {
            return below.send(Request::from_parts(parts, body)).await;
        };
        let (mut signed, _) = self.signed(cluster, &parts, &form)?.into_parts();
        signed.extensions.remove::<Repeatable>();
        let reply = below.send(Request::from_parts(signed, body)).await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            let taken = reply.status().is_success() || reply.status() == StatusCode::SWITCHING_PROTOCOLS;
            self.accepted.fetch_or(taken, Ordering::Relaxed);
            return Ok(reply);
        }
        // What it was sent with is gone: whoever sends it again starts by asking.
        self.accepted.store(false, Ordering::Relaxed);
        let refusal = Refusal::read(reply).await;
        self.cluster.check(&below, &self.server).await?;
        if refusal.says(UNREGISTERED) && self.must_sign {
            return Ok(refusal.explained(MUST_SIGN));
        }
        match self.clock.skew(&refusal.head.headers).filter(|skew| skew.abs() >= WORTH_TELLING) {
            Some(skew) => Ok(refusal.explained(&self.clock.words(&self.server, skew))),
            None => Ok(refusal.reply()),
        }
    }

    /// The request with its signature, which makes it safe to repeat.
    fn signed(&self, cluster: &ClusterId, parts: &Parts, form: &Form) -> Result<Request<Body>, Error> {
        let message = form.message();
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| Error::setup("randomness", e.to_string()))?;
        let created = self.clock.now().saturating_add_signed(self.correction.load(Ordering::Relaxed));
        let signature = sign(&self.key, cluster, &message, created, None, u64::from_le_bytes(nonce));
        let signed = headers(cluster, &message, &[signature]);
        let mut request = Request::new(Body::from(form.body.clone()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        *request.extensions_mut() = parts.extensions.clone();
        insert(request.headers_mut(), signed)?;
        request.extensions_mut().insert(Repeatable { within: self.patience });
        self.metrics.signed();
        Ok(request)
    }
}

fn is_streamed(request: &Request<Body>) -> bool {
    request.extensions().get::<Streamed>().is_some()
}

fn insert(into: &mut HeaderMap, signed: SignedHeaders) -> Result<(), Error> {
    let value =
        |text: &str| HeaderValue::from_str(text).map_err(|e| Error::setup("the signature", e.to_string()));
    let content_digest = HeaderName::from_static("content-digest");
    into.remove(header::CONTENT_TYPE);
    into.remove(&content_digest);
    into.insert(HeaderName::from_static("signature-input"), value(&signed.signature_input)?);
    into.insert(HeaderName::from_static("signature"), value(&signed.signature)?);
    if let Some(digest) = &signed.content_digest {
        into.insert(content_digest, value(digest)?);
    }
    if let Some(content_type) = signed.content_type {
        into.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Ok(())
}

/// A refusal, read.
struct Refusal {
    head: http::response::Parts,
    body: Bytes,
}

impl Refusal {
    async fn read(reply: Response<Body>) -> Self {
        let (head, body) = reply.into_parts();
        // Without its words a refusal is still a refusal.
        Self { head, body: body.collect(LONGEST_REFUSAL).await.unwrap_or_default() }
    }

    fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(words)
    }

    fn reply(self) -> Response<Body> {
        Response::from_parts(self.head, self.body.into())
    }

    /// The refusal with further words at the end of its message.
    fn explained(mut self, words: &str) -> Response<Body> {
        if let Ok(mut status) = serde_json::from_slice::<serde_json::Value>(&self.body)
            && let Some(message) = status.get("message").and_then(|m| m.as_str())
        {
            status["message"] = format!("{message}; {words}").into();
            self.body = status.to_string().into();
            self.head.headers.remove(header::CONTENT_LENGTH);
            self.head.headers.remove(header::CONTENT_ENCODING);
        }
        self.reply()
    }
}

#[cfg(test)]
mod tests;
