//! One QUIC connection: who is at the other end, its streams and datagrams, and its end.

use crate::error::Closed;
use crate::identity::PublicKey;
use crate::metrics::Metrics;
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Half of a stream, to read from (quinn's).
pub use quinn::RecvStream;
/// Half of a stream, to write to (quinn's). Dropped unfinished, it finishes as if complete: reset it to say otherwise.
pub use quinn::SendStream;

/// Who is at the other end, as its certificates say.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The certificates it showed, its own first; none if it showed none.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key, where it is an Ed25519 key.
    pub key: Option<PublicKey>,
    memo: Memo,
}

#[derive(Clone, Default)]
struct Memo(OnceLock<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "known" } else { "unknown" })
    }
}

impl Peer {
    /// A peer with these certificates.
    #[must_use]
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let key = certificates.first().and_then(PublicKey::of_certificate);
        Self { certificates, key, memo: Memo::default() }
    }

    /// What an application makes of the certificates, made once a connection: the first type asked for is kept.
    pub fn known_as<T: Any + Send + Sync>(&self, make: impl Fn(&Self) -> T) -> Arc<T> {
        let held = self.memo.0.get_or_init(|| Arc::new(make(self)));
        Arc::clone(held).downcast().unwrap_or_else(|_| Arc::new(make(self)))
    }
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Running,
    /// `early`: whether the server took the data that was sent before.
    Done {
        early: bool,
    },
    Failed,
}

/// A connection. Clones are the same connection, which closes when the last is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    quinn: quinn::Connection,
    alpn: Vec<u8>,
    handshake: watch::Receiver<Handshake>,
    peer: OnceLock<Arc<Peer>>,
    metrics: Arc<Metrics>,
}

impl Connection {
    pub(crate) fn new(
        quinn: quinn::Connection,
        alpn: Vec<u8>,
        handshake: watch::Receiver<Handshake>,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.connections.up();
        Self(Arc::new(Inner { quinn, alpn, handshake, peer: OnceLock::new(), metrics }))
    }

    /// A connection whose handshake is over.
    pub(crate) fn established(quinn: quinn::Connection, alpn: Vec<u8>, metrics: Arc<Metrics>) -> Self {
        let (_, done) = watch::channel(Handshake::Done { early: false });
        Self::new(quinn, alpn, done, metrics)
    }

    /// The protocol spoken on it.
    #[must_use]
    pub fn alpn(&self) -> &[u8] {
        &self.0.alpn
    }

    /// Where the peer is now; it may change (RFC 9000 §9).
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.0.quinn.remote_address()
    }

    /// Who the peer is. During early data: who it was when the session began that is being resumed.
    #[must_use]
    pub fn peer(&self) -> Arc<Peer> {
        if let Some(peer) = self.0.peer.get() {
            return Arc::clone(peer);
        }
        let certificates = self
            .0
            .quinn
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
            .map(|certificates| *certificates)
            .unwrap_or_default();
        let peer = Arc::new(Peer::new(certificates));
        if matches!(self.handshake(), Handshake::Done { .. }) {
            return Arc::clone(self.0.peer.get_or_init(|| peer));
        }
        peer
    }

    /// Waits until the handshake is over and the peer is proven. It is already, except on connections that a
    /// protocol asked for early.
    pub async fn proven(&self) -> Result<(), Closed> {
        match self.handshake_done().await {
            Some(_) => Ok(()),
            None => Err(self.close_reason().unwrap_or(Closed::TimedOut)),
        }
    }

    /// Whether early data was taken; nothing if the handshake failed.
    pub(crate) async fn handshake_done(&self) -> Option<bool> {
        if let Handshake::Done { early } = self.handshake() {
            return Some(early);
        }
        let mut handshake = self.0.handshake.clone();
        let end = handshake.wait_for(|state| *state != Handshake::Running).await;
        match end.map(|state| *state) {
            Ok(Handshake::Done { early }) => Some(early),
            _ => None,
        }
    }

    pub(crate) fn handshake(&self) -> Handshake {
        *self.0.handshake.borrow()
    }

    /// Opens a stream of both directions; waits while the peer allows no more.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        Ok(self.0.quinn.open_bi().await?)
    }

    /// Opens a stream to write on; waits while the peer allows no more.
    pub async fn open_uni(&self) -> Result<SendStream, Closed> {
        Ok(self.0.quinn.open_uni().await?)
    }

    /// The next stream of both directions that the peer opens.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        Ok(self.0.quinn.accept_bi().await?)
    }

    /// The next stream that the peer opens to write on.
    pub async fn accept_uni(&self) -> Result<RecvStream, Closed> {
        Ok(self.0.quinn.accept_uni().await?)
    }

    /// Sends a datagram, which may be lost; waits while the buffer is full. No longer than
    /// [`Connection::max_datagram_size`].
    pub async fn send_datagram(&self, data: Bytes) -> Result<(), DatagramError> {
        self.0.quinn.send_datagram_wait(data).await.map_err(|error| match error {
            quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                DatagramError::Unsupported
            }
            quinn::SendDatagramError::TooLarge => {
                DatagramError::TooLarge { most: self.max_datagram_size().unwrap_or(0) }
            }
            quinn::SendDatagramError::ConnectionLost(error) => DatagramError::Closed(error.into()),
        })
    }

    /// The next datagram of the peer.
    pub async fn read_datagram(&self) -> Result<Bytes, Closed> {
        Ok(self.0.quinn.read_datagram().await?)
    }

    /// The longest datagram in bytes that fits now; nothing if the peer takes none.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.0.quinn.max_datagram_size()
    }

    /// The round trip as measured now.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.0.quinn.rtt()
    }

    /// Closes it at once: what is not delivered is lost. `code` and `reason` are the application's. Of one that ended
    /// before, the reason stays.
    pub fn close(&self, code: u32, reason: &str) {
        if self.0.quinn.close_reason().is_none() {
            self.0.quinn.close(code.into(), reason.as_bytes());
        }
    }

    /// Waits for its end.
    pub async fn closed(&self) -> Closed {
        self.0.quinn.closed().await.into()
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.quinn.close_reason().map(Closed::from)
    }

    pub(crate) fn quinn(&self) -> &quinn::Connection {
        &self.0.quinn
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.remote_address())
            .field("alpn", &String::from_utf8_lossy(&self.0.alpn))
            .field("handshake", &self.handshake())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.metrics.connections.down();
    }
}

/// A datagram could not be sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatagramError {
    /// One end takes no datagrams.
    #[error("datagrams are switched off on this connection")]
    Unsupported,
    /// It does not fit into a packet of this path.
    #[error("the datagram is longer than the {most} bytes that fit now")]
    TooLarge {
        /// What fits.
        most: usize,
    },
    /// The connection ended.
    #[error("the connection ended")]
    Closed(#[source] Closed),
}
