//! Why a call did not succeed, in words that say what to do.

use super::refused_patch;
use crate::output::escape;
use http::{HeaderMap, HeaderValue, header};
use hypermesh_api::Status;
use hypermesh_client::ConnectError;
use std::time::Duration;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a refusal.
    #[error("{}", refused(status))]
    Refused {
        /// Its words.
        status: Box<Status>,
        /// How long it asks to wait before another try.
        retry_after: Option<Duration>,
    },
    /// The server does not know who asks.
    #[error("{} does not know who is asking (Unauthorized): {}", escape(server), escape(advice))]
    Unknown {
        /// Its words, which say no more.
        status: Box<Status>,
        /// The server.
        server: String,
        /// What it was shown, and what to do next.
        advice: String,
    },
    /// No connection came about.
    #[error("cannot reach {server}: {}", cause.explain(server))]
    Connect {
        /// The server.
        server: String,
        /// Why.
        cause: ConnectError,
    },
    /// The server gave no answer: the connection broke, or time ran out.
    #[error(transparent)]
    Unanswered(hypermesh_client::Error),
    /// The reply is not what was asked for.
    #[error("the server's reply ({}) is not the JSON that was asked for", escape(content_type))]
    NotJson {
        /// What it says it is.
        content_type: String,
        /// Where it stops being JSON.
        #[source]
        source: serde_json::Error,
    },
    /// No server or identity.
    #[error(transparent)]
    Kubeconfig(Box<crate::kubeconfig::Error>),
    /// A certificate, key or token cannot be used.
    #[error("{origin}: {message}")]
    Setup {
        /// The field or flag.
        origin: String,
        /// What is wrong.
        message: String,
    },
}

impl Error {
    /// The refusal, if it was one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } | Self::Unknown { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.code == 404)
    }

    /// Whether the server cannot be reached at all, so that further calls are pointless.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Unanswered(error) => error.is_unreachable(),
            _ => false,
        }
    }

    /// Why a reply broke off.
    pub(crate) fn of_body(server: &str, error: hypermesh_client::BoxError) -> Self {
        match error.downcast::<hypermesh_client::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => {
                hypermesh_client::Error::Broken { server: server.to_owned(), message: error.to_string() }
                    .into()
            }
        }
    }
}

impl From<hypermesh_client::Error> for Error {
    fn from(error: hypermesh_client::Error) -> Self {
        match error {
            hypermesh_client::Error::Connect { server, cause } => Self::Connect { server, cause },
            hypermesh_client::Error::Setup { origin, message } => Self::Setup { origin, message },
            // A patch may be sent again: the verbs that patch say so, and what became of the first is less to the point.
            hypermesh_client::Error::Unknown { method: http::Method::PATCH, tries: ..=1, last, .. } => {
                (*last).into()
            }
            other => Self::Unanswered(other),
        }
    }
}

/// `Error from server (NotFound): …`; what the server says must not reach a terminal as it is.
fn refused(status: &Status) -> String {
    if status.reason.is_empty() {
        return format!("Error from server (HTTP {}): {}", status.code, escape(&status.message));
    }
    if let Some((asked, newest)) = too_large(&status.message) {
        return format!("error: revision {asked} is yet to come: the newest is {newest}");
    }
    // A reason is one word.
    let reason = escape(&status.reason).replace('\n', "\\n");
    format!("Error from server ({reason}): {}", escape(&status.message))
}

/// Whether a refusal says no more than that the caller is not known. What is wrong with a signature, or with the clocks, is
/// said.
pub(crate) fn knows_nobody(status: &Status) -> bool {
    status.code == 401 && matches!(status.message.as_str(), "" | "Unauthorized")
}

/// `Timeout: Too large resource version: 9, current: 5`
fn too_large(message: &str) -> Option<(u64, u64)> {
    let (_, rest) = message.split_once("Too large resource version: ")?;
    let (asked, newest) = rest.split_once(", current: ")?;
    Some((asked.parse().ok()?, newest.parse().ok()?))
}

/// Reads a refusal. Proxies and muxes answer in other forms than a Status; then their first line is the message.
pub(crate) fn refusal(code: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let mut status = match serde_json::from_slice::<Status>(body) {
        Ok(status) if status.kind == "Status" => status,
        _ => {
            let text = String::from_utf8_lossy(&body[..body.len().min(512)]);
            // Of a text, the line that says what is wrong: of a page of checks, those that failed.
            let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("[-]")).collect();
            let first = text.lines().next().unwrap_or_default().trim().to_owned();
            let line = if failed.is_empty() { first } else { failed.join("\n") };
            match code {
                404 => Status::failure(404, "NotFound", "the server could not find the requested resource"),
                401 => Status::unauthorized(),
                _ if line.is_empty() => Status::failure(code, "", format!("HTTP status {code}")),
                _ => Status::failure(code, "", line),
            }
        }
    };
    if status.code == 0 {
        status.code = code;
    }
    refused_patch::shorten(&mut status, headers);
    let retryable = code == 429 || code >= 500;
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.trim().parse().ok())
        .filter(|_| retryable)
        .map(Duration::from_secs);
    Error::Refused { status: Box::new(status), retry_after }
}

/// `299 - "text"`
pub(crate) fn warning(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let start = text.find('"')?;
    let quoted = &text[start..];
    let end = quoted.rfind('"').filter(|end| *end > 0)?;
    let unescaped = serde_json::from_str::<String>(&quoted[..=end]).ok();
    Some(unescaped.unwrap_or_else(|| quoted[1..end].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_a_person_can_do() {
        let of = |code, reason: &str, message: &str| refused(&Status::failure(code, reason, message));
        assert!(knows_nobody(&Status::failure(401, "Unauthorized", "Unauthorized")));
        let clocks = "the request is too old; this machine's clock says 10:00, that of https://a says 10:20";
        assert!(!knows_nobody(&Status::failure(401, "Unauthorized", clocks)));
        assert_eq!(of(401, "Unauthorized", clocks), format!("Error from server (Unauthorized): {clocks}"));
        assert_eq!(
            of(504, "Timeout", "Timeout: Too large resource version: 999, current: 59"),
            "error: revision 999 is yet to come: the newest is 59"
        );
    }

    #[test]
    fn reads_warnings_and_refusals_of_any_form() {
        let text = HeaderValue::from_static(r#"299 - "unknown field \"spec.bogus\"""#);
        assert_eq!(warning(&text).as_deref(), Some(r#"unknown field "spec.bogus""#));
        let plain = refusal(404, &HeaderMap::new(), b"404 page not found\n");
        assert_eq!(
            plain.to_string(),
            "Error from server (NotFound): the server could not find the requested resource"
        );
        let proxy = refusal(502, &HeaderMap::new(), b"<html>bad gateway</html>");
        assert_eq!(proxy.to_string(), "Error from server (HTTP 502): <html>bad gateway</html>");
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        let body = serde_json::to_vec(&Status::unavailable("compacting", 2)).unwrap();
        let Error::Refused { retry_after, .. } = refusal(503, &headers, &body) else {
            panic!("not a refusal")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_refusal_moves_no_terminal() {
        // OSC 52 would put its text into the clipboard; CSI 2J clears the screen, and so does its C1 form.
        let osc = "first\nsecond\x1b]52;c;cm0gLXJmIC8=\x07";
        let said = serde_json::to_vec(&Status::failure(409, "Bad\x1b[2J\nly", osc)).unwrap();
        let refused = refusal(409, &HeaderMap::new(), &said);
        assert_eq!(
            refused.to_string(),
            "Error from server (Bad\\u{1b}[2J\\nly): first\nsecond\\u{1b}]52;c;cm0gLXJmIC8=\\u{7}"
        );
        let foreign = refusal(502, &HeaderMap::new(), "\x1b[2J\u{9b}2J gone".as_bytes());
        assert_eq!(foreign.to_string(), "Error from server (HTTP 502): \\u{1b}[2J\\u{9b}2J gone");
        let sentence = crate::manifest::refusal::sentence(refused.status().unwrap());
        assert!(!sentence.contains(|c: char| c.is_control() && c != '\n'), "{sentence:?}");
        let rendered = crate::error::Error::from(refused).render(true);
        assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
        let message = "\x1b]52;c;eA==\x07".to_owned();
        let broken = hypermesh_client::Error::Broken { server: "s".to_owned(), message };
        let told = crate::error::chain(&Error::Unanswered(broken));
        assert_eq!(told, "the connection to s broke: \\u{1b}]52;c;eA==\\u{7}");
    }
}
