//! Writes: from a request's bytes to a request that the replica can order.

use super::context::{Api, Asked};
use super::{body, reply, signed};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_api::request::Verb;
use hypermesh_chain::request::{self as chain, Authority, Endorsement, Media, Method, User};
use hypermesh_pipeline::authz::UserInfo;
use hypermesh_pipeline::{Body as Outgoing, Call, Outcome};
use hypermesh_wire::{BodyFormat, Offer, PatchType, transcode};

pub(super) async fn answer(
    api: &Api,
    asked: Asked,
    request: Request<Body>,
) -> Result<Response<Body>, Box<Status>> {
    let (parts, incoming) = request.into_parts();
    // What cannot be answered is not worth reading.
    reply::accepted(&parts.headers, Offer::Objects)?;
    let (media, format) = media(&asked, &parts.headers)?;
    let bytes = body::read(incoming).await?;
    let format = match format {
        Format::Of(format) => format,
        Format::Apply(patch) => patch.body_format(&bytes),
    };
    let json = if bytes.is_empty() { bytes } else { transcode(&bytes, format)? };
    let method = Method::parse(parts.method.as_str()).ok_or_else(|| Box::new(Status::unknown_path()))?;
    let target =
        parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned());
    let media = if json.is_empty() { Media::None } else { media };
    let outcome = order(
        api,
        &parts.headers,
        asked.user.clone(),
        &asked.agent,
        Parts { method, target, media, body: json },
    )
    .await?;
    let mut response = match &outcome.body {
        Outgoing::Object(record) => {
            reply::object(api, &asked, &parts.headers, &record.body, reply::code(outcome.code))?
        }
        Outgoing::Document(bytes) => {
            document(&asked.query, &asked.agent, &parts.headers, bytes, outcome.code)?
        }
    };
    warn(response.headers_mut(), &outcome.warnings);
    Ok(response)
}

/// Several writes, all or none.
pub(super) async fn transaction(
    api: &Api,
    user: UserInfo,
    request: Request<Body>,
    query: &Query,
    agent: &str,
) -> Result<Response<Body>, Box<Status>> {
    let (parts, incoming) = request.into_parts();
    let format = BodyFormat::parse(content_type(&parts.headers), false)?;
    let json = transcode(&body::read(incoming).await?, format)?;
    let target =
        parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned());
    let what = Parts { method: Method::Post, target, media: Media::Json, body: json };
    let outcome = order(api, &parts.headers, user, agent, what).await?;
    let mut response = document(query, agent, &parts.headers, outcome.body.bytes(), outcome.code)?;
    warn(response.headers_mut(), &outcome.warnings);
    Ok(response)
}

/// What is to be ordered, before it has an authority.
struct Parts {
    method: Method,
    target: String,
    media: Media,
    body: Bytes,
}

/// Has a request ordered: by its author's signature, or endorsed on behalf of an authenticated client.
async fn order(
    api: &Api,
    headers: &HeaderMap,
    user: UserInfo,
    agent: &str,
    parts: Parts,
) -> Result<Outcome, Box<Status>> {
    let replica = &api.replica;
    let Parts { method, target, media, body } = parts;
    let endorsement = Endorsement {
        replica: replica.key(),
        user: User { name: user.name, uid: user.uid, groups: user.groups, extra: user.extra },
        received: replica.request_time(),
        nonce: replica.next_nonce(),
        manager: hypermesh_api::WriteOptions::default().manager(agent),
    };
    let mut request =
        chain::Request { method, target, media, body, authority: Authority::Endorsed(endorsement) };
    if signed::claims(headers) {
        request.authority = signed::authority(api, headers, &request)?;
    }
    hypermesh_chain::Canonical::check(&request)
        .map_err(|error| Box::new(Status::bad_request(format!("the request cannot be ordered: {error}"))))?;
    let call = Call::decode(&request)?;
    if signed::claims(headers)
        && let Some(original) = replica.original(&call.digest)
    {
        return Ok(original);
    }
    replica.submit(request, call).await.map_err(|unavailable| unavailable.0)
}

enum Format {
    Of(BodyFormat),
    Apply(PatchType),
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn media(asked: &Asked, headers: &HeaderMap) -> Result<(Media, Format), Box<Status>> {
    let built_in = asked.kind.definition.strategy.built_in;
    let content_type = content_type(headers);
    if asked.info.verb != Verb::Patch {
        let protobuf = built_in || matches!(asked.info.verb, Verb::Delete | Verb::DeleteCollection);
        return Ok((Media::Json, Format::Of(BodyFormat::parse(content_type, protobuf)?)));
    }
    let patch = PatchType::parse(content_type, built_in)?;
    let media = match patch {
        PatchType::Json => Media::JsonPatch,
        PatchType::Merge => Media::MergePatch,
        PatchType::StrategicMerge => Media::StrategicMergePatch,
        PatchType::Apply => Media::ApplyPatch,
    };
    Ok((media, Format::Apply(patch)))
}

fn document(
    query: &Query,
    agent: &str,
    headers: &HeaderMap,
    bytes: &Bytes,
    code: u16,
) -> Result<Response<Body>, Box<Status>> {
    let accepted = reply::accepted(headers, Offer::Document).unwrap_or(hypermesh_wire::Accepted {
        encoding: hypermesh_wire::Encoding::Json,
        view: hypermesh_wire::View::Whole,
        pretty: false,
    });
    // A refusal goes out as a Status, with the headers that belong to it.
    if code >= 400
        && let Ok(status) = serde_json::from_slice::<Status>(bytes)
    {
        return Ok(reply::status(&status, Some(query), agent));
    }
    reply::document(bytes.clone(), reply::code(code), &accepted, accepted.is_pretty(query, agent), headers)
}

/// `Warning: 299 - "text"` for each text (RFC 7234, section 5.5).
fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        let mut quoted = String::with_capacity(warning.len() + 10);
        quoted.push_str("299 - \"");
        for c in warning.chars() {
            match c {
                '"' | '\\' => {
                    quoted.push('\\');
                    quoted.push(c);
                }
                c if c.is_control() => quoted.push(' '),
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}
