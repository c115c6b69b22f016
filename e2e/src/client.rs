//! An HTTPS client that sends what it is told to, good or bad.
//!
//! One connection a request: what a broken one does to its connection is then its own. It trusts the cluster's
//! authority and nothing else.

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No request of a test takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// A client of one cluster.
#[derive(Clone)]
pub struct Client {
    runtime: Handle,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    headers: Vec<(String, String)>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub code: u16,
    /// Headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} with a body that is not JSON: {}", self.code, self.text()))
    }

    /// The body of a reply that has to have this code.
    pub fn expect(&self, code: u16) -> Result<Value> {
        ensure!(self.code == code, "expected {code}, got {}: {}", self.code, self.text());
        self.json()
    }
}

impl Client {
    /// A client of the server at `address`, which one of `authority` (PEM) has signed, with a certificate and its key (PEM).
    pub fn new(
        runtime: Handle,
        address: SocketAddr,
        authority: &[u8],
        identity: Option<(&[u8], &[u8])>,
    ) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for one in CertificateDer::pem_slice_iter(authority) {
            roots.add(one.context("the authority's certificate")?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate).context("the client's certificate")?],
                PrivateKeyDer::from_pem_slice(key).context("the client's key")?,
            )?,
        };
        Ok(Self { runtime, address, tls: Arc::new(tls), headers: Vec::new() })
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same client in another's name.
    #[must_use]
    pub fn impersonating(self, user: &str, groups: &[&str]) -> Self {
        groups.iter().fold(self.header("impersonate-user", user), |client, group| {
            client.header("impersonate-group", group)
        })
    }

    /// `GET`.
    pub fn get(&self, target: &str) -> Result<Reply> {
        self.send("GET", target, &[], Bytes::new())
    }

    /// `POST` of JSON.
    pub fn post(&self, target: &str, body: &Value) -> Result<Reply> {
        self.send("POST", target, &[("content-type", "application/json")], serde_json::to_vec(body)?)
    }

    /// `PUT` of JSON.
    pub fn put(&self, target: &str, body: &Value) -> Result<Reply> {
        self.send("PUT", target, &[("content-type", "application/json")], serde_json::to_vec(body)?)
    }

    /// `PATCH` with a JSON merge patch.
    pub fn merge(&self, target: &str, body: &Value) -> Result<Reply> {
        self.send(
            "PATCH",
            target,
            &[("content-type", "application/merge-patch+json")],
            serde_json::to_vec(body)?,
        )
    }

    /// `DELETE`.
    pub fn delete(&self, target: &str) -> Result<Reply> {
        self.send("DELETE", target, &[], Bytes::new())
    }

    /// Any request. Headers given here come beside the client's own.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(target)
            .header(header::HOST, self.address.to_string());
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let what = format!("{method} {target}");
        let exchange = async { tokio::time::timeout(LONGEST, self.exchange(request)).await };
        self.runtime.block_on(exchange).with_context(|| format!("{what} took too long"))?.context(what)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let reply = sender.send_request(request).await?;
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.context("reading the body")?.to_bytes();
        driver.abort();
        let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers =
            parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Ok(Reply { code: parts.status.as_u16(), headers, body })
    }

    /// A connection for who writes the bytes itself.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        self.connect_with(Arc::clone(&self.tls)).await
    }

    /// A connection for this protocol (ALPN).
    pub async fn connect_for(&self, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![protocol.to_vec()];
        self.connect_with(Arc::new(tls)).await
    }

    async fn connect_with(&self, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.context("connecting")?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let connector = TlsConnector::from(tls);
        connector.connect(name, stream).await.context("the TLS handshake")
    }

    /// Where futures of this client run.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
