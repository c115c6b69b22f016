//! Opening connections: name, TCP, TLS, each with a bound and a name for its failure.

use crate::{
    client::{Error, tls},
    environment::Environment,
    kubeconfig::Target,
};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{CertificateError, pki_types::ServerName};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long TCP, and then TLS, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host's name leads nowhere.
    #[error("no address for the name")]
    Unresolved(String),
    /// TCP failed.
    #[error("TCP failed")]
    Tcp(io::ErrorKind, String),
    /// No answer in time; the text names the step.
    #[error("no answer")]
    TimedOut(&'static str),
    /// TLS failed.
    #[error("TLS failed")]
    Tls(rustls::Error),
    /// TLS stood, and the server closed the connection without a word.
    #[error("closed without a word")]
    Dropped,
    /// What answers does not speak TLS.
    #[error("no TLS")]
    NotTls,
}

impl ConnectError {
    /// What happened and what to do.
    pub fn explain(&self, server: &str) -> String {
        match self {
            Self::Unresolved(message) => format!("its name has no address ({message})"),
            Self::Tcp(io::ErrorKind::ConnectionRefused, _) => {
                "connection refused: is `nexusctl up` running, and is this its address?".into()
            }
            Self::Tcp(_, message) => message.clone(),
            Self::TimedOut(step) => format!("no answer within {} s ({step})", PATIENCE.as_secs()),
            Self::Dropped => {
                "it closed the connection as soon as TLS stood: does it know the client certificate's \
                              authority, and is that certificate still valid?"
                    .into()
            }
            Self::NotTls => {
                format!("what answers there does not speak TLS: is it an API server, is {server} its URL?")
            }
            Self::Tls(error) => explain_tls(error),
        }
    }
}

fn explain_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            // Two clusters' authorities may have the same name: then only the signature tells them apart.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "its certificate was not issued by an authority that the kubeconfig \
                                                trusts (certificate-authority-data): is this the cluster you mean?"
                .into(),
            CertificateError::NotValidForName => "its certificate is for another name".into(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented = presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ");
                format!(
                    "its certificate is for other names ({presented}), not for {}: use one of them as the server, or \
                     --tls-server-name; `nexusctl up --tls-san` adds a name",
                    expected.to_str()
                )
            }
            CertificateError::Expired => "its certificate has expired".into(),
            CertificateError::ExpiredContext { time, not_after } => format!(
                "its certificate expired {} ago: does its clock, or this machine's, go wrong?",
                span(time.as_secs().saturating_sub(not_after.as_secs()))
            ),
            CertificateError::NotValidYet => "its certificate is not valid yet".into(),
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "its certificate becomes valid in {}: does its clock, or this machine's, go wrong?",
                span(not_before.as_secs().saturating_sub(time.as_secs()))
            ),
            CertificateError::Revoked => "its certificate was revoked".into(),
            other => format!("its certificate cannot be trusted ({other:?})"),
        },
        rustls::Error::AlertReceived(alert) => {
            format!("it broke off TLS ({alert:?}): does it know the client certificate's authority, and is that certificate still valid?")
        }
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".into(),
        other => format!("TLS failed: {other}"),
    }
}

/// `DnsName("api.example.com")` is `api.example.com`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn span(seconds: u64) -> String {
    match seconds {
        s if s >= 172_800 => format!("{} days", s / 86_400),
        s if s >= 7_200 => format!("{} hours", s / 3_600),
        s if s >= 120 => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    }
}

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Connector {
    host: Arc<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    witness: Witnessed,
}

/// What connections saw of the server. A server refuses a client's certificate only after the handshake is over for
/// the client; the HTTP library then says no more than that the connection was closed.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The last TLS fault.
    pub(super) fault: Option<rustls::Error>,
    /// Whether the last connection's server ever said anything after its handshake.
    pub(super) spoke: bool,
}

pub(super) type Witnessed = Arc<Mutex<Witness>>;

impl Connector {
    pub(super) fn new(target: &Target, environment: &Environment) -> Result<Self, Error> {
        let tls = if target.tls {
            let configuration = tls::configuration(target, environment)?;
            Some((TlsConnector::from(Arc::new(configuration)), tls::server_name(target)?))
        } else {
            None
        };
        Ok(Self { host: target.host.as_str().into(), port: target.port, tls, witness: Witnessed::default() })
    }

    pub(super) fn witness(&self) -> Witnessed {
        Arc::clone(&self.witness)
    }

    async fn open(self) -> Result<TokioIo<Stream>, ConnectError> {
        let tcp =
            tokio::time::timeout(PATIENCE, self.tcp()).await.map_err(|_| ConnectError::TimedOut("TCP"))??;
        let witness = self.witness;
        let Some((connector, name)) = self.tls else { return Ok(TokioIo::new(Stream::Plain(tcp))) };
        let handshake = connector.connect(name, tcp);
        match tokio::time::timeout(PATIENCE, handshake).await {
            Ok(Ok(stream)) => Ok(TokioIo::new(Stream::Tls(Box::new(stream), witness))),
            Ok(Err(error)) => Err(handshake_error(&error)),
            Err(_) => Err(ConnectError::TimedOut("TLS handshake")),
        }
    }

    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let addresses = tokio::net::lookup_host((&*self.host, self.port))
            .await
            .map_err(|e| ConnectError::Unresolved(e.to_string()))?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is one write; waiting to fill segments only costs time.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(
            || ConnectError::Unresolved("no address".into()),
            |e| ConnectError::Tcp(e.kind(), e.to_string()),
        ))
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

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().open())
    }
}

/// A connection, encrypted or (to loopback only) plain.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Witnessed),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream, _) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream, witness) => {
                let before = buffer.filled().len();
                let result = Pin::new(stream).poll_read(cx, buffer);
                if let (Poll::Ready(outcome), Ok(mut witness)) = (&result, witness.lock()) {
                    witness.spoke |= buffer.filled().len() > before;
                    let tls =
                        outcome.as_ref().err().and_then(|e| e.get_ref()?.downcast_ref::<rustls::Error>());
                    if let Some(tls) = tls {
                        witness.fault = Some(tls.clone());
                    }
                }
                result
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
