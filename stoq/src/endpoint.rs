//! A UDP socket that dials and accepts.
//!
//! One endpoint serves both directions. It accepts nothing until a [`Router`](crate::Router) is spawned on it, and
//! dials nothing without trust to judge servers by.

mod builder;
mod reached;

pub use builder::EndpointBuilder;

use crate::connection::{Connection, Handshake};
use crate::error::{
    BindError, CONNECTION_REFUSED, CertificateProblem, Closed, ConnectError, NO_APPLICATION_PROTOCOL,
    TlsError, alert, of_certificates,
};
use crate::identity::{Identity, PublicKey, Shown};
use crate::metrics::Metrics;
#[cfg(feature = "qlog")]
use crate::qlog::Qlog;
use crate::settings::Settings;
use crate::tls::{ClientTls, ServerTls};
use crate::trust::{ClientAuth, Trust, Verdicts};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use reached::Reached;
use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// After how long the next address of a name is tried beside the one that has not answered (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// First packets that wait to be judged.
const MOST_INCOMING: usize = 4096;
/// Bytes of early data held for handshakes that have not been taken up.
const INCOMING_BYTES: u64 = 16 << 20;
const INCOMING_BYTES_EACH: u64 = 64 << 10;

/// Whom to dial: addresses, and the name that the certificate must be valid for.
#[derive(Clone, Debug)]
pub struct Target {
    addresses: Vec<SocketAddr>,
    name: String,
}

impl Target {
    /// A server by its name (or its address as text), at any of its addresses.
    #[must_use]
    pub fn named(name: impl Into<String>, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), name: name.into() }
    }

    /// A peer by its key, for endpoints with [`Trust::dialled_key`].
    #[must_use]
    pub fn key(key: &PublicKey, address: SocketAddr) -> Self {
        Self::named(key.server_name(), [address])
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A UDP socket with an identity. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    quinn: quinn::Endpoint,
    settings: Settings,
    metrics: Arc<Metrics>,
    #[cfg(feature = "qlog")]
    qlog: Option<Qlog>,
    identity: Option<Arc<Shown>>,
    verdicts: Arc<Verdicts>,
    server: Mutex<Server>,
    client: Mutex<Client>,
    reached: Reached,
}

struct Server {
    tls: Option<ServerTls>,
    /// The protocols of the router, once there is one.
    alpns: Vec<Vec<u8>>,
    #[cfg(feature = "qlog")]
    config: Option<Arc<quinn::ServerConfig>>,
}

impl Server {
    fn install(&mut self, quinn: &quinn::Endpoint, config: quinn::ServerConfig) {
        #[cfg(feature = "qlog")]
        {
            self.config = Some(Arc::new(config.clone()));
        }
        quinn.set_server_config(Some(config));
    }
}

struct Client {
    tls: Option<ClientTls>,
    /// By protocol; each holds the sessions it can resume.
    configs: HashMap<Vec<u8>, Arc<QuicClientConfig>>,
}

impl Endpoint {
    /// An endpoint that dials: it judges servers by `trust` and shows nothing unless an identity is given.
    pub fn client(trust: Trust) -> EndpointBuilder {
        EndpointBuilder { trust: Some(trust), ..EndpointBuilder::new() }
    }

    /// An endpoint that accepts, asking no client for a certificate unless told to.
    pub fn server(identity: Identity) -> EndpointBuilder {
        EndpointBuilder { identity: Some(identity), accepts: true, ..EndpointBuilder::new() }
    }

    /// An endpoint among equals: it dials and accepts, and both ends must show a key that is trusted.
    pub fn peer(identity: Identity, trust: Trust) -> EndpointBuilder {
        EndpointBuilder {
            identity: Some(identity),
            accepts: true,
            clients: ClientAuth::Required(trust.clone()),
            trust: Some(trust),
            ..EndpointBuilder::new()
        }
    }

    /// An endpoint whose TLS is the caller's, on either side or both.
    pub fn with_tls(server: Option<ServerTls>, client: Option<ClientTls>) -> EndpointBuilder {
        EndpointBuilder { server_tls: server, client_tls: client, ..EndpointBuilder::new() }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.quinn.local_addr()
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// What it grants and how long it waits.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Its key, where it has an Ed25519 identity.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.0.identity.as_ref()?.identity().public_key()
    }

    /// Shows another identity from now on; connections that are open keep the old one, and no session of the old
    /// one is resumed. False if this endpoint was made without an identity.
    pub fn replace_identity(&self, identity: Identity) -> bool {
        let Some(shown) = &self.0.identity else { return false };
        shown.replace(identity);
        self.0.client.lock().configs.clear();
        if let Some(tls) = &self.0.server.lock().tls {
            tls.forget_sessions();
        }
        true
    }

    /// Accepts with another TLS configuration from now on (renewed certificates, another trust). Sessions of the old
    /// one are not resumed.
    pub fn replace_server_tls(&self, tls: ServerTls) -> Result<(), TlsError> {
        let alpns = self.0.server.lock().alpns.clone();
        let config = if alpns.is_empty() { None } else { Some(self.server_config(&tls, &alpns)?) };
        let mut server = self.0.server.lock();
        server.tls = Some(tls);
        if let Some(config) = config {
            server.install(&self.0.quinn, config);
        }
        Ok(())
    }

    /// Dials with another TLS configuration from now on. Sessions of the old one are not resumed.
    pub fn replace_client_tls(&self, tls: ClientTls) {
        let mut client = self.0.client.lock();
        client.tls = Some(tls);
        client.configs.clear();
    }

    /// Moves to another socket: open connections migrate (RFC 9000 §9), which peers see as a change of address.
    pub fn rebind(&self, address: SocketAddr) -> Result<(), BindError> {
        let socket = UdpSocket::bind(address).map_err(|source| BindError::Socket { address, source })?;
        self.0.quinn.rebind(socket).map_err(|source| BindError::Socket { address, source })
    }

    /// Dials, trying the target's addresses in order, each a little after the one before (RFC 8305).
    pub async fn connect(&self, target: &Target, alpn: &[u8]) -> Result<Connection, ConnectError> {
        self.dial(target, alpn, false).await
    }

    /// As [`Endpoint::connect`], but if there is a session to resume, the connection is returned before the server
    /// answered. Of a name with several addresses that is the one where it was last reached. What is written on it until [`Connection::proven`] returns is early data: someone on the way may
    /// send it to the server again, and if the server does not take it, streams opened until then fail.
    pub async fn connect_early(&self, target: &Target, alpn: &[u8]) -> Result<Connection, ConnectError> {
        self.dial(target, alpn, true).await
    }

    pub(crate) async fn dial(
        &self,
        target: &Target,
        alpn: &[u8],
        early: bool,
    ) -> Result<Connection, ConnectError> {
        self.0.metrics.dialled.one();
        let dialled = self.race(target, alpn, early).await;
        if dialled.is_err() {
            self.0.metrics.dials_failed.one();
        }
        dialled
    }

    async fn race(&self, target: &Target, alpn: &[u8], early: bool) -> Result<Connection, ConnectError> {
        // What goes early goes to one address, and nobody tells soon that it is the wrong one.
        let first = if early { self.0.reached.early(&target.name, &target.addresses) } else { None };
        if let Some(first) = first {
            return self.attempt(first, &target.name, alpn, true).await;
        }
        let mut waiting = target.addresses.iter();
        let mut attempts = FuturesUnordered::new();
        let Some(first) = waiting.next() else {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
            return Err(ConnectError::Resolve { name: target.name.clone(), source: Arc::new(source) });
        };
        attempts.push(self.attempt(*first, &target.name, alpn, false));
        loop {
            tokio::select! {
                Some(attempt) = attempts.next() => match (attempt, waiting.next()) {
                    (Ok(connection), _) => return Ok(connection),
                    (Err(_), Some(next)) => attempts.push(self.attempt(*next, &target.name, alpn, false)),
                    (Err(error), None) if attempts.is_empty() => return Err(error),
                    (Err(_), None) => {}
                },
                () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {
                    if let Some(next) = waiting.next() {
                        attempts.push(self.attempt(*next, &target.name, alpn, false));
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        address: SocketAddr,
        name: &str,
        alpn: &[u8],
        early: bool,
    ) -> Result<Connection, ConnectError> {
        let config = self.client_config(alpn)?;
        let connecting = self
            .0
            .quinn
            .connect_with(config, address, name)
            .map_err(|error| ConnectError::Dial { address, reason: error.to_string() })?;
        let connecting = if early {
            match connecting.into_0rtt() {
                Ok((connection, accepted)) => {
                    let (endpoint, name) = (self.clone(), name.to_owned());
                    let done = move |good: bool| match good {
                        true => endpoint.0.reached.remember(&name, address),
                        false => endpoint.0.reached.forget(&name, address),
                    };
                    return Ok(self.unproven(connection, accepted, alpn, Some(Box::new(done))));
                }
                Err(connecting) => connecting,
            }
        } else {
            connecting
        };
        let after = self.0.settings.handshake_timeout;
        match tokio::time::timeout(after, connecting).await {
            Ok(Ok(connection)) => {
                self.0.reached.remember(name, address);
                Ok(Connection::established(connection, alpn.to_vec(), Arc::clone(&self.0.metrics)))
            }
            Ok(Err(error)) => Err(self.failed(error, address, name, alpn)),
            Err(_) => Err(ConnectError::NoAnswer { address, after }),
        }
    }

    /// A connection whose handshake still runs, watched until it is over or takes too long. `done` is called then.
    pub(crate) fn unproven(
        &self,
        quinn: quinn::Connection,
        accepted: quinn::ZeroRttAccepted,
        alpn: &[u8],
        done: Option<Box<dyn FnOnce(bool) + Send>>,
    ) -> Connection {
        let (sender, handshake) = watch::channel(Handshake::Running);
        let after = self.0.settings.handshake_timeout;
        let watched = quinn.clone();
        tokio::spawn(async move {
            let early = tokio::time::timeout(after, accepted).await;
            let state = match early {
                Ok(early) if watched.close_reason().is_none() => Handshake::Done { early },
                Ok(_) => Handshake::Failed,
                Err(_) => {
                    watched.close(0u32.into(), b"the handshake took too long");
                    Handshake::Failed
                }
            };
            if let Some(done) = done {
                done(state != Handshake::Failed);
            }
            let _ = sender.send(state);
        });
        Connection::new(quinn, alpn.to_vec(), handshake, Arc::clone(&self.0.metrics))
    }

    /// Why a dial failed, for people.
    pub(crate) fn failed(
        &self,
        error: quinn::ConnectionError,
        address: SocketAddr,
        name: &str,
        alpn: &[u8],
    ) -> ConnectError {
        use quinn::ConnectionError as E;
        let after = self.0.settings.handshake_timeout;
        match &error {
            E::TimedOut => ConnectError::NoAnswer { address, after },
            E::VersionMismatch => ConnectError::Version { address },
            E::TransportError(refused) if alert(refused.code).is_some_and(of_certificates) => {
                let problem = self.0.verdicts.of(name);
                let problem = problem.unwrap_or_else(|| CertificateProblem::Other(refused.reason.clone()));
                ConnectError::Certificate { name: name.to_owned(), address, problem }
            }
            E::ConnectionClosed(close) if alert(close.error_code) == Some(NO_APPLICATION_PROTOCOL) => {
                ConnectError::WrongProtocol { address, protocol: String::from_utf8_lossy(alpn).into_owned() }
            }
            E::ConnectionClosed(close) if u64::from(close.error_code) == CONNECTION_REFUSED => {
                ConnectError::Refused { address }
            }
            _ => ConnectError::Handshake { address, closed: Closed::from(error) },
        }
    }

    /// Closes every connection at once and waits until peers were told, for at most a second.
    pub async fn close(&self, code: u32, reason: &str) {
        self.0.quinn.close(code.into(), reason.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.quinn.wait_idle()).await;
    }

    /// Waits until no connection is left, and those that were closed have been told to their peers.
    pub async fn idle(&self) {
        self.0.quinn.wait_idle().await;
    }

    /// Begins to accept these protocols.
    pub(crate) fn serve(&self, alpns: Vec<Vec<u8>>) -> Result<(), TlsError> {
        let tls = self.0.server.lock().tls.clone().ok_or(TlsError::NoCertificate)?;
        let config = self.server_config(&tls, &alpns)?;
        let mut server = self.0.server.lock();
        server.install(&self.0.quinn, config);
        server.alpns = alpns;
        Ok(())
    }

    /// Ends accepting: first packets of new connections are ignored.
    pub(crate) fn serve_no_more(&self) {
        let mut server = self.0.server.lock();
        self.0.quinn.set_server_config(None);
        server.alpns.clear();
    }

    pub(crate) async fn incoming(&self) -> Option<quinn::Incoming> {
        self.0.quinn.accept().await
    }

    pub(crate) fn accept(
        &self,
        incoming: quinn::Incoming,
    ) -> Result<quinn::Connecting, quinn::ConnectionError> {
        #[cfg(feature = "qlog")]
        if let (Some(qlog), Some(config)) = (&self.0.qlog, self.0.server.lock().config.clone()) {
            let mut config = quinn::ServerConfig::clone(&config);
            let mut transport = self.0.settings.transport();
            qlog.write(&mut transport, "server");
            config.transport_config(Arc::new(transport));
            return incoming.accept_with(Arc::new(config));
        }
        incoming.accept()
    }

    fn server_config(&self, tls: &ServerTls, alpns: &[Vec<u8>]) -> Result<quinn::ServerConfig, TlsError> {
        let crypto = tls.quic(alpns, self.0.settings.early_data)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::new(self.0.settings.transport()))
            .migration(self.0.settings.migration)
            .max_incoming(MOST_INCOMING)
            .incoming_buffer_size(INCOMING_BYTES_EACH)
            .incoming_buffer_size_total(INCOMING_BYTES);
        Ok(config)
    }

    fn client_config(&self, alpn: &[u8]) -> Result<quinn::ClientConfig, ConnectError> {
        let mut client = self.0.client.lock();
        let crypto = match client.configs.get(alpn) {
            Some(crypto) => Arc::clone(crypto),
            None => {
                let tls = client.tls.as_ref().ok_or(ConnectError::NoTrust)?;
                let crypto = tls.quic(alpn, self.0.settings.early_data);
                let crypto = Arc::new(crypto.map_err(|error| ConnectError::Tls(error.to_string()))?);
                client.configs.insert(alpn.to_vec(), Arc::clone(&crypto));
                crypto
            }
        };
        drop(client);
        let mut config = quinn::ClientConfig::new(crypto);
        #[cfg_attr(not(feature = "qlog"), expect(unused_mut, reason = "only qlog adds to it"))]
        let mut transport = self.0.settings.transport();
        #[cfg(feature = "qlog")]
        if let Some(qlog) = &self.0.qlog {
            qlog.write(&mut transport, "client");
        }
        config.transport_config(Arc::new(transport));
        Ok(config)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.local_addr().ok()).finish_non_exhaustive()
    }
}
