//! Writes: from a request's bytes to a request that the replica can order.

use super::body::content_type;
use super::context::{Api, Asked};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::who::Who;
use super::{Exchange, body, reply, signed, warning};
use crate::budget::Reservation;
use bytes::Bytes;
use http::request::Parts as Head;
use http::{HeaderMap, Response};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_api::request::Verb;
use hypermesh_chain::request::{self as chain, Authority, Endorsement, Media, Method, User};
use hypermesh_pipeline::authz::UserInfo;
use hypermesh_pipeline::{Body, Call, Outcome};
use hypermesh_wire::{BodyFormat, Offer, PatchType, transcode};

pub(super) async fn answer(
    api: &Api,
    mut asked: Asked,
    head: &Head,
    incoming: &mut Incoming,
) -> Result<Response<Outgoing>, Box<Status>> {
    // What cannot be answered is not worth reading.
    reply::accepted(&head.headers, Offer::Objects)?;
    let (media, format) = media(&asked, &head.headers)?;
    let received = body::read(api, &asked.who.caller, incoming).await?;
    let format = match format {
        Format::Of(format) => format,
        Format::Apply(patch) => patch.body_format(&received.bytes),
    };
    let received = if received.bytes.is_empty() { received } else { transcoded(received, format)? };
    let media = if received.bytes.is_empty() { Media::None } else { media };
    let signed = asked.who.signed.take();
    let author = Author { who: &asked.who, signed, agent: &asked.agent };
    let (outcome, room) = order(api, head, author, media, received).await?;
    let mut response = match &outcome.body {
        Body::Object(record) => {
            reply::object(api, &asked, &head.headers, &record.body, reply::code(outcome.code))?
        }
        // What was deleted of a collection.
        Body::Document(bytes) if asked.info.verb == Verb::DeleteCollection && outcome.code < 400 => {
            let projected = asked.view.as_ref().map(|view| Bytes::from(view.projection.project_list(bytes)));
            let bytes = projected.as_ref().unwrap_or(bytes);
            document(&asked.query, &asked.agent, &head.headers, bytes, outcome.code)?
        }
        Body::Document(bytes) => document(&asked.query, &asked.agent, &head.headers, bytes, outcome.code)?,
    };
    warning::write(response.headers_mut(), &outcome.warnings);
    Ok(hold(response, room))
}

/// Several writes, all or none.
pub(super) async fn transaction(
    api: &Api,
    mut who: Who,
    exchange: &mut Exchange<'_>,
    query: &Query,
) -> Result<Response<Outgoing>, Box<Status>> {
    let (head, agent) = (exchange.head, exchange.agent);
    let format = BodyFormat::parse(content_type(&head.headers)?, false)?;
    let received = body::read(api, &who.caller, exchange.body).await?;
    let received = transcoded(received, format)?;
    let signed = who.signed.take();
    let author = Author { who: &who, signed, agent };
    let (outcome, room) = order(api, head, author, Media::Json, received).await?;
    let mut response = document(query, agent, &head.headers, outcome.body.bytes(), outcome.code)?;
    warning::write(response.headers_mut(), &outcome.warnings);
    Ok(hold(response, room))
}

fn transcoded(received: body::Received, format: BodyFormat) -> Result<body::Received, Box<Status>> {
    let json = transcode(&received.bytes, format)?;
    received.transcoded(json)
}

/// The reply to a write holds what the write did: what was done must not be refused for want of room.
fn hold(response: Response<Outgoing>, room: Option<Reservation>) -> Response<Outgoing> {
    match room {
        Some(mut room) => {
            // Where the reply is larger than the request and there is no more room, what is held has to do.
            let _ = room.set(response.body().length());
            response.map(|body| body.holding(room))
        }
        None => response,
    }
}

/// In whose name a request is ordered, and how it is known.
struct Author<'w> {
    who: &'w Who,
    signed: Option<signed::Signed>,
    agent: &'w str,
}

/// Has a request ordered: by its author's signature, or endorsed on behalf of an authenticated client.
async fn order(
    api: &Api,
    head: &Head,
    author: Author<'_>,
    media: Media,
    received: body::Received,
) -> Result<(Outcome, Option<Reservation>), Box<Status>> {
    let replica = &api.replica;
    let method = Method::parse(head.method.as_str()).ok_or_else(|| Box::new(Status::unknown_path()))?;
    let user = UserInfo::clone(&author.who.user);
    let endorsement = Endorsement {
        replica: replica.key(),
        user: User { name: user.name, uid: user.uid, groups: user.groups, extra: user.extra },
        received: replica.request_time(),
        nonce: replica.next_nonce(),
        manager: hypermesh_api::WriteOptions::default().manager(author.agent),
    };
    let mut request = chain::Request {
        method,
        target: signed::target(head),
        media,
        body: received.bytes,
        authority: Authority::Endorsed(endorsement),
    };
    let by_author = author.signed.is_some();
    if let Some(signed) = author.signed {
        request.authority = signed.authority(&request)?;
    }
    hypermesh_chain::Canonical::check(&request)
        .map_err(|error| Box::new(Status::bad_request(format!("the request cannot be ordered: {error}"))))?;
    let call = Call::decode(&request)?;
    if by_author && let Some(original) = replica.original(&call.digest) {
        return Ok((original, received.room));
    }
    let (user, target) = (author.who.user.name.as_str(), head.uri.path());
    let outcome = replica.submit(request, call).await.map_err(|unavailable| unavailable.0)?;
    for note in &outcome.audit {
        tracing::info!(audit = api.audit(head), user, method = %head.method, target, note, "noted");
    }
    Ok((outcome, received.room))
}

enum Format {
    Of(BodyFormat),
    Apply(PatchType),
}

fn media(asked: &Asked, headers: &HeaderMap) -> Result<(Media, Format), Box<Status>> {
    let built_in = asked.kind.definition.strategy.built_in;
    let content_type = content_type(headers)?;
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
) -> Result<Response<Outgoing>, Box<Status>> {
    let accepted = reply::accepted(headers, Offer::Document).unwrap_or(hypermesh_wire::Accepted {
        encoding: hypermesh_wire::Encoding::Json,
        view: hypermesh_wire::View::Whole,
        pretty: false,
    });
    // A refusal goes out as a Status, with the headers that belong to it.
    if code >= 400
        && let Ok(status) = serde_json::from_slice::<Status>(bytes)
    {
        return Ok(reply::status(&status, Some(query), agent, headers));
    }
    reply::document(bytes.clone(), reply::code(code), &accepted, accepted.is_pretty(query, agent), headers)
}
