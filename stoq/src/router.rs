//! Accepts connections, gives each to the protocol that its ALPN names, and ends them in order.
//!
//! A stranger costs little: the [`Limits`] are applied to the first packet, before any cryptography.

use crate::admission::{Admission, Permit, Place, Say, Verdict};
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::TlsError;
use crate::metrics::Shaking;
use crate::settings::Limits;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The code with which connections are closed that did not end by themselves; HTTP/3's for "no error".
const CODE_CLOSING: u32 = 0x100;

/// Why a handshake was ended that took long.
const DISPLACED: &str = "too many handshakes began after it";

/// Why a protocol gave up a connection; told in the log.
pub type ProtocolError = Box<dyn std::error::Error + Send + Sync>;

/// What is spoken on connections of one ALPN name.
///
/// Functions of a connection and [`Closing`] are protocols too.
pub trait Protocol: Send + Sync + 'static {
    /// Speaks on a connection, which is closed when the future is over: wait for what was sent to arrive
    /// ([`SendStream::stopped`](crate::SendStream::stopped)) before returning. When `closing` tells so, end what was
    /// begun and begin nothing.
    fn accept(
        self: Arc<Self>,
        connection: Connection,
        closing: Closing,
    ) -> BoxFuture<'static, Result<(), ProtocolError>>;

    /// Whether it takes connections before their handshake is over. It must then not act on what is on a stream
    /// that [is early](crate::RecvStream::is_0rtt) as if it came once, nor take the peer for proven before
    /// [`Connection::proven`] says so.
    fn takes_early(&self) -> bool {
        false
    }
}

impl<F, R> Protocol for F
where
    F: Fn(Connection, Closing) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), ProtocolError>> + Send + 'static,
{
    fn accept(
        self: Arc<Self>,
        connection: Connection,
        closing: Closing,
    ) -> BoxFuture<'static, Result<(), ProtocolError>> {
        Box::pin(self(connection, closing))
    }
}

/// Tells when the router closes.
#[derive(Clone, Debug)]
pub struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Waits until it closes.
    pub async fn wait(&mut self) {
        // A router that is gone has closed.
        let _ = self.0.wait_for(|closing| *closing).await;
    }

    /// Whether it closes.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Accepts connections until it is shut down or dropped.
pub struct Router {
    endpoint: Endpoint,
    closing: watch::Sender<bool>,
    cut: watch::Sender<bool>,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// The protocols of a router.
#[must_use = "nothing is accepted until `spawn` is called"]
pub struct RouterBuilder {
    endpoint: Endpoint,
    protocols: BTreeMap<Vec<u8>, Arc<dyn Protocol>>,
    limits: Limits,
    say: Option<Say>,
}

impl RouterBuilder {
    /// Speaks `protocol` with clients that ask for `alpn`.
    pub fn accept(mut self, alpn: impl Into<Vec<u8>>, protocol: impl Protocol) -> Self {
        self.protocols.insert(alpn.into(), Arc::new(protocol));
        self
    }

    /// What strangers may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Has `admit` say, beside the limits, whether there is room for a connection of an address: for who counts QUIC and
    /// TCP, or several endpoints, together. What it returns is dropped when the connection is over; nothing means that
    /// the connection is refused, after the address was proven. Asked for each connection under a lock: it must not wait.
    pub fn admit<F, P>(mut self, admit: F) -> Self
    where
        F: Fn(IpAddr) -> Option<P> + Send + Sync + 'static,
        P: Send + Sync + 'static,
    {
        self.say =
            Some(Say(Arc::new(move |address| admit(address).map(|permit| Box::new(permit) as Permit))));
        self
    }

    /// Begins to accept.
    pub fn spawn(self) -> Result<Router, TlsError> {
        self.endpoint.serve(self.protocols.keys().cloned().collect())?;
        let (closing, closes) = watch::channel(false);
        let (cut, cuts) = watch::channel(false);
        let accepting = Accepting {
            endpoint: self.endpoint.clone(),
            protocols: Arc::new(self.protocols),
            admission: Admission::new(self.limits, self.say),
            closing: Closing(closes),
        };
        let task = tokio::spawn(accepting.run(cuts));
        Ok(Router { endpoint: self.endpoint, closing, cut, task: Some(task) })
    }
}

impl Router {
    /// A router on an endpoint; one at a time.
    pub fn builder(endpoint: Endpoint) -> RouterBuilder {
        RouterBuilder { endpoint, protocols: BTreeMap::new(), limits: Limits::default(), say: None }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Accepts no more, lets protocols end what they began for at most `patience`, then cuts the rest. True if
    /// nothing had to be cut. The endpoint stays, and may dial.
    pub async fn shutdown(mut self, patience: Duration) -> bool {
        self.endpoint.serve_no_more();
        let _ = self.closing.send(true);
        let Some(mut task) = self.task.take() else { return true };
        if tokio::time::timeout(patience, &mut task).await.is_ok() {
            return true;
        }
        let _ = self.cut.send(true);
        let _ = task.await;
        false
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.endpoint.serve_no_more();
            let _ = self.closing.send(true);
            let _ = self.cut.send(true);
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Accepting {
    endpoint: Endpoint,
    protocols: Arc<BTreeMap<Vec<u8>, Arc<dyn Protocol>>>,
    admission: Arc<Admission>,
    closing: Closing,
}

impl Accepting {
    async fn run(self, mut cuts: watch::Receiver<bool>) {
        let mut closing = self.closing.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = self.endpoint.incoming() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut connections),
                    None => break,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = closing.wait() => break,
            }
        }
        loop {
            tokio::select! {
                ended = connections.join_next() => if ended.is_none() { return },
                _ = cuts.wait_for(|cut| *cut) => break,
            }
        }
        // The protocols' futures are dropped, and with them their connections.
        connections.shutdown().await;
    }

    fn admit(&self, incoming: quinn::Incoming, connections: &mut JoinSet<()>) {
        let metrics = self.endpoint.metrics();
        match self.admission.judge(incoming.remote_address().ip(), incoming.remote_address_validated()) {
            Verdict::Accept(place) => {
                connections.spawn(self.clone().serve(incoming, place));
            }
            Verdict::Retry => {
                metrics.retries.one();
                // Possible for every address that is not proven.
                let _ = incoming.retry();
            }
            Verdict::Refuse => {
                metrics.refused.one();
                incoming.refuse();
            }
        }
    }

    async fn serve(self, incoming: quinn::Incoming, place: Place) {
        let remote = incoming.remote_address();
        let metrics = Arc::clone(self.endpoint.metrics());
        let displaced = place.displaced();
        let shaken = self.handshake(incoming, place).await;
        let (connection, protocol, _place) = match shaken {
            Ok(shaken) => shaken,
            Err(error) => {
                metrics.handshakes_failed.one();
                tracing::debug!(%remote, error, "a handshake failed");
                return;
            }
        };
        metrics.accepted.one();
        // Of a protocol that takes early data, the handshake may go on.
        let spoken = tokio::select! {
            spoken = protocol.accept(connection.clone(), self.closing.clone()) => spoken,
            () = displaced.notified() => Err(DISPLACED.into()),
        };
        if let Err(error) = spoken {
            tracing::debug!(%remote, %error, "a connection ended early");
        }
        connection.close(CODE_CLOSING, "");
    }

    async fn handshake(
        &self,
        incoming: quinn::Incoming,
        place: Place,
    ) -> Result<(Connection, Arc<dyn Protocol>, Arc<Place>), String> {
        let patience = self.endpoint.settings().handshake_timeout;
        let displaced = place.displaced();
        let place = Arc::new(place);
        let shaking = Shaking::new(self.endpoint.metrics());
        let mut connecting = self.endpoint.accept(incoming).map_err(|error| error.to_string())?;
        // The client's first flight tells the protocol.
        let data = tokio::select! {
            data = connecting.handshake_data() => data.map_err(|error| error.to_string())?,
            () = tokio::time::sleep(patience) => return Err("the client fell silent".to_owned()),
            () = displaced.notified() => return Err(DISPLACED.to_owned()),
        };
        let alpn = data
            .downcast::<quinn::crypto::rustls::HandshakeData>()
            .ok()
            .and_then(|data| data.protocol)
            .unwrap_or_default();
        let protocol = self.protocols.get(&alpn).ok_or("the client names no protocol of this router")?;
        let connection = match connecting.into_0rtt() {
            Ok((connection, proven)) => {
                let held = Arc::clone(&place);
                // Of a protocol that waits for the handshake, the caller counts the failure.
                let failed = protocol.takes_early().then(|| Arc::clone(self.endpoint.metrics()));
                let done = move |good: bool| {
                    held.established();
                    drop(shaking);
                    if let (false, Some(metrics)) = (good, failed) {
                        metrics.handshakes_failed.one();
                    }
                };
                self.endpoint.unproven(connection, proven, &alpn, Some(Box::new(done)))
            }
            Err(_) => return Err("the connection ended".to_owned()),
        };
        if !protocol.takes_early() {
            tokio::select! {
                proven = connection.proven() => proven.map_err(|closed| closed.to_string())?,
                () = displaced.notified() => {
                    connection.close(CODE_CLOSING, "");
                    return Err(DISPLACED.to_owned());
                }
            }
        }
        Ok((connection, Arc::clone(protocol), place))
    }
}
