//! Replies: encodings, forms, compression.

use super::context::{Api, Asked};
use super::outgoing::Outgoing;
use crate::budget::Caller;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_wire::{Accepted, Encoding, IncludeObject, Offer, TableFormat, View};
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Replies above this size are compressed for who accepts it, in bytes.
pub(super) const COMPRESS_ABOVE: usize = 128 * 1024;

/// Replies below this size are not charged, in bytes.
const NEGLIGIBLE: usize = 16 * 1024;

/// Charges a reply to whom it is for, until it is sent. 429 when they leave too many lying.
pub(super) fn attend(
    api: &Api,
    caller: Caller,
    reply: Response<Outgoing>,
) -> Result<Response<Outgoing>, Box<Status>> {
    let bytes = reply.body().length();
    if bytes < NEGLIGIBLE || reply.body().is_charged() {
        return Ok(reply);
    }
    let room = api.replies.try_reserve(caller, bytes)?;
    Ok(reply.map(|body| body.holding(room)))
}

/// A Status in what the client takes, indented for people.
pub(super) fn status(
    status: &Status,
    query: Option<&Query>,
    agent: &str,
    headers: &HeaderMap,
) -> Response<Outgoing> {
    let (bytes, content_type) = hypermesh_wire::refusal(status, &accept(headers));
    let accepted = Accepted { encoding: Encoding::Json, view: View::Whole, pretty: false };
    let pretty = content_type == accepted.content_type()
        && accepted.is_pretty(query.unwrap_or(&Query::default()), agent);
    let bytes = if pretty { hypermesh_wire::indent(&bytes) } else { bytes };
    let mut response = Response::new(Outgoing::whole(bytes));
    *response.status_mut() = code(status.code);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    // Clients of Kubernetes repeat in silence what names a time by header, ten times over: a full disk is for people to
    // hear of at once.
    if retry > 0 && status.code != 507 {
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
    Accepted::negotiate(&accept(headers), offer)
}

/// All lines of `Accept` as one.
pub(super) fn accept(headers: &HeaderMap) -> Cow<'_, str> {
    let mut lines = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let first = lines.next().unwrap_or_default();
    match lines.next() {
        None => first.into(),
        Some(second) => [first, second].into_iter().chain(lines).collect::<Vec<_>>().join(",").into(),
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
) -> Result<Response<Outgoing>, Box<Status>> {
    let bytes = match accepted.encoding {
        Encoding::Yaml => Bytes::from(hypermesh_wire::yaml::from_json(&json)),
        Encoding::Json if pretty => Bytes::from(hypermesh_wire::indent(&json)),
        Encoding::Json => json,
    };
    self::bytes(bytes, code, accepted.content_type(), headers)
}

/// Bytes as they are, compressed for who takes that where they are many.
pub(super) fn bytes(
    bytes: Bytes,
    code: StatusCode,
    content_type: &'static str,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Box<Status>> {
    let compress = bytes.len() > COMPRESS_ABOVE && takes_gzip(headers);
    let bytes =
        if compress { gzip(&bytes).map_err(|e| Box::new(Status::internal(e)))?.into() } else { bytes };
    let mut response = Response::new(Outgoing::whole(bytes));
    *response.status_mut() = code;
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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
) -> Result<Response<Outgoing>, Box<Status>> {
    let accepted = accepted(headers, Offer::Objects)?;
    let projected = asked.view.as_ref().map(|view| Bytes::from(view.projection.project(body)));
    let body = projected.as_ref().unwrap_or(body);
    let json = match accepted.view {
        View::Table => {
            let include = IncludeObject::parse(&asked.query)?;
            let format = match asked.info.subresource.as_str() {
                "scale" => Arc::new(TableFormat::scale(include)),
                _ => api.documents().table(&asked.kind, include),
            };
            Bytes::from(format.single(body, api.unix_now(), true))
        }
        View::Partial => Bytes::from(hypermesh_wire::partial(body)),
        View::Whole | View::AggregatedDiscovery => body.clone(),
    };
    document(json, code, &accepted, accepted.is_pretty(&asked.query, &asked.agent), headers)
}
