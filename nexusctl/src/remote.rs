//! Manifests that lie behind a URL.
//!
//! What is fetched is about to be applied, so it comes over TLS from a server that proves its name: plain HTTP only
//! from this machine itself, or if `--insecure-fetch` asks for it. Neither the cluster's credentials nor its authorities
//! are used here. Time, size and redirects are bounded, and a redirect never leads from TLS into the clear.

mod location;

use crate::{
    client::{any_certificate, system_roots},
    environment::Environment,
    manifest::{Diagnostic, Source, yaml::LARGEST_TEXT},
};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use location::Location;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// The longest that a fetch takes, redirects included.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that a connection takes to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// Whether a word of the command line is a URL rather than a path.
pub fn is_url(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

/// Fetches a manifest. `insecure` takes plain HTTP and any certificate.
pub async fn fetch(url: &str, insecure: bool, environment: &Environment) -> Result<Arc<Source>, Diagnostic> {
    let fetched = tokio::time::timeout(PATIENCE, follow(url, insecure, environment)).await;
    let text = fetched.unwrap_or_else(|_| Err(format!("it was not fetched within {} s", PATIENCE.as_secs())));
    match text {
        Ok(text) => Ok(Arc::new(Source::new(shown(url), text))),
        Err(why) => Err(Diagnostic::plain(format!("{}: {why}", shown(url)))),
    }
}

/// Queries often carry what grants access, and so does what stands before a host's name; they are not repeated.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, below) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => authority.to_owned(),
    };
    // What follows a colon and is no port is a password that has a slash or the like in it: where it ends is not known.
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    if !separator.is_empty() && !port.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{scheme}{separator}…");
    }
    let below = match below.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => below.to_owned(),
    };
    format!("{scheme}{separator}{host}{below}")
}

async fn follow(url: &str, insecure: bool, environment: &Environment) -> Result<String, String> {
    let mut location = Location::parse(url)?;
    for _ in 0..=MOST_REDIRECTS {
        location.permit(insecure)?;
        let reply = request(&location, insecure, environment).await?;
        let code = reply.status();
        if !matches!(code.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return read(&location, reply).await;
        }
        let target = reply.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
        let target = target.ok_or_else(|| format!("{} redirects without saying where to", location.host))?;
        let next = location.join(target)?;
        if location.tls && !next.tls && !insecure {
            return Err(format!("it redirects from TLS into the clear, to {}", shown(target)));
        }
        location = next;
    }
    Err(format!("more than {MOST_REDIRECTS} redirects, the last to {}", location.host))
}

async fn request(
    location: &Location,
    insecure: bool,
    environment: &Environment,
) -> Result<Response<Incoming>, String> {
    let connecting = TcpStream::connect((location.host.as_str(), location.port));
    let late = |_| format!("{} does not answer within {} s", location.host, CONNECT.as_secs());
    let tcp = tokio::time::timeout(CONNECT, connecting).await.map_err(late)?;
    let tcp =
        tcp.map_err(|error| format!("cannot connect to {}:{}: {error}", location.host, location.port))?;
    if !location.tls {
        return exchange(TokioIo::new(tcp), location).await;
    }
    let connector = tokio_rustls::TlsConnector::from(Arc::new(configuration(insecure, environment)?));
    let name = ServerName::try_from(location.host.clone())
        .map_err(|_| format!("{:?} is no name of a host", location.host))?;
    let stream = tokio::time::timeout(CONNECT, connector.connect(name, tcp)).await.map_err(late)?;
    let stream = stream.map_err(|error| format!("TLS with {} failed: {error}", location.host))?;
    exchange(TokioIo::new(stream), location).await
}

fn configuration(insecure: bool, environment: &Environment) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = if insecure {
        builder.dangerous().with_custom_certificate_verifier(any_certificate(provider))
    } else {
        let roots = system_roots(environment);
        if roots.is_empty() {
            return Err(
                "this machine has no certificates to check the server's with: install ca-certificates, or \
                        name a file of them in SSL_CERT_FILE"
                    .to_owned(),
            );
        }
        builder.with_root_certificates(roots)
    };
    let mut configuration = builder.with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(configuration)
}

async fn exchange<S>(stream: TokioIo<S>, location: &Location) -> Result<Response<Incoming>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broke = |error: hyper::Error| format!("the connection to {} broke: {error}", location.host);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broke)?;
    tokio::spawn(async move {
        // What breaks here shows where the reply is read.
        let _ = connection.await;
    });
    let request = Request::get(&location.path)
        .header(header::HOST, location.authority())
        .header(header::USER_AGENT, concat!("nexusctl/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/yaml, application/json, text/plain, */*;q=0.5")
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("cannot be asked for: {error}"))?;
    sender.send_request(request).await.map_err(broke)
}

async fn read(location: &Location, reply: Response<Incoming>) -> Result<String, String> {
    let code = reply.status();
    if code != StatusCode::OK {
        return Err(format!("{} answers {code}", location.host));
    }
    let header =
        |name| reply.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (content_type, encoding) = (header(header::CONTENT_TYPE), header(header::CONTENT_ENCODING));
    if content_type.starts_with("text/html") {
        let hint = location.raw().map(|raw| format!(": did you mean {raw}?")).unwrap_or_default();
        return Err(format!("this is a web page, not a manifest{hint}"));
    }
    if !matches!(encoding.as_str(), "" | "identity") {
        return Err(format!("{} sends it encoded as {encoding}, which was not asked for", location.host));
    }
    let body = Limited::new(reply.into_body(), LARGEST_TEXT).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
        Some(_) => format!("it is larger than {} MiB", LARGEST_TEXT >> 20),
        None => format!("the connection to {} broke: {error}", location.host),
    })?;
    String::from_utf8(body.to_bytes().into()).map_err(|error| {
        format!("it is not text: byte {} is not UTF-8", error.utf8_error().valid_up_to().saturating_add(1))
    })
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_grants_access_is_not_repeated() {
        assert_eq!(shown("https://example.com:8443/a@1/b.yaml"), "https://example.com:8443/a@1/b.yaml");
        assert_eq!(shown("https://[::1]/a"), "https://[::1]/a");
        assert_eq!(shown("https://[::1]:8443/a"), "https://[::1]:8443/a");
        assert_eq!(shown("https://example.com/a?token=secret"), "https://example.com/a?…");
        assert_eq!(shown("https://example.com?token=secret"), "https://example.com?…");
        assert_eq!(shown("https://user:secret@example.com/x"), "https://…@example.com/x");
        assert_eq!(shown("https://user:sec@ret@example.com:1/x?y"), "https://…@example.com:1/x?…");
        assert_eq!(shown("/a:b?token=secret"), "/a:b?…");
        for password in ["a/secret", "a?secret", "a#secret"] {
            assert_eq!(shown(&format!("https://user:{password}@example.com/x")), "https://…");
        }
    }
}
