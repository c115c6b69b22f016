//! Replies: encodings, forms, compression.

use super::context::{Api, Asked};
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_wire::{Accepted, Encoding, IncludeObject, Offer, View};
use std::io::Write;

/// Replies above this size are compressed for who accepts it, in bytes.
pub(super) const COMPRESS_ABOVE: usize = 128 * 1024;

/// A Status, indented for people.
pub(super) fn status(status: &Status, query: Option<&Query>, agent: &str) -> Response<Body> {
    let bytes = serde_json::to_vec(status).unwrap_or_default();
    let accepted = Accepted { encoding: Encoding::Json, view: View::Whole, pretty: false };
    let pretty = accepted.is_pretty(query.unwrap_or(&Query::default()), agent);
    let bytes = if pretty { hypermesh_wire::indent(&bytes) } else { bytes };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code(status.code);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    if status.code == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A status code; an impossible one is a fault.
pub(super) fn code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What the client accepts.
pub(super) fn accepted(headers: &HeaderMap, offer: Offer) -> Result<Accepted, Box<Status>> {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    match accept.as_slice() {
        [] => Accepted::negotiate("", offer),
        [one] => Accepted::negotiate(one, offer),
        many => Accepted::negotiate(&many.join(","), offer),
    }
}

/// Whether the client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).any(|value| {
        value.split(',').any(|part| {
            let mut words = part.split(';').map(str::trim);
            words.next() == Some("gzip") && words.all(|word| word != "q=0")
        })
    })
}

/// Compresses a whole reply. Level 1: the reference's choice, for the sake of time.
pub(super) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 6), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A document in JSON, in the encoding that was agreed on.
pub(super) fn document(
    json: Bytes,
    code: StatusCode,
    accepted: &Accepted,
    pretty: bool,
    headers: &HeaderMap,
) -> Result<Response<Body>, Box<Status>> {
    let bytes = match accepted.encoding {
        Encoding::Yaml => Bytes::from(hypermesh_wire::yaml::from_json(&json)),
        Encoding::Json if pretty => Bytes::from(hypermesh_wire::indent(&json)),
        Encoding::Json => json,
    };
    let compress = bytes.len() > COMPRESS_ABOVE && takes_gzip(headers);
    let bytes =
        if compress { gzip(&bytes).map_err(|e| Box::new(Status::internal(e)))?.into() } else { bytes };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code;
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(accepted.content_type()));
    if compress {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(response)
}

/// One object, in the form and encoding that the client accepts.
pub(super) fn object(
    api: &Api,
    asked: &Asked,
    headers: &HeaderMap,
    body: &Bytes,
    code: StatusCode,
) -> Result<Response<Body>, Box<Status>> {
    let accepted = accepted(headers, Offer::Objects)?;
    let json = match accepted.view {
        View::Table => {
            let include = IncludeObject::parse(&asked.query)?;
            Bytes::from(api.documents().table(&asked.kind, include).single(body, api.unix_now(), true))
        }
        View::Partial => Bytes::from(hypermesh_wire::partial(body)),
        View::Whole | View::AggregatedDiscovery => body.clone(),
    };
    document(json, code, &accepted, accepted.is_pretty(&asked.query, &asked.agent), headers)
}
