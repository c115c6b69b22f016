//! Why a request got no reply, in words that say where and what to do.

use crate::body::CollectError;
use crate::wire::ConnectError;
use hypermesh_chain::ClusterId;
use std::error::Error as StdError;
use std::time::Duration;

/// Why a request got no reply. A refusal is a reply, and none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about: nothing was sent.
    #[error("cannot reach {server}: {}", cause.explain(server))]
    Connect {
        /// The server.
        server: String,
        /// Why.
        cause: ConnectError,
    },
    /// The connection broke before the reply began: the request may have been carried out.
    #[error("the connection to {server} broke: {message}")]
    Broken {
        /// The server.
        server: String,
        /// Why.
        message: String,
    },
    /// The server is gone without a word: it answered no ping.
    #[error(
        "{server} fell silent: it answered nothing for {}, so the connection was given up; has it, or the network to it, \
         gone away?",
        seconds(*after)
    )]
    Silent {
        /// The server.
        server: String,
        /// How long it was silent.
        after: Duration,
    },
    /// The reply did not begin in time: the request may have been carried out.
    #[error("{server} did not answer within {}", seconds(*after))]
    Timeout {
        /// The server.
        server: String,
        /// How long was waited.
        after: Duration,
    },
    /// A write of which it is not known whether it was carried out.
    #[error(
        "it is not known whether {method} {path} was carried out: {}; look at the object before you repeat it",
        unknown(server, *tries, *within)
    )]
    Unknown {
        /// The server.
        server: String,
        /// The method.
        method: http::Method,
        /// The path, without the query.
        path: String,
        /// How often it was sent.
        tries: u32,
        /// In what time.
        within: Duration,
        /// What happened to the last try.
        #[source]
        last: Box<Error>,
    },
    /// A certificate, key or token cannot be used.
    #[error("{origin}: {message}")]
    Setup {
        /// The field or flag.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// The request's body cannot be sent.
    #[error("the body of {method} {path} cannot be sent")]
    Body {
        /// The method.
        method: http::Method,
        /// The path, without the query.
        path: String,
        /// Why.
        #[source]
        source: CollectError,
    },
    /// The request cannot be formed.
    #[error("cannot form a request for {path:?}")]
    Request {
        /// Path and query.
        path: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// The server sends the client elsewhere, and it does not go there.
    #[error("{server} sends the request on to {location}: {why}")]
    Redirect {
        /// The server.
        server: String,
        /// Where to.
        location: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The server is of another cluster than the configuration names.
    #[error(
        "{server} is of cluster {found}, and the kubeconfig is for {expected}: nothing was done; if the cluster was made \
         anew, take its new kubeconfig"
    )]
    Cluster {
        /// The server.
        server: String,
        /// The cluster it says it is of.
        found: ClusterId,
        /// The cluster that is meant.
        expected: ClusterId,
    },
}

impl Error {
    pub(crate) fn setup(origin: impl Into<String>, message: String) -> Self {
        Self::Setup { origin: origin.into(), message }
    }

    /// Whether nothing was sent, so that the request certainly was not carried out.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Connect { cause, .. } => !matches!(cause, ConnectError::Dropped),
            Self::Broken { .. } | Self::Silent { .. } | Self::Timeout { .. } | Self::Unknown { .. } => false,
            // A member that sends a request on does not carry it out.
            Self::Redirect { .. } => true,
            Self::Setup { .. } | Self::Body { .. } | Self::Request { .. } | Self::Cluster { .. } => true,
        }
    }

    /// Whether the server takes no certificate of this end, or not the one that it shows.
    pub(crate) fn refuses_who_calls(&self) -> bool {
        match self {
            Self::Connect { cause, .. } => cause.refuses_who_calls(),
            Self::Unknown { last, .. } => last.refuses_who_calls(),
            _ => false,
        }
    }

    /// Whether the server cannot be reached at all, so that further requests are pointless for now.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Broken { .. }
                | Self::Silent { .. }
                | Self::Timeout { .. }
                | Self::Unknown { .. }
        )
    }

    /// What an HTTP library's error says, once its wrappers are off.
    pub(crate) fn transport(server: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut deepest = error.to_string();
        let mut next = Some(error);
        while let Some(current) = next {
            if let Some(cause) = current.downcast_ref::<ConnectError>() {
                return Self::Connect { server: server.to_owned(), cause: cause.clone() };
            }
            if let Some(cause) = current.downcast_ref::<std::io::Error>()
                && let Some(tls) = cause.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>())
            {
                let cause = ConnectError::Tls(tls.clone());
                return Self::Connect { server: server.to_owned(), cause };
            }
            deepest = current.to_string();
            next = current.source();
        }
        // Who speaks TLS answers a request that came without with an alert, which is no HTTP.
        let http = error_of_parse(error) && server.starts_with("http://");
        let message = if http {
            format!(
                "what answers there does not speak HTTP without TLS ({deepest}): write https:// in its URL"
            )
        } else {
            deepest
        };
        Self::Broken { server: server.to_owned(), message }
    }

    /// What the HTTP library says of a connection that was open. `silence` is how long a ping may go unanswered.
    pub(crate) fn of_hyper(server: &str, error: &(dyn StdError + 'static), silence: Duration) -> Self {
        let mut next = Some(error);
        while let Some(current) = next {
            let unanswered = current.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
            let cut = current
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut);
            if unanswered || cut {
                return Self::Silent { server: server.to_owned(), after: silence };
            }
            next = current.source();
        }
        Self::transport(server, error)
    }
}

fn error_of_parse(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(current) = next {
        if current.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        next = current.source();
    }
    false
}

fn unknown(server: &str, tries: u32, within: Duration) -> String {
    match tries {
        0 | 1 => format!("{server} gave no answer to it"),
        tries => {
            let within = seconds(within);
            format!(
                "the same request was sent {tries} times within {within} and {server} gave no final answer"
            )
        }
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 { format!("{} s", duration.as_secs()) } else { format!("{duration:?}") }
}
