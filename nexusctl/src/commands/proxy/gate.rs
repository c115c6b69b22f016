//! Who may ask: the check of names and origins, before anything is forwarded.
//!
//! A browser on this machine reaches 127.0.0.1 for any page that it shows. Two things tell such a request from the
//! user's own: the name it was sent to (`Host`), when a stranger's name was pointed here, and the page it came from
//! (`Origin`, `Sec-Fetch-Site`), which browsers always say and no page can forge. A page is the endpoint's own where it
//! came from the very name and port that it asks: another port of this machine may be anybody's program.

use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hypermesh_api::Status;
use std::{collections::BTreeSet, net::SocketAddr};

/// What is let through.
pub(super) struct Gate {
    /// Names without a port; `None` on a socket, which no browser reaches.
    names: Option<BTreeSet<String>>,
    refused: Vec<Method>,
}

impl Gate {
    /// `address` is where it listens; `None` for a socket.
    pub fn new(address: Option<SocketAddr>, further: &[String], refused: &[Method]) -> Self {
        let names = address.map(|address| {
            let own = match address {
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            };
            let usual = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
            usual.into_iter().chain([own]).chain(further.iter().map(|h| h.to_ascii_lowercase())).collect()
        });
        Self { names, refused: refused.to_vec() }
    }

    /// Whether a request is let through; the refusal says why not.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Box<Status>> {
        let headers = request.headers();
        if let Some(names) = &self.names {
            let host = host(request.uri(), headers).unwrap_or_default();
            if !names.contains(&host) {
                return Err(forbidden(format!(
                    "this proxy does not answer to the name {host:?}: if it is yours, name it with --accept-hosts"
                )));
            }
            if let Some(page) = foreign_page(request.uri(), headers) {
                return Err(forbidden(format!(
                    "this proxy does not answer to pages of {page:?}: a page in a browser would act as you"
                )));
            }
        }
        if asks_for_connection(request) {
            return Err(forbidden(
                "exec, attach, port-forward and WebSockets take a connection over, and this proxy passes requests on, and \
                 no connections: use them with the cluster's own kubeconfig, by nexusctl or kubectl"
                    .to_owned(),
            ));
        }
        if self.refused.contains(request.method()) {
            return Err(forbidden(format!("this proxy was told to reject {}", request.method())));
        }
        Ok(())
    }
}

fn forbidden(message: String) -> Box<Status> {
    Box::new(Status::failure(403, "Forbidden", message))
}

/// Whether a request is to become something else than HTTP. An offer to go on in HTTP/2 (`h2c`) may be left unanswered,
/// and is: what follows is a request like any other.
fn asks_for_connection<B>(request: &Request<B>) -> bool {
    let other = |value: &HeaderValue| {
        let protocols = value.to_str().unwrap_or_default();
        protocols.split(',').any(|protocol| !protocol.trim().eq_ignore_ascii_case("h2c"))
    };
    request.method() == Method::CONNECT || request.headers().get_all(header::UPGRADE).iter().any(other)
}

/// The name and port that a request was sent to.
fn authority<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// The name that a request was sent to, in lower case, without its port.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    Some(without_port(authority(uri, headers)?).to_ascii_lowercase())
}

fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => text,
    }
}

/// The page of another that sent a request, if one did.
fn foreign_page(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let shown = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    if let Some(origin) = headers.get(header::ORIGIN).map(shown) {
        let asked = authority(uri, headers).unwrap_or_default();
        if !is_own(&origin, asked) {
            return Some(origin);
        }
    }
    let site = headers.get("sec-fetch-site").map(shown)?;
    (!matches!(site.as_str(), "same-origin" | "none")).then_some(site)
}

/// Whether a page came from the name and port that it asks.
fn is_own(origin: &str, asked: &str) -> bool {
    let Some((scheme, from)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "http" => ":80",
        // Someone may have put TLS in front.
        "https" => ":443",
        _ => return false,
    };
    let whole = |text: &str| {
        let text = text.to_ascii_lowercase();
        let bare = without_port(&text).len() == text.len();
        if bare { text + usual } else { text }
    };
    whole(from) == whole(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let address = "127.0.0.2:8001".parse().unwrap();
        Gate::new(Some(address), &["Proxy.Example".to_owned()], &[Method::DELETE])
    }

    fn asked(gate: &Gate, method: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = Request::builder().method(method).uri("/api");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        gate.check(&request.body(()).unwrap()).map_err(|status| status.message)
    }

    #[test]
    fn only_own_names_are_answered_to() {
        for host in ["localhost:8001", "127.0.0.1", "[::1]:8001", "127.0.0.2:8001", "PROXY.example:1"] {
            assert_eq!(asked(&gate(), "GET", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8001", "127.0.0.3", "", "[::2]", "localhost:x"] {
            let refused = asked(&gate(), "GET", &[("host", host)]).unwrap_err();
            assert!(refused.contains("--accept-hosts"), "{host}: {refused}");
        }
        assert!(asked(&gate(), "GET", &[]).is_err());
    }

    #[test]
    fn pages_of_others_get_nothing() {
        let own = ("host", "localhost:8001");
        assert_eq!(asked(&gate(), "POST", &[own, ("origin", "http://localhost:8001")]), Ok(()));
        assert_eq!(asked(&gate(), "GET", &[own, ("sec-fetch-site", "none")]), Ok(()));
        let behind_tls = [("host", "proxy.example"), ("origin", "https://proxy.example")];
        assert_eq!(asked(&gate(), "POST", &behind_tls), Ok(()));
        for page in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("origin", "http://localhost"),
            ("origin", "https://localhost"),
            ("origin", "http://127.0.0.1:8001"),
            ("origin", "file://localhost:8001"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(asked(&gate(), "POST", &[own, page]).unwrap_err().contains("pages of"), "{page:?}");
        }
    }

    #[test]
    fn upgrades_and_rejected_methods_are_refused() {
        let own = ("host", "localhost");
        for protocol in ["websocket", "SPDY/3.1", "h2c, websocket", ""] {
            assert!(asked(&gate(), "GET", &[own, ("upgrade", protocol)]).is_err(), "{protocol}");
        }
        // What curl --http2 offers.
        assert_eq!(asked(&gate(), "GET", &[own, ("upgrade", "h2c")]), Ok(()));
        assert!(asked(&gate(), "DELETE", &[own]).unwrap_err().contains("reject DELETE"));
        // No browser reaches a socket.
        let socket = Gate::new(None, &[], &[]);
        assert_eq!(asked(&socket, "DELETE", &[]), Ok(()));
    }
}
