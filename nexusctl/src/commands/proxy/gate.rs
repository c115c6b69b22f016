//! Who may ask: the check of names and origins, before anything is forwarded.
//!
//! A browser on this machine reaches 127.0.0.1 for any page that it shows. Two things tell such a request from the
//! user's own: the name it was sent to (`Host`), when a stranger's name was pointed here, and the page it came from
//! (`Origin`, `Sec-Fetch-Site`), which browsers always say and no page can forge.

use http::{HeaderMap, Method, Request, Uri, header};
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
            if let Some(page) = foreign_page(headers, names) {
                return Err(forbidden(format!(
                    "this proxy does not answer to pages of {page:?}: a page in a browser would act as you"
                )));
            }
        }
        if headers.contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
            return Err(forbidden(
                "this proxy forwards requests, and no connections (exec, attach, port-forward, WebSocket): \
                 reach the server itself for those"
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

/// The name that a request was sent to, in lower case, without its port.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let text = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    Some(without_port(text).to_ascii_lowercase())
}

fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => text,
    }
}

/// The page of another that sent a request, if one did.
fn foreign_page(headers: &HeaderMap, names: &BTreeSet<String>) -> Option<String> {
    let shown = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    if let Some(origin) = headers.get(header::ORIGIN).map(shown) {
        let name = origin.split_once("://").map(|(_, name)| without_port(name).to_ascii_lowercase());
        if !name.is_some_and(|name| names.contains(&name)) {
            return Some(origin);
        }
    }
    let site = headers.get("sec-fetch-site").map(shown)?;
    (!matches!(site.as_str(), "same-origin" | "none")).then_some(site)
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
        for page in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            assert!(asked(&gate(), "POST", &[own, page]).unwrap_err().contains("pages of"), "{page:?}");
        }
    }

    #[test]
    fn upgrades_and_rejected_methods_are_refused() {
        let own = ("host", "localhost");
        assert!(asked(&gate(), "GET", &[own, ("upgrade", "websocket")]).is_err());
        assert!(asked(&gate(), "DELETE", &[own]).unwrap_err().contains("reject DELETE"));
        // No browser reaches a socket.
        let socket = Gate::new(None, &[], &[]);
        assert_eq!(asked(&socket, "DELETE", &[]), Ok(()));
    }
}
