//! The OCI distribution specification over HTTP/1.1, as far as pulling needs it.
//!
//! Credentials go to the registry they are for, to the token server that it names over TLS, and nowhere else: no
//! redirection carries them on. Plain HTTP is spoken with hosts that were named for it alone, and never reached by a
//! redirection from TLS. Every answer is bounded in bytes, and in the time that nothing comes.

use super::address::{authority, content_range, encoded, origin, protocol, resolve, retry_after};
use super::auth::challenges;
use super::error::{RegistryError, message};
use super::token::{Key, Tokens, bearer};
use super::{Body, Fetched, Registry, Source};
use crate::credentials::Credential;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::ACCEPTED;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Hosts (with their ports) that are spoken to in plain HTTP. All others are spoken to over TLS.
    pub plain_http: BTreeSet<String>,
    /// Authorities that are trusted besides those of the machine.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// What answers may cost.
    pub limits: Limits,
}

/// Registries over HTTP.
pub struct HttpRegistry {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    plain_http: BTreeSet<String>,
    pub(super) limits: Limits,
    pub(super) tokens: Tokens,
}

/// The authorities that a file in PEM holds. None: it holds none, or what it holds is damaged.
#[must_use]
pub fn authorities(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let mut roots = rustls::RootCertStore::empty();
    let good = !found.is_empty() && found.iter().all(|one| roots.add(one.clone()).is_ok());
    good.then_some(found)
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("TLS for registries could not be set up")]
pub struct TlsError(#[source] rustls::Error);

const CONNECT: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("hypermesh-image/", env!("CARGO_PKG_VERSION"));

impl HttpRegistry {
    /// A client with the machine's authorities and those that are given.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: HttpOptions) -> Result<Self, TlsError> {
        let mut roots = rustls::RootCertStore::empty();
        let machine = rustls_native_certs::load_native_certs();
        for error in &machine.errors {
            tracing::warn!(%error, "an authority of this machine could not be read");
        }
        let (_, ignored) = roots.add_parsable_certificates(machine.certs);
        if ignored > 0 {
            tracing::debug!(ignored, "authorities of this machine are of no form that is known");
        }
        for root in options.extra_roots {
            roots.add(root).map_err(TlsError)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        http.set_nodelay(true);
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector.wrap_connector(http));
        let (plain_http, limits) = (options.plain_http, options.limits);
        Ok(Self { client, plain_http, limits, tokens: Tokens::default() })
    }

    fn url(&self, from: &Source, rest: &str) -> Result<Uri, RegistryError> {
        let scheme = if self.plain_http.contains(&from.host) { "http" } else { "https" };
        let mut url = format!("{scheme}://{}/v2/{}/{rest}", from.host, from.repository);
        if let Some(registry) = &from.mirrored {
            url += &format!("?ns={}", encoded(registry));
        }
        url.parse().map_err(|_| protocol(&from.host, "its name makes no address"))
    }

    /// Asks for something of a repository, showing what there is to show until it is given; and what was shown then.
    async fn get(
        &self,
        from: &Source,
        url: Uri,
        headers: HeaderMap,
        what: &str,
    ) -> Result<(Response<Incoming>, Credential), RegistryError> {
        let anonymous = [Credential::Anonymous];
        let credentials = if from.credentials.is_empty() { &anonymous[..] } else { &from.credentials };
        let mut refused = None;
        for credential in credentials {
            let (host, repository) = (from.host.clone(), from.repository.clone());
            let key = Key { host, repository, credential: credential.clone() };
            let mut shown = match credential {
                Credential::Bearer(token) => bearer(token),
                _ => self.tokens.get(&key),
            };
            // Once with what is at hand, which may have expired, and once with what was just given.
            for last in [false, true] {
                let opened = if shown.is_some() { credential.clone() } else { Credential::Anonymous };
                let response = self.follow(&from.host, url.clone(), &headers, shown.take()).await?;
                match response.status() {
                    status if status.is_success() => return Ok((response, opened)),
                    StatusCode::UNAUTHORIZED => {
                        self.tokens.forget(&key);
                        let challenges = challenges(response.headers());
                        if last {
                            break;
                        }
                        match self.authenticate(&url, &key, &challenges).await {
                            Ok(Some(header)) => shown = Some(header),
                            Ok(None) => break,
                            Err(error) if error.is_transient() => return Err(error),
                            Err(error) => {
                                refused.get_or_insert(error);
                                break;
                            }
                        }
                    }
                    StatusCode::FORBIDDEN => {
                        let error = self.error(&from.host, &from.repository, what, response).await;
                        refused.get_or_insert(error);
                        break;
                    }
                    _ => return Err(self.error(&from.host, &from.repository, what, response).await),
                }
            }
        }
        Err(refused.unwrap_or_else(|| RegistryError::Unauthorized {
            host: from.host.clone(),
            repository: from.repository.clone(),
            shown: from.credentials.len(),
        }))
    }

    /// Sends a GET and follows where it leads. What is shown goes to the first origin alone.
    async fn follow(
        &self,
        host: &str,
        url: Uri,
        headers: &HeaderMap,
        shown: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let origin = origin(&url);
        let mut at = url;
        for _ in 0..=self.limits.redirects {
            let mut headers = headers.clone();
            if let Some(shown) = shown.as_ref().filter(|_| self::origin(&at) == origin) {
                headers.insert(header::AUTHORIZATION, shown.clone());
            }
            let to = authority(&at);
            let response = self.send(&to, Method::GET, at.clone(), &headers, Bytes::new()).await?;
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !moved {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| protocol(&to, "it redirects to nowhere"))?;
            let next =
                resolve(&at, location).ok_or_else(|| protocol(&to, "it redirects to what is no address"))?;
            if at.scheme() == Some(&Scheme::HTTPS) && next.scheme() != Some(&Scheme::HTTPS) {
                return Err(protocol(&to, "it redirects from TLS to plain HTTP"));
            }
            at = next;
        }
        Err(protocol(host, "it redirects without an end"))
    }

    pub(super) async fn send(
        &self,
        host: &str,
        method: Method,
        url: Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        let after = self.limits.silence;
        match tokio::time::timeout(after, self.client.request(request)).await {
            Err(_) => Err(RegistryError::Silent { host: host.to_owned(), after }),
            Ok(Err(error)) => {
                let doing = if error.is_connect() { "connecting to" } else { "talking to" };
                Err(RegistryError::Connection { doing, host: host.to_owned(), source: Box::new(error) })
            }
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// A whole body that is bounded.
    pub(super) async fn collect(
        &self,
        host: &str,
        response: Response<Incoming>,
        what: &'static str,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) = next(&mut body, host, self.limits.silence).await? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(RegistryError::TooLarge { host: host.to_owned(), what, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// What an answer without success means.
    pub(super) async fn error(
        &self,
        host: &str,
        repository: &str,
        what: &str,
        response: Response<Incoming>,
    ) -> RegistryError {
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let host = host.to_owned();
        let limit = self.limits.answer_bytes as u64;
        // What it says is worth waiting for, but not worth failing for.
        let body = self.collect(&host, response, "an error", limit).await.unwrap_or_default();
        let message = message(&body);
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, what: what.to_owned() },
            StatusCode::FORBIDDEN => {
                RegistryError::Denied { host, repository: repository.to_owned(), message }
            }
            StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { host, retry_after },
            StatusCode::REQUEST_TIMEOUT => {
                RegistryError::Server { host, status: status.as_u16(), message, retry_after }
            }
            status if status.is_server_error() => {
                RegistryError::Server { host, status: status.as_u16(), message, retry_after }
            }
            status => RegistryError::Refused { host, status: status.as_u16(), message },
        }
    }
}

impl Registry for HttpRegistry {
    fn manifest<'a>(
        &'a self,
        from: &'a Source,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, RegistryError>> {
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            if let Ok(accept) = HeaderValue::from_str(&ACCEPTED.join(", ")) {
                headers.insert(header::ACCEPT, accept);
            }
            let url = self.url(from, &format!("manifests/{target}"))?;
            let glue = if target.contains(':') { '@' } else { ':' };
            let what = format!("image {}{glue}{target}", from.repository);
            let (response, opened) = self.get(from, url, headers, &what).await?;
            let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let media_type = text("content-type").and_then(|value| value.split(';').next());
            let media_type = media_type.map(|value| value.trim().to_owned());
            let digest = text("docker-content-digest").and_then(|value| value.parse().ok());
            let limit = self.limits.manifest_bytes;
            let bytes = self.collect(&from.host, response, "a manifest", limit).await?;
            Ok(Fetched { bytes, media_type, digest, opened })
        })
    }

    fn blob<'a>(
        &'a self,
        from: &'a Source,
        digest: &'a Digest,
        offset: u64,
    ) -> BoxFuture<'a, Result<Body, RegistryError>> {
        Box::pin(async move {
            let url = self.url(from, &format!("blobs/{digest}"))?;
            let what = format!("blob {digest} of {}", from.repository);
            let mut headers = HeaderMap::new();
            if offset > 0
                && let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-"))
            {
                headers.insert(header::RANGE, range);
            }
            let (response, _) = match self.get(from, url.clone(), headers, &what).await {
                // It has less than was there before: from the beginning then.
                Err(RegistryError::Refused { status: 416, .. }) if offset > 0 => {
                    self.get(from, url, HeaderMap::new(), &what).await?
                }
                other => other?,
            };
            let begins = match response.status() {
                StatusCode::PARTIAL_CONTENT => content_range(response.headers())
                    .filter(|start| *start == offset)
                    .ok_or_else(|| protocol(&from.host, "it sends another part than it was asked for"))?,
                _ => 0,
            };
            let (body, host, silence) = (response.into_body(), from.host.clone(), self.limits.silence);
            let chunks = stream::try_unfold((body, host), move |(mut body, host)| async move {
                let chunk = next(&mut body, &host, silence).await?;
                Ok(chunk.map(|chunk| (chunk, (body, host))))
            });
            Ok(Body { offset: begins, chunks: Box::pin(chunks) })
        })
    }
}

/// The next piece of a body, none at its end.
async fn next(body: &mut Incoming, host: &str, after: Duration) -> Result<Option<Bytes>, RegistryError> {
    loop {
        match tokio::time::timeout(after, body.frame()).await {
            Err(_) => return Err(RegistryError::Silent { host: host.to_owned(), after }),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                let (doing, host) = ("reading from", host.to_owned());
                return Err(RegistryError::Connection { doing, host, source: Box::new(error) });
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
