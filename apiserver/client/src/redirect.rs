//! Redirects of membership: a member that is not the one to ask names the one that is.
//!
//! A redirect is followed only to a server that the cluster's own authority vouches for (the TLS handshake with it says
//! so, before a credential or a byte of the request goes out), only over TLS, and only for the very same path: a server
//! may say who answers, never what is asked. Anything else is an error that names the place.

use crate::body::Body;
use crate::config::{Config, Server};
use crate::error::Error;
use crate::layer::{Below, Layer, Policy};
use crate::metrics::Metrics;
use crate::wire::Member;
use http::uri::Authority;
use http::{Request, Response, StatusCode, Uri, header};
use std::sync::Arc;

/// How often a request may be sent on.
const MOST: usize = 3;

/// The layer.
pub(crate) type Redirect<S> = Layer<Members, S>;

/// What is known of the members of a cluster.
pub(crate) struct Members {
    server: Server,
    /// Whether another server can be told from a stranger's.
    verifiable: bool,
    metrics: Arc<Metrics>,
}

impl Members {
    pub fn new(config: &Config) -> Self {
        let verifiable = config.server.tls() && config.trust.is_of_the_cluster();
        Self { server: config.server.clone(), verifiable, metrics: Arc::clone(&config.metrics) }
    }
}

impl Policy for Members {
    async fn run(
        self: Arc<Self>,
        below: impl Below,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        let (mut parts, mut body) = request.into_parts();
        let mut hops = 0;
        loop {
            let again = body.try_clone();
            let reply = below.send(Request::from_parts(parts.clone(), body)).await?;
            let Some(location) = sent_on(&reply) else { return Ok(reply) };
            let refused = |why| self.refusal(&location, why);
            if hops == MOST {
                return Err(refused("it was sent on too often"));
            }
            hops += 1;
            let member = self.judge(&location, &parts.uri).map_err(refused)?;
            body = again.ok_or_else(|| refused("its body is a stream, which cannot be sent twice"))?;
            self.metrics.redirected();
            tracing::debug!(%member, "a request is sent on to another member");
            parts.extensions.insert(Member(member));
        }
    }
}

/// Where a reply sends the client; other redirects than these change the method, and no API server makes them.
fn sent_on(reply: &Response<Body>) -> Option<String> {
    let code = reply.status();
    if !matches!(code, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return None;
    }
    Some(String::from_utf8_lossy(reply.headers().get(header::LOCATION)?.as_bytes()).into_owned())
}

impl Members {
    fn refusal(&self, location: &str, why: &'static str) -> Error {
        Error::Redirect {
            server: self.server.url().to_owned(),
            location: location.escape_debug().to_string(),
            why,
        }
    }

    /// The member that `location` names, if a request for `asked` may go there.
    fn judge(&self, location: &str, asked: &Uri) -> Result<Authority, &'static str> {
        let uri: Uri = location.parse().map_err(|_| "that is no URL")?;
        let authority = uri.authority().ok_or("that names no server")?;
        if uri.scheme_str() != Some("https") {
            return Err("that is not https, and credentials would be shown");
        }
        if authority.as_str().contains('@') {
            return Err("credentials do not belong in a URL");
        }
        if !self.verifiable {
            return Err(
                "no authority of the cluster is configured by which a member could be told from a stranger; set \
                 certificate-authority-data, or name that server in the kubeconfig",
            );
        }
        let path = |uri: &Uri| uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        if path(&uri) != format!("{}{}", self.server.prefix(), path(asked)) {
            return Err("that is another path than was asked for");
        }
        Ok(authority.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(location: &str, verifiable: bool) -> Result<String, &'static str> {
        let server = Server::parse("https://a.example:6443/x").unwrap();
        let asked = Uri::from_static("/api/v1/secrets?limit=5");
        Members { server, verifiable, metrics: Arc::default() }
            .judge(location, &asked)
            .map(|member| member.to_string())
    }

    #[test]
    fn only_members_and_only_the_same_request() {
        assert_eq!(
            judged("https://b.example:6443/x/api/v1/secrets?limit=5", true),
            Ok("b.example:6443".to_owned())
        );
        for (location, verifiable, why) in [
            ("https://b.example:6443/x/api/v1/secrets?limit=5", false, "no authority of the cluster"),
            ("http://b.example:6443/x/api/v1/secrets?limit=5", true, "not https"),
            ("https://b.example:6443/x/api/v1/configmaps", true, "another path"),
            ("https://b.example:6443/x/api/v1/secrets", true, "another path"),
            ("https://b.example:6443/api/v1/secrets?limit=5", true, "another path"),
            ("https://me@b.example/x/api/v1/secrets?limit=5", true, "credentials"),
            ("/x/api/v1/secrets?limit=5", true, "names no server"),
            ("https://[", true, "no URL"),
        ] {
            let error = judged(location, verifiable).unwrap_err();
            assert!(error.contains(why), "{location}: {error}");
        }
    }
}
