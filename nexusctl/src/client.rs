//! A client of the Kubernetes REST conventions: one server, one identity, HTTP/1.1 or HTTP/2 over TLS.
//!
//! Knows paths and bytes, statuses and streams; knows no kind.

mod call;
mod connect;
mod error;
mod lines;
mod tls;

pub use call::{Call, Reply, encode, path_segment};
pub use connect::ConnectError;
pub use error::Error;
pub use lines::Lines;
pub(crate) use tls::{any_certificate, system_roots};

use crate::{
    client::connect::{Connector, Witnessed},
    environment::Environment,
    kubeconfig::Target,
};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioExecutor;
use std::time::{Duration, Instant};

/// The largest reply that is kept in memory, in bytes.
const LARGEST_REPLY: usize = 1 << 30;
/// The largest refusal that is read, in bytes.
const LARGEST_REFUSAL: usize = 8 << 20;
/// How often a server may ask for another try.
const MOST_RETRIES: u32 = 4;
/// The longest wait that a server may ask for.
const LONGEST_RETRY_WAIT: Duration = Duration::from_secs(10);

/// A connection to one server as one identity. Cheap to share; connections are opened when first needed and kept.
pub struct Client {
    http: hyper_util::client::legacy::Client<Connector, Full<Bytes>>,
    server: String,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    timeout: Duration,
    witness: Witnessed,
    certified: bool,
}

impl Client {
    /// A client for `target`. `timeout` bounds each request until its reply begins; a stream may go on for ever.
    pub fn new(target: &Target, environment: &Environment, timeout: Duration) -> Result<Self, Error> {
        let connector = Connector::new(target, environment)?;
        let witness = connector.witness();
        let certified = target.tls && target.authentication.certificate.is_some();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(4)
            .build(connector);
        Ok(Self {
            http,
            server: target.server.clone(),
            headers: identity(target)?,
            timeout,
            witness,
            certified,
        })
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Sends a call and reads the whole reply. A refusal is an error.
    pub async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let mut tries = 0;
        loop {
            let result = self.send_once(call).await;
            tries += 1;
            match result {
                Err(Error::Refused { status, retry_after: Some(wait) }) if tries <= MOST_RETRIES => {
                    let wait = wait.min(LONGEST_RETRY_WAIT);
                    tracing::debug!(code = status.code, ?wait, "the server asks for another try");
                    tokio::time::sleep(wait).await;
                }
                other => return other,
            }
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Reply, Error> {
        let response = self.begin(call).await?;
        let code = response.status().as_u16();
        let (parts, body) = response.into_parts();
        let limit = if (200..300).contains(&code) { LARGEST_REPLY } else { LARGEST_REFUSAL };
        let collected = tokio::time::timeout(self.body_timeout(), Limited::new(body, limit).collect()).await;
        let body = match collected {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(self.transport(&*error)),
            Err(_) => return Err(Error::Timeout { server: self.server.clone(), after: self.body_timeout() }),
        };
        tracing::trace!(body = %String::from_utf8_lossy(&body[..body.len().min(8192)]), "reply body");
        let unchanged = code == 304 && !call.unless.is_empty();
        if !(200..300).contains(&code) && !unchanged {
            return Err(error::refusal(code, &parts.headers, &body));
        }
        let warnings = parts.headers.get_all(header::WARNING).iter().filter_map(error::warning).collect();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let tag =
            parts.headers.get(header::ETAG).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Reply { code, tag, content_type: content_type.to_owned(), body, warnings })
    }

    /// Sends a call whose reply is a stream of lines, as watches are.
    pub async fn stream(&self, call: &Call) -> Result<Lines, Error> {
        let response = self.begin(call).await?;
        let code = response.status().as_u16();
        let (parts, body) = response.into_parts();
        if (200..300).contains(&code) {
            return Ok(Lines::new(self.server.clone(), body));
        }
        let body = Limited::new(body, LARGEST_REFUSAL).collect().await;
        let body = body.map_err(|e| self.transport(&*e))?.to_bytes();
        Err(error::refusal(code, &parts.headers, &body))
    }

    fn transport(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let (fault, spoke) =
            self.witness.lock().map(|mut w| (w.fault.take(), w.spoke)).unwrap_or((None, true));
        let dropped = (self.certified && !spoke).then_some(ConnectError::Dropped);
        match (Error::transport(&self.server, error), fault.map(ConnectError::Tls).or(dropped)) {
            (Error::Broken { server, .. }, Some(cause)) => Error::Connect { server, cause },
            (other, _) => other,
        }
    }

    fn body_timeout(&self) -> Duration {
        self.timeout.saturating_mul(5)
    }

    async fn begin(&self, call: &Call) -> Result<Response<Incoming>, Error> {
        let started = Instant::now();
        let request = self.request(call)?;
        let response = match tokio::time::timeout(self.timeout, self.http.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.transport(&error)),
            Err(_) => return Err(Error::Timeout { server: self.server.clone(), after: self.timeout }),
        };
        tracing::debug!(
            method = %call.method,
            url = %format_args!("{}{}", self.server, call.path),
            status = response.status().as_u16(),
            took = ?started.elapsed(),
            "request"
        );
        Ok(response)
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Error> {
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.server, call.path))
            .header(header::USER_AGENT, concat!("nexusctl/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, call.accept);
        if !call.unless.is_empty() {
            builder = builder.header(header::IF_NONE_MATCH, call.unless.as_str());
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if call.method != Method::GET && !call.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, call.content_type);
        }
        builder
            .body(Full::new(call.body.clone()))
            .map_err(|source| Error::Request { path: call.path.clone(), source })
    }
}

/// The headers that say who calls.
fn identity(target: &Target) -> Result<Vec<(header::HeaderName, HeaderValue)>, Error> {
    let mut headers = Vec::new();
    let value = |what: &'static str, text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::Setup {
            origin: what.to_owned(),
            message: "holds characters that no header takes".to_owned(),
        })
    };
    let authentication = &target.authentication;
    if let Some(token) = &authentication.token {
        let mut value = value("the token", &format!("Bearer {token}"))?;
        value.set_sensitive(true);
        headers.push((header::AUTHORIZATION, value));
    }
    if let Some(user) = &authentication.impersonate {
        headers.push((header::HeaderName::from_static("impersonate-user"), value("--as", user)?));
    }
    for group in &authentication.impersonate_groups {
        headers.push((header::HeaderName::from_static("impersonate-group"), value("--as-group", group)?));
    }
    Ok(headers)
}
