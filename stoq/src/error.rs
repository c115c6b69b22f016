//! What can go wrong between two endpoints, told so that a person knows what to check next.
//!
//! `Display` never repeats the source. All errors clone, because several callers may wait on one dial.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// An endpoint could not be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// The UDP socket could not be bound.
    #[error("UDP {address} cannot be bound")]
    Socket {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS configuration cannot be used for QUIC.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder for qlog files cannot be made or written to.
    #[cfg(feature = "qlog")]
    #[error("the qlog folder {folder} cannot be used")]
    Qlog {
        /// The folder.
        folder: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Keys, certificates or trust cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A key or certificate is malformed, or they do not belong together.
    #[error("the key and its certificates cannot be used")]
    Identity(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate could not be made for the key")]
    Issue(#[source] rcgen::Error),
    /// PEM text could not be read.
    #[error("the PEM text cannot be read")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// The PEM text holds no certificate.
    #[error("the PEM text holds no certificate")]
    NoCertificate,
    /// A trusted authority cannot be used.
    #[error("a trusted authority cannot be used")]
    Authority(#[source] rustls::Error),
    /// The verifier of clients cannot be made.
    #[error("clients' certificates cannot be verified with these authorities")]
    Clients(#[source] rustls::server::VerifierBuilderError),
    /// The configuration has no cipher suite of TLS 1.3 that QUIC's first packets need.
    #[error("QUIC needs TLS 1.3 with TLS_AES_128_GCM_SHA256, which this TLS configuration does not offer")]
    NotTls13,
    /// The trust given cannot judge clients.
    #[error("a verifier of servers cannot judge clients; give a verifier of clients")]
    WrongSide,
}

/// What is wrong with a certificate that a peer showed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Its time is over, by this machine's clock.
    #[error(
        "it expired {} ago by this machine's clock; if it was renewed since, the server still shows the old one, or this clock is ahead",
        spoken(*.ago)
    )]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// Its time has not begun, by this machine's clock.
    #[error(
        "it becomes valid only in {} by this machine's clock; compare the clocks of both machines",
        spoken(*.ahead)
    )]
    NotYetValid {
        /// In how long.
        ahead: Duration,
    },
    /// Its issuer is not trusted here.
    #[error(
        "its issuer is not trusted here: it belongs to another cluster, or the authority was replaced since this trust was stored"
    )]
    UnknownIssuer,
    /// It is for other names.
    #[error("it is not valid for {expected}; it is for {}", if .presented.is_empty() { "no name".to_owned() } else { .presented.join(", ") })]
    NotForName {
        /// The name that was dialled.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// It carries another key than the one that was expected.
    #[error("it carries the key {found}, and {expected} was expected")]
    WrongKey {
        /// The key, or the set of keys, that was expected.
        expected: String,
        /// The key shown, or what is there in its place.
        found: String,
    },
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// Anything else, as the verifier put it.
    #[error("{0}")]
    Other(String),
}

/// A connection could not be made.
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{name} cannot be resolved")]
    Resolve {
        /// The name.
        name: String,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// Nothing answered over UDP.
    #[error(
        "{address} did not answer over UDP within {after:?}; check that a server listens on this UDP port and that no firewall or VPN drops UDP on the way"
    )]
    NoAnswer {
        /// The last address tried.
        address: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The address cannot be reached from this socket or the endpoint is closed.
    #[error("{address} cannot be dialled: {reason}")]
    Dial {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The server speaks none of the protocols asked for.
    #[error("{address} does not speak {protocol} (no common ALPN protocol)")]
    WrongProtocol {
        /// The server.
        address: SocketAddr,
        /// What was asked for.
        protocol: String,
    },
    /// The server's certificate is refused here.
    #[error("the certificate of {name} at {address} is refused")]
    Certificate {
        /// The name that was dialled.
        name: String,
        /// The server.
        address: SocketAddr,
        /// What is wrong with it.
        #[source]
        problem: CertificateProblem,
    },
    /// The server has no version of QUIC in common.
    #[error("{address} speaks no version of QUIC that this end speaks (this end: version 1)")]
    Version {
        /// The server.
        address: SocketAddr,
    },
    /// The server takes no more connections now.
    #[error("{address} refuses connections now; it is busy, limits this address, or is stopping")]
    Refused {
        /// The server.
        address: SocketAddr,
    },
    /// The connection ended during its handshake.
    #[error("the handshake with {address} failed")]
    Handshake {
        /// The server.
        address: SocketAddr,
        /// How it ended.
        #[source]
        closed: Closed,
    },
    /// This end has no trust to judge servers by.
    #[error("this endpoint has no trust for servers: give it one to dial with")]
    NoTrust,
    /// The local TLS configuration is unusable.
    #[error("the TLS configuration of this end cannot be used: {0}")]
    Tls(String),
}

impl ConnectError {
    /// Whether UDP itself may be the obstacle, so that another transport is worth a try.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Dial { .. } | Self::Version { .. })
    }
}

/// How a connection ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Closed {
    /// The peer's application closed it.
    #[error("the peer closed the connection with code {code:#x}{}", because(.reason))]
    ByPeer {
        /// The application's error code.
        code: u64,
        /// What the peer said, for people.
        reason: String,
    },
    /// The peer refused this end's certificate (or its lack).
    #[error("the peer refused this end's certificate: {meaning} (TLS alert {alert})")]
    CertificateRefused {
        /// The alert's number (RFC 8446 §6).
        alert: u8,
        /// The alert's meaning.
        meaning: &'static str,
    },
    /// The peer's transport closed it.
    #[error("the peer's transport closed the connection with {code}{}", because(.reason))]
    PeerTransport {
        /// The transport's error (RFC 9000 §20.1).
        code: String,
        /// What the peer said.
        reason: String,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(String),
    /// Nothing was heard for the idle timeout.
    #[error("nothing was heard from the peer for the idle timeout; it vanished or the network drops UDP")]
    TimedOut,
    /// The peer knows nothing of the connection: it restarted.
    #[error("the peer no longer knows this connection (stateless reset); it restarted")]
    Reset,
    /// No version in common.
    #[error("the peer speaks no version of QUIC that this end speaks")]
    Version,
    /// This end closed it.
    #[error("this end closed the connection")]
    Locally,
}

impl From<quinn::ConnectionError> for Closed {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::VersionMismatch => Self::Version,
            E::TransportError(error) => Self::Violation(error.to_string()),
            E::ConnectionClosed(close) => match alert(close.error_code) {
                Some(alert) if meaning(alert).is_some() => {
                    Self::CertificateRefused { alert, meaning: meaning(alert).unwrap_or_default() }
                }
                _ => Self::PeerTransport {
                    code: close.error_code.to_string(),
                    reason: printable(&close.reason),
                },
            },
            E::ApplicationClosed(close) => {
                Self::ByPeer { code: close.error_code.into_inner(), reason: printable(&close.reason) }
            }
            E::Reset => Self::Reset,
            E::TimedOut => Self::TimedOut,
            E::LocallyClosed => Self::Locally,
            E::CidsExhausted => Self::Violation("connection ids are exhausted".to_owned()),
        }
    }
}

/// The TLS alert in a transport error code (RFC 9001 §4.8).
pub(crate) fn alert(code: quinn::TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    u8::try_from(code.checked_sub(0x100)?).ok()
}

/// Whether an alert speaks of the certificate that was shown (RFC 8446 §6.2).
pub(crate) fn of_certificates(alert: u8) -> bool {
    matches!(alert, 42..=46 | 48 | 51)
}

/// Alerts by which a peer judges a certificate (RFC 8446 §6.2).
fn meaning(alert: u8) -> Option<&'static str> {
    Some(match alert {
        42 => "it is malformed or its signature is wrong",
        43 => "its kind is not supported",
        44 => "it was revoked",
        45 => "it expired or is not yet valid by the peer's clock",
        46 => "it is not acceptable",
        48 => "its issuer is not trusted by the peer",
        49 => "access is denied",
        // Authorities of several clusters often have the same name: then it is the signature that does not fit.
        51 => "its issuer is not trusted by the peer, or its signature is wrong",
        116 => "one is required and none was shown",
        _ => return None,
    })
}

/// The alert that says that no ALPN protocol is common (RFC 7301 §3.2).
pub(crate) const NO_APPLICATION_PROTOCOL: u8 = 120;
/// A server's refusal of new connections (RFC 9000 §20.1).
pub(crate) const CONNECTION_REFUSED: u64 = 0x2;

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// A peer's text is bounded and carries no control characters into logs.
fn printable(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(&reason[..reason.len().min(256)]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A duration as people say it, in its largest unit.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_reason_cannot_write_into_a_terminal() {
        assert_eq!(printable(b"bye\x1b[2J\n"), "bye\u{fffd}[2J\u{fffd}");
        assert_eq!(printable(&[b'a'; 1000]).len(), 256);
    }

    #[test]
    fn clocks_are_told_in_units_that_people_use() {
        let told = CertificateProblem::NotYetValid { ahead: Duration::from_secs(600) }.to_string();
        assert!(told.contains("in 10 min"), "{told}");
        let told = CertificateProblem::Expired { ago: Duration::from_secs(3 * 86_400) }.to_string();
        assert!(told.contains("3 days ago"), "{told}");
    }
}
