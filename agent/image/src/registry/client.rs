//! The OCI distribution specification over HTTP/1.1, as far as pulling needs it.
//!
//! Credentials go to the registry they are for, to the token server that it names over TLS, and nowhere else: no
//! redirection carries them on. Plain HTTP is spoken with hosts that were named for it alone, and never reached by a
//! redirection from TLS. Every answer is bounded in bytes, and in the time that nothing comes.

use super::challenge::{self, Challenge};
use super::error::{RegistryError, message};
use super::token::{Answer, Key, Tokens, bearer, sensitive};
use super::{Body, Fetched, Registry, Source};
use crate::credentials::Credential;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::ACCEPTED;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

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
    limits: Limits,
    tokens: Tokens,
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

    /// Asks for something of a repository, showing what there is to show until it is given.
    async fn get(
        &self,
        from: &Source,
        url: Uri,
        headers: HeaderMap,
        what: &str,
    ) -> Result<Response<Incoming>, RegistryError> {
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
                let response = self.follow(&from.host, url.clone(), &headers, shown.take()).await?;
                match response.status() {
                    status if status.is_success() => return Ok(response),
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

    /// What to show for a challenge, asked for where it says; none if the credential does not answer any.
    async fn authenticate(
        &self,
        url: &Uri,
        key: &Key,
        challenges: &[Challenge],
    ) -> Result<Option<HeaderValue>, RegistryError> {
        for challenge in challenges {
            match (challenge, &key.credential) {
                (Challenge::Bearer { realm, service, scope }, _) => {
                    let scope =
                        scope.clone().unwrap_or_else(|| format!("repository:{}:pull", key.repository));
                    let (header, good) = self.token(url, key, realm, service.as_deref(), &scope).await?;
                    self.tokens.put(key.clone(), header.clone(), good);
                    return Ok(Some(header));
                }
                (Challenge::Basic, Credential::Basic { username, password }) => {
                    let header = basic(&key.host, username, password)?;
                    self.tokens.put(key.clone(), header.clone(), Duration::from_secs(3600));
                    return Ok(Some(header));
                }
                (Challenge::Basic, _) => {}
            }
        }
        Ok(None)
    }

    /// Asks a token server (distribution's token specification; for identity tokens its OAuth 2 form).
    async fn token(
        &self,
        url: &Uri,
        key: &Key,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let host = &key.host;
        let realm: Uri = realm.parse().map_err(|_| protocol(host, "its realm is no address"))?;
        let secret = key.credential != Credential::Anonymous;
        check_realm(host, url, &realm, secret)?;
        let mut fields = format!("scope={}", encoded(scope));
        if let Some(service) = service {
            fields += &format!("&service={}", encoded(service));
        }
        let mut headers = HeaderMap::new();
        let request = match &key.credential {
            Credential::Identity(token) => {
                let form = Zeroizing::new(format!(
                    "grant_type=refresh_token&client_id=hypermesh&refresh_token={}&{fields}",
                    encoded(token)
                ));
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                (Method::POST, realm.clone(), Bytes::copy_from_slice(form.as_bytes()))
            }
            credential => {
                if let Credential::Basic { username, password } = credential {
                    headers.insert(header::AUTHORIZATION, basic(host, username, password)?);
                    fields += &format!("&account={}", encoded(username));
                }
                let glue = if realm.query().is_some() { '&' } else { '?' };
                let with_query = format!("{realm}{glue}{fields}");
                let uri = with_query.parse().map_err(|_| protocol(host, "its realm is no address"))?;
                (Method::GET, uri, Bytes::new())
            }
        };
        let at = authority(&realm);
        let response = self.send(&at, request.0, request.1, &headers, request.2).await?;
        match response.status() {
            StatusCode::OK => {}
            // The token server is the one who knows the password.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                let (host, repository) = (host.clone(), key.repository.clone());
                return Err(RegistryError::Unauthorized { host, repository, shown: usize::from(secret) });
            }
            _ => return Err(self.error(&at, &key.repository, "token", response).await),
        }
        let limit = self.limits.answer_bytes as u64;
        let body = Zeroizing::new(self.collect(&at, response, "a token", limit).await?);
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| protocol(&at, "its token is no JSON"))?;
        answer.header().ok_or_else(|| protocol(&at, "it gave no token, or one that no header can hold"))
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

    async fn send(
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
    async fn collect(
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
    async fn error(
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
            let response = self.get(from, url, headers, &what).await?;
            let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let media_type = text("content-type").and_then(|value| value.split(';').next());
            let media_type = media_type.map(|value| value.trim().to_owned());
            let digest = text("docker-content-digest").and_then(|value| value.parse().ok());
            let limit = self.limits.manifest_bytes;
            let bytes = self.collect(&from.host, response, "a manifest", limit).await?;
            Ok(Fetched { bytes, media_type, digest })
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
            let response = match self.get(from, url.clone(), headers, &what).await {
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

/// Whether credentials, or a token, may be had from there.
fn check_realm(host: &str, url: &Uri, realm: &Uri, secret: bool) -> Result<(), RegistryError> {
    let leak = |why| RegistryError::Leak { host: host.to_owned(), to: authority(realm), why };
    match realm.scheme_str() {
        Some("https") => Ok(()),
        // Someone who chose plain HTTP for this very host chose it for its tokens.
        Some("http") if url.scheme() == Some(&Scheme::HTTP) && (!secret || same_host(url, realm)) => Ok(()),
        Some("http") if url.scheme() == Some(&Scheme::HTTP) => Err(leak("it is another host, in the clear")),
        Some("http") => Err(leak("it is in the clear, and the registry is not")),
        _ => Err(protocol(host, "its realm is neither of https nor of http")),
    }
}

fn same_host(a: &Uri, b: &Uri) -> bool {
    a.host().zip(b.host()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

fn basic(host: &str, username: &str, password: &str) -> Result<HeaderValue, RegistryError> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    sensitive(&text).ok_or_else(|| protocol(host, "no header can hold the credentials"))
}

fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut challenges: Vec<Challenge> = texts.flat_map(challenge::parse).collect();
    // A token can be narrowed to what is asked for; a password cannot.
    challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
    challenges
}

/// Where a `Content-Range` begins.
fn content_range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

/// Scheme, host and port: what credentials belong to.
fn origin(url: &Uri) -> (Option<Scheme>, Option<String>, u16) {
    let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
    (url.scheme().cloned(), url.host().map(str::to_ascii_lowercase), port)
}

/// Host and port, without anything that could be a password.
fn authority(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Where a `Location` leads.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str()?).parse().ok();
    }
    if location.starts_with('/') {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(location.parse::<PathAndQuery>().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let url: Uri = location.parse().ok()?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    // What stands before an @ would be sent as a password by some.
    let plain = url.authority().map(Authority::as_str).is_some_and(|text| !text.contains('@'));
    (known && plain).then_some(url)
}

/// Percent-encoding of all but unreserved characters (RFC 3986).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

fn protocol(host: &str, what: &str) -> RegistryError {
    RegistryError::Protocol { host: host.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn redirections_lead_where_the_standard_says() {
        let base = uri("https://r.example.org/v2/a/blobs/x");
        let to = |location: &str| resolve(&base, location).map(|url| url.to_string());
        assert_eq!(to("/y?z=1").unwrap(), "https://r.example.org/y?z=1");
        assert_eq!(to("//cdn.example.org/y").unwrap(), "https://cdn.example.org/y");
        assert_eq!(to("http://cdn.example.org/y").unwrap(), "http://cdn.example.org/y");
        assert_eq!(to("https://me:pw@cdn.example.org/y"), None);
        assert_eq!(to("file:///etc/passwd"), None);
        assert_eq!(to("y"), None);
    }

    #[test]
    fn credentials_go_nowhere_in_the_clear() {
        let tls = uri("https://r.example.org/v2/");
        let plain = uri("http://r.example.org:5000/v2/");
        let check = |url: &Uri, realm: &str, secret| check_realm("r", url, &uri(realm), secret).is_ok();
        assert!(check(&tls, "https://auth.example.net/token", true));
        assert!(!check(&tls, "http://auth.example.net/token", false));
        assert!(check(&plain, "http://r.example.org:5001/token", true));
        assert!(!check(&plain, "http://evil.example.net/token", true));
        assert!(check(&plain, "http://evil.example.net/token", false));
        assert!(!check(&plain, "ftp://r.example.org/token", false));
    }

    #[test]
    fn waiting_is_told_in_seconds_or_by_a_date() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            let now = httpdate::parse_http_date("Sat, 21 Nov 2026 00:00:00 GMT").unwrap();
            retry_after(&headers, now)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sat, 21 Nov 2026 00:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(of("soon"), None);
        assert_eq!(encoded("a b/é"), "a%20b%2F%C3%A9");
    }
}
