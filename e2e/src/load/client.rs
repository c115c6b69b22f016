//! One HTTP/1.1 connection, over TLS or plain TCP, with one request in flight.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whom to trust and how to be let in, as PEM.
pub struct Access {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Access {
    /// Takes the embedded data of a kubeconfig with one cluster and one user, which is what the server writes.
    pub fn from_kubeconfig(text: &str) -> Result<Self> {
        let field = |name: &str| -> Result<Vec<u8>> {
            let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'));
            let data = line.with_context(|| format!("the kubeconfig has no {name}"))?.trim();
            STANDARD.decode(data.trim_matches('"')).with_context(|| format!("decoding {name}"))
        };
        Ok(Self {
            authority: field("certificate-authority-data")?,
            certificate: field("client-certificate-data")?,
            key: field("client-key-data")?,
        })
    }

    fn connector(&self) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.authority) {
            roots.add(certificate.context("reading the CA certificate")?)?;
        }
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .context("reading the client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("reading the client key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Where a server is.
pub struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    host: HeaderValue,
}

impl Target {
    /// A server over TLS.
    pub fn secure(address: SocketAddr, access: &Access) -> Result<Self> {
        Ok(Self {
            address,
            tls: Some(access.connector()?),
            host: HeaderValue::try_from(address.to_string())?,
        })
    }

    /// A server over plain TCP.
    pub fn plain(address: SocketAddr) -> Result<Self> {
        Ok(Self { address, tls: None, host: HeaderValue::try_from(address.to_string())? })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connecting to {}", self.address))?;
        tcp.set_nodelay(true)?;
        let sender = match &self.tls {
            None => handshake(tcp).await?,
            Some(connector) => {
                let name = ServerName::from(self.address.ip());
                handshake(connector.connect(name, tcp).await.context("the TLS handshake")?).await?
            }
        };
        Ok(Connection { sender, host: self.host.clone() })
    }
}

async fn handshake<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // How a connection ends is seen by the request that is on it.
    tokio::spawn(connection);
    Ok(sender)
}

/// A request to be sent.
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// What its body is; not sent where there is none.
    pub content_type: &'static str,
    /// Its body.
    pub body: Bytes,
}

impl Call {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content_type: "", body: Bytes::new() }
    }

    /// A DELETE without options.
    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// A POST of JSON.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let content_type = "application/json";
        Self { method: Method::POST, path: path.into(), content_type, body: body.into() }
    }
}

/// An open connection.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Sends a request and returns as soon as the answer's head is here.
    pub async fn send(&mut self, call: Call) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(call.method).uri(call.path).header(HOST, &self.host);
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, call.content_type);
        }
        let request = request.header(ACCEPT, "application/json").body(Full::new(call.body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends a request and reads the whole answer: its status code and its body.
    pub async fn call(&mut self, call: Call) -> Result<(u16, Bytes)> {
        let response = self.send(call).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// As [`call`](Self::call), where anything but success is an error that shows the answer.
    pub async fn expect(&mut self, call: Call) -> Result<Bytes> {
        let what = format!("{} {}", call.method, call.path);
        let (status, body) = self.call(call).await.with_context(|| what.clone())?;
        if !(200..300).contains(&status) {
            bail!("{what} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}
