//! Why no connection came about, in words that say what to do.

use crate::config::{Config, Trust};
use crate::error::Error;
use rustls::CertificateError;
use std::io;
use std::time::Duration;

/// How long each step of opening a connection (name, TCP, TLS) may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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
    /// No answer over UDP in this time.
    #[error("no answer over UDP")]
    NoUdp(Duration),
    /// TLS failed.
    #[error("TLS failed")]
    Tls(rustls::Error),
    /// Nobody whose word is taken vouches for the server; in words.
    #[error("nobody vouches for it")]
    Unvouched(String),
    /// The server's certificate is for other names.
    #[error("it has other names")]
    OtherName {
        /// The names in it.
        presented: Vec<String>,
        /// The name that was expected.
        expected: String,
        /// Who says that, where that is not the server's URL: a field of a file, or a flag.
        origin: Option<String>,
    },
    /// TLS stood, and the server closed the connection without a word.
    #[error("closed without a word")]
    Dropped,
    /// What answers does not speak TLS.
    #[error("no TLS")]
    NotTls,
    /// QUIC failed.
    #[error("QUIC failed")]
    Quic(String),
    /// Neither protocol got through.
    #[error("neither TCP nor UDP got through")]
    Both {
        /// Why TCP did not.
        tcp: Box<ConnectError>,
        /// Why HTTP/3 did not.
        http3: Box<ConnectError>,
    },
    /// The host cannot be a server's name.
    #[error("no name of a host")]
    Misnamed(String),
}

impl ConnectError {
    /// Whether the server has seen who calls, and will have nothing of it.
    pub(crate) fn refuses_who_calls(&self) -> bool {
        match self {
            // Not what two that speak different versions say.
            Self::Tls(rustls::Error::AlertReceived(alert)) => {
                !matches!(alert, rustls::AlertDescription::ProtocolVersion)
            }
            Self::Dropped => true,
            Self::Both { tcp, http3 } => tcp.refuses_who_calls() || http3.refuses_who_calls(),
            _ => false,
        }
    }

    /// What happened and what to do.
    pub fn explain(&self, server: &str) -> String {
        match self {
            Self::Unresolved(message) => format!("its name has no address ({message})"),
            Self::Tcp(io::ErrorKind::ConnectionRefused, _) => {
                "connection refused: is `nexusctl up` running, and is this its address?".into()
            }
            Self::Tcp(_, message) => message.clone(),
            Self::TimedOut(step) => format!("no answer within {} s ({step})", PATIENCE.as_secs()),
            Self::NoUdp(after) => {
                format!(
                    "no answer over UDP within {} s: where UDP is shut, --transport tcp does",
                    after.as_secs()
                )
            }
            Self::Dropped => {
                "it closed the connection as soon as TLS stood: does it know the client certificate's \
                              authority, and is that certificate still valid?"
                    .into()
            }
            Self::NotTls => {
                format!("what answers there does not speak TLS: is it an API server, is {server} its URL?")
            }
            Self::Quic(message) => format!("HTTP/3 failed: {message}"),
            // The same fault twice is told once.
            Self::Both { tcp, http3 } if matches!(**http3, Self::NoUdp(_)) => {
                format!("{} (over TCP; over HTTP/3: no answer)", tcp.explain(server))
            }
            Self::Both { tcp, http3 } => match (tcp.explain(server), http3.explain(server)) {
                (tcp, http3) if tcp == http3 => tcp,
                (tcp, http3) => format!("{tcp} (over TCP; over HTTP/3: {http3})"),
            },
            Self::Misnamed(name) => format!("{name:?} is no name of a host"),
            Self::Tls(error) => explain_tls(error),
            Self::Unvouched(words) => words.clone(),
            Self::OtherName { presented, expected, origin } => {
                let names = if presented.is_empty() { "none".to_owned() } else { presented.join(", ") };
                match origin {
                    Some(origin) => format!(
                        "its certificate is for other names ({names}), not for {expected}, which {origin} asks for: name one of \
                         them there; `nexusctl up --tls-san` adds a name"
                    ),
                    None => format!(
                        "its certificate is for other names ({names}), not for {expected}: use one of them as the server, or \
                         --tls-server-name; `nexusctl up --tls-san` adds a name"
                    ),
                }
            }
        }
    }
}

/// What is known of a configuration where a server is refused: by whose word.
pub(crate) struct Words {
    unvouched: String,
    name_origin: Option<String>,
}

impl Words {
    pub fn of(config: &Config) -> Self {
        let unvouched = match &config.trust {
            Trust::Authorities(material) => format!(
                "its certificate was not issued by an authority that is trusted here ({}): is this the cluster you mean? If its \
                 authorities were changed, take the kubeconfig that the cluster has written since",
                material.origin
            ),
            Trust::System { bundle } => {
                let of = match bundle {
                    Some(bundle) => format!("in {} (SSL_CERT_FILE)", bundle.display()),
                    None => "that this machine trusts".to_owned(),
                };
                format!(
                    "its certificate was not issued by an authority {of}, and no other is named: the cluster's belongs into \
                     certificate-authority-data of its entry in the kubeconfig (empty there is as good as missing), or into a \
                     file that certificate-authority or --certificate-authority names"
                )
            }
            // Whoever it is, is believed.
            Trust::Anyone => String::new(),
        };
        Self { unvouched, name_origin: config.server_name_origin.clone() }
    }

    /// The same error, with who says whom to trust.
    pub fn add_to(&self, error: Error) -> Error {
        match error {
            Error::Connect { server, cause } => Error::Connect { server, cause: self.cause(cause) },
            other => other,
        }
    }

    fn cause(&self, cause: ConnectError) -> ConnectError {
        match cause {
            ConnectError::Both { tcp, http3 } => {
                ConnectError::Both { tcp: Box::new(self.cause(*tcp)), http3: Box::new(self.cause(*http3)) }
            }
            // Two clusters' authorities may have the same name: then only the signature tells them apart.
            ConnectError::Tls(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => ConnectError::Unvouched(self.unvouched.clone()),
            ConnectError::Tls(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForNameContext { expected, presented },
            )) => ConnectError::OtherName {
                presented: presented.iter().map(|name| bare(name)).collect(),
                expected: expected.to_str().into_owned(),
                origin: self.name_origin.clone(),
            },
            ConnectError::OtherName { presented, expected, .. } => {
                ConnectError::OtherName { presented, expected, origin: self.name_origin.clone() }
            }
            other => other,
        }
    }
}

fn explain_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => explain_certificate(reason),
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig) => {
            "it does not speak TLS 1.3, and nothing older is spoken to".into()
        }
        rustls::Error::AlertReceived(alert) => {
            format!(
                "it broke off TLS ({alert:?}): does it know the client certificate's authority, or was that dropped when the \
                 cluster's authorities were changed, and is that certificate still valid?"
            )
        }
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".into(),
        other => format!("TLS failed: {other}"),
    }
}

fn explain_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate was not issued by an authority that is trusted here".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".into()
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
    }
}

/// `DnsName("api.example.com")` is `api.example.com`, and `IpAddress(0::1)` is `::1`.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner = inner.trim_matches('"');
    inner.parse::<std::net::IpAddr>().map_or_else(|_| inner.to_owned(), |address| address.to_string())
}

/// A span of time, as people say it.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        s if s >= 172_800 => format!("{} days", s / 86_400),
        s if s >= 7_200 => format!("{} hours", s / 3_600),
        s if s >= 120 => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn names_are_told_as_people_write_them() {
        let told =
            ["DnsName(\"api.example.com\")", "IpAddress(0::1)", "IpAddress(127.0.0.1)", "odd"].map(bare);
        assert_eq!(told, ["api.example.com", "::1", "127.0.0.1", "odd"]);
    }
}
