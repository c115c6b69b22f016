//! Documents, health and metrics.

use super::context::Api;
use super::outgoing::Outgoing;
use super::reply;
use crate::metrics::Figures;
use crate::replication::Line;
use flate2::read::GzDecoder;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_chain::{Block, Canonical};
use hypermesh_wire::gnostic::{Edition, Form};
use hypermesh_wire::{Offer, Root, View};
use serde_json::json;
use std::io::Read;

pub(super) fn answer(api: &Api, head: &Parts, path: &str) -> Result<Response<Outgoing>, Box<Status>> {
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return unknown();
    }
    match path {
        "/api" | "/apis" => discovery(api, head, path),
        "/version" => version(api, head),
        "/healthz" | "/livez" | "/readyz" => Ok(health(api, path, head.uri.query().unwrap_or_default())),
        "/metrics" => Ok(metrics(api)),
        "/replication" => replication(api, head),
        "/openapi/v2" => openapi2(api, head),
        "/openapi/v3" => openapi3_index(api, head),
        _ => match path.strip_prefix("/openapi/v3/") {
            Some(below) => openapi3(api, head, below),
            None if path.starts_with("/api/") || path.starts_with("/apis/") => {
                kept(head, api.documents().legacy(path))
            }
            None if path == "/" => paths(head),
            None => unknown(),
        },
    }
}

/// What a path that nothing serves gets: not a Status, as in the reference.
pub(super) fn unknown() -> Result<Response<Outgoing>, Box<Status>> {
    Ok(text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()))
}

fn text(code: StatusCode, text: String) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

fn discovery(api: &Api, head: &Parts, path: &str) -> Result<Response<Outgoing>, Box<Status>> {
    let accepted = reply::accepted(&head.headers, Offer::Discovery)?;
    let documents = api.documents();
    let document = if accepted.view == View::AggregatedDiscovery {
        documents.aggregated(if path == "/api" { Root::Api } else { Root::Apis })
    } else {
        documents.legacy(path)
    };
    let Some(document) = document else { return unknown() };
    if let Some(fresh) = not_modified(head, &document.etag) {
        return Ok(fresh);
    }
    let mut response = reply::document(document.bytes, StatusCode::OK, &accepted, false, &head.headers)?;
    tag(&mut response, &document.etag);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn kept(
    head: &Parts,
    document: Option<crate::documents::Document>,
) -> Result<Response<Outgoing>, Box<Status>> {
    let Some(document) = document else { return unknown() };
    let accepted = reply::accepted(&head.headers, Offer::Document)?;
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    let agent = head.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let pretty = accepted.is_pretty(&query, agent);
    reply::document(document.bytes, StatusCode::OK, &accepted, pretty, &head.headers)
}

fn openapi3_index(api: &Api, head: &Parts) -> Result<Response<Outgoing>, Box<Status>> {
    match api.documents().openapi_index() {
        Some(index) => tagged(head, index, Form::Json),
        None => unknown(),
    }
}

/// A document of v3. Who takes neither of its forms gets no words either.
fn openapi3(api: &Api, head: &Parts, below: &str) -> Result<Response<Outgoing>, Box<Status>> {
    let form = Form::negotiate(&reply::accept(&head.headers), Edition::V3);
    let Some(document) = api.documents().openapi(below, form.unwrap_or(Form::Json)) else { return unknown() };
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    let hash = query.first("hash").filter(|hash| !hash.is_empty());
    let mut response = match form {
        None => empty(StatusCode::NOT_ACCEPTABLE),
        Some(_) if hash.is_some_and(|hash| hash != document.etag) => {
            // What is asked for is no more: who keeps the reply by its address must not take another for it.
            let target = format!("/openapi/v3/{below}?hash={}", document.etag);
            let target = HeaderValue::from_str(&target).map_err(|e| Box::new(Status::internal(e)))?;
            let mut moved = empty(StatusCode::MOVED_PERMANENTLY);
            moved.headers_mut().insert(header::LOCATION, target);
            moved
        }
        Some(form) => tagged(head, document, form)?,
    };
    let headers = response.headers_mut();
    if hash.is_some() && headers.contains_key(header::ETAG) {
        // A document that is asked for by its hash never changes.
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        headers.insert(header::CACHE_CONTROL, forever);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    Ok(response)
}

/// A document of v3 with its tag, or that it is the one that the client has.
fn tagged(
    head: &Parts,
    document: crate::documents::Document,
    form: Form,
) -> Result<Response<Outgoing>, Box<Status>> {
    if let Some(fresh) = not_modified(head, &document.etag) {
        return Ok(fresh);
    }
    let mut response =
        reply::bytes(document.bytes, StatusCode::OK, form.content_type(Edition::V3), &head.headers)?;
    tag(&mut response, &document.etag);
    Ok(response)
}

fn empty(code: StatusCode) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::empty());
    *response.status_mut() = code;
    response
}

/// The whole of OpenAPI v2. Who takes neither of its forms gets no words either: a client that could not read them asked.
fn openapi2(api: &Api, head: &Parts) -> Result<Response<Outgoing>, Box<Status>> {
    let vary = HeaderValue::from_static("Accept, Accept-Encoding");
    let Some(form) = Form::negotiate(&reply::accept(&head.headers), Edition::V2) else {
        let mut none = empty(StatusCode::NOT_ACCEPTABLE);
        none.headers_mut().insert(header::VARY, vary);
        return Ok(none);
    };
    let documents = api.documents();
    let etag = documents.openapi2_tag();
    if let Some(mut fresh) = not_modified(head, etag) {
        fresh.headers_mut().insert(header::VARY, vary);
        return Ok(fresh);
    }
    let failed = |error: std::io::Error| Box::new(Status::internal(error));
    let packed = documents.openapi2(form).map_err(failed)?;
    let mut response;
    if reply::takes_gzip(&head.headers) {
        response = Response::new(Outgoing::whole(packed));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        let mut plain = Vec::new();
        GzDecoder::new(packed.as_ref()).read_to_end(&mut plain).map_err(failed)?;
        response = Response::new(Outgoing::whole(plain));
    }
    tag(&mut response, etag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type(Edition::V2)));
    headers.insert(header::VARY, vary);
    Ok(response)
}

fn tag(response: &mut Response<Outgoing>, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

fn not_modified(head: &Parts, etag: &str) -> Option<Response<Outgoing>> {
    let wanted = head.headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    if !wanted.split(',').any(|tag| tag.trim().trim_matches('"') == etag) {
        return None;
    }
    let mut response = empty(StatusCode::NOT_MODIFIED);
    tag(&mut response, etag);
    Some(response)
}

fn json_document(head: &Parts, document: &serde_json::Value) -> Result<Response<Outgoing>, Box<Status>> {
    let bytes = serde_json::to_vec_pretty(document).map_err(|e| Box::new(Status::internal(e)))?;
    let accepted = hypermesh_wire::Accepted {
        encoding: hypermesh_wire::Encoding::Json,
        view: View::Whole,
        pretty: false,
    };
    reply::document(bytes.into(), StatusCode::OK, &accepted, false, &head.headers)
}

/// The version of the API that is spoken, of the program that speaks it, and the cluster that requests are signed for.
fn version(api: &Api, head: &Parts) -> Result<Response<Outgoing>, Box<Status>> {
    let version = env!("CARGO_PKG_VERSION");
    json_document(
        head,
        &json!({
            "major": "1",
            "minor": "36",
            "gitVersion": format!("v1.36.0+hypermesh-{version}"),
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "none (Rust)",
            "compiler": "rustc",
            "clusterId": api.replica.cluster().to_string(),
            "platform": format!("{}/{}", std::env::consts::OS, architecture()),
        }),
    )
}

/// Go's word for the architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn paths(head: &Parts) -> Result<Response<Outgoing>, Box<Status>> {
    let paths = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/replication",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    json_document(head, &json!({ "paths": paths }))
}

/// Each check by name; the last line says what it comes to. Only failures are told unless `verbose` is asked for.
fn health(api: &Api, path: &str, query: &str) -> Response<Outgoing> {
    let writable = match api.replica.failure() {
        None => Ok(()),
        Some(why) => Err(why),
    };
    let room = match api.replica.store().room() {
        Ok(hypermesh_store::Room::Enough) => Ok(()),
        Ok(hypermesh_store::Room::Low { available, wanted }) => Err(format!(
            "the disk is full: {available} bytes are free, {wanted} are wanted; writes are refused"
        )),
        Err(error) => Err(error.to_string()),
    };
    let shutdown = if *api.closing.borrow() { Err("the server is shutting down".to_owned()) } else { Ok(()) };
    let mut checks = vec![("ping", Ok(())), ("replica", writable)];
    if path == "/readyz" {
        checks.extend([("disk", room), ("shutdown", shutdown)]);
        checks.extend(api.line.get().map(|line| ("replication", line.quorum())));
    }
    let failed = checks.iter().any(|(_, result)| result.is_err());
    let verbose = query.split('&').any(|word| word == "verbose" || word.starts_with("verbose="));
    let name = path.trim_start_matches('/');
    if !failed && !verbose {
        return text(StatusCode::OK, "ok".to_owned());
    }
    let mut lines = String::new();
    for (check, result) in checks {
        match result {
            Ok(()) => lines.push_str(&format!("[+]{check} ok\n")),
            Err(why) => lines.push_str(&format!("[-]{check} failed: {why}\n")),
        }
    }
    lines.push_str(&format!("{name} check {}\n", if failed { "failed" } else { "passed" }));
    text(if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, lines)
}

/// The replicas as this one sees them.
fn replication(api: &Api, head: &Parts) -> Result<Response<Outgoing>, Box<Status>> {
    let (reading, own) = (api.replica.reading(), api.replica.key());
    let newest = reading.view.head();
    let stored = match newest {
        Some(newest) => {
            api.replica.store().block(newest.height).map_err(|e| Box::new(Status::internal(e)))?
        }
        None => None,
    };
    let proposer =
        stored.and_then(|stored| Block::decode(&stored.block).ok()).map(|block| block.header.proposer);
    let mut replicas = vec![json!({"key": own.to_string(), "self": true, "proposes": proposer == Some(own)})];
    for peer in api.line.get().map(Line::status).unwrap_or_default() {
        replicas.push(json!({
            "key": peer.key.to_string(),
            "self": false,
            "proposes": proposer == Some(peer.key),
            "connected": peer.connected,
            "address": peer.address.map(|address| address.to_string()),
            "roundTripMicroseconds": peer.round_trip.map(|trip| trip.as_micros()),
            "lastError": peer.last_error,
        }));
    }
    replicas.sort_by_cached_key(|replica| replica["key"].to_string());
    json_document(
        head,
        &json!({
            "cluster": api.replica.cluster().to_string(),
            "height": newest.map(|head| head.height.0),
            "time": newest.map(|head| hypermesh_pipeline::clock::rfc3339(head.time)),
            "revision": reading.revision.0,
            "replicas": replicas,
        }),
    )
}

fn metrics(api: &Api) -> Response<Outgoing> {
    let rendered = api.metrics.render(&Figures {
        revision: api.replica.reading().revision.0,
        writable: api.replica.failure().is_none(),
        bodies: api.bodies.figures(),
        replies: api.replies.figures(),
        streams: api.room.taken(),
        agents: api.alive.connected(),
    });
    let replication = api.line.get().map(Line::prometheus).unwrap_or_default();
    let mut response = text(StatusCode::OK, rendered + &replication);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
