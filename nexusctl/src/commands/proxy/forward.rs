//! One request, passed on, and its reply, passed back as it comes.

use crate::{client::Client, commands::proxy::gate::Gate, error::chain};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hypermesh_api::Status;
use hypermesh_client::{Body, Error};

/// What belongs to one connection and not to what is sent over it (RFC 9110, section 7.6.1).
const OF_THE_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Forwards requests.
pub(super) struct Forward {
    client: Client,
    gate: Gate,
}

impl Forward {
    pub fn new(client: Client, gate: Gate) -> Self {
        Self { client, gate }
    }

    /// Answers one request. Whatever goes wrong becomes a Status, as clients expect one.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Err(status) = self.gate.check(&request) {
            return reply(&status);
        }
        match self.client.pass(upstream(request)).await {
            Ok(mut response) => {
                strip(response.headers_mut());
                // How the server was reached is not how this client is.
                *response.version_mut() = http::Version::default();
                response
            }
            Err(error) => reply(&unanswered(&error)),
        }
    }
}

/// The request as the server gets it.
fn upstream(request: Request<Incoming>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(header::HOST);
    // What a browser says about its pages is not the server's concern, and cookies of this host are not for it.
    for name in [header::ORIGIN, header::REFERER, header::COOKIE, header::EXPECT] {
        parts.headers.remove(name);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.version = http::Version::default();
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    let body = if http_body::Body::is_end_stream(&body) { Body::empty() } else { Body::stream(body) };
    Request::from_parts(parts, body)
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
}

fn unanswered(error: &Error) -> Status {
    let (code, reason) = match error {
        Error::Timeout { .. } | Error::Unknown { .. } => (504, "Timeout"),
        Error::Body { .. } => (413, "RequestEntityTooLarge"),
        _ => (502, "ServiceUnavailable"),
    };
    Status::failure(code, reason, format!("nexusctl proxy: {}", chain(error)))
}

fn reply(status: &Status) -> Response<Body> {
    let text = serde_json::to_vec(status).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
