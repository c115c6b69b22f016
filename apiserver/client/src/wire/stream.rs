//! A TCP connection as the HTTP library sees it, encrypted or (to loopback only) plain, and what it witnessed.

use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What connections saw of the server. A server refuses a client's certificate only after the handshake is over for
/// the client; the HTTP library then says no more than that the connection was closed.
#[derive(Debug)]
pub(crate) struct Witness {
    /// When the server was last heard.
    pub heard: Instant,
    /// The last TLS fault.
    pub fault: Option<rustls::Error>,
    /// Whether the last connection's server ever said anything after its handshake.
    pub spoke: bool,
}

impl Default for Witness {
    fn default() -> Self {
        Self { heard: Instant::now(), fault: None, spoke: false }
    }
}

/// What all connections to one server share.
pub(crate) type Witnessed = Arc<Mutex<Witness>>;

/// A connection.
pub(crate) enum Stream {
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
                    if buffer.filled().len() > before {
                        (witness.spoke, witness.heard) = (true, Instant::now());
                    }
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
