//! Subresources that are streams: `log`, `exec`, `attach` and `portforward` of Pods and Instances; `images`, `stats` and
//! `liveness` of our Nodes.
//!
//! Rights are decided before any of this. What is asked is read once ([`Route::of_api`]), the node's agent is asked, and
//! only when that has answered does the client's connection become what it asked for: whatever can be refused is refused
//! with a Status.

mod instance;
mod liveness;
mod metrics;
mod sessions;

pub(super) use metrics::answer as usage;
pub(super) use sessions::watch as watch_over_websocket;

use super::context::Api;
use super::outgoing::Outgoing;
use super::who::Who;
use super::{Exchange, signed};
use crate::streams::websocket;
use crate::streams::{Agents, Node, Upload, upload};
use bytes::Bytes;
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, BodyStream, Empty};
use hypermesh_api::query::Query;
use hypermesh_api::request::{RequestInfo, Verb};
use hypermesh_api::{Status, Subject};
use hypermesh_stream::{Caller, FRAMES, IDLE, ImageAction, RAW, Route, STREAM, User};
use sessions::Form;
use std::io;
use std::sync::Arc;
use stoq::http3::Body;

/// Whether a request is about a stream.
pub(super) fn is_asked(info: &RequestInfo) -> bool {
    let ours = info.group == "hypermesh.online";
    match info.resource.as_str() {
        "pods" if info.group.is_empty() => is_of_instance(&info.subresource),
        "instances" if ours => is_of_instance(&info.subresource),
        "nodes" if ours => matches!(info.subresource.as_str(), "images" | "liveness" | "metrics" | "stats"),
        _ => false,
    }
}

fn is_of_instance(subresource: &str) -> bool {
    matches!(subresource, "log" | "exec" | "attach" | "portforward")
}

/// The verb that is authorized. A GET that opens a shell is no reading: it takes the right that a POST takes, as in the
/// reference from 1.35 on.
pub(super) fn verb(info: &RequestInfo) -> Verb {
    match info.subresource.as_str() {
        "exec" | "attach" | "portforward" => Verb::Create,
        _ => info.verb,
    }
}

/// Answers a request about a stream.
pub(super) async fn answer(
    api: &Arc<Api>,
    mut who: Who,
    exchange: &mut Exchange<'_>,
    info: &RequestInfo,
    query: &Query,
) -> Result<Response<Outgoing>, Box<Status>> {
    let method = exchange.head.method.as_str();
    if info.subresource == "liveness" {
        if info.verb == Verb::Create {
            // What is signed is of now and comes once, whatever follows it.
            caller(api, &mut who, exchange.head)?;
        }
        return liveness::answer(api, &who, exchange, info).await;
    }
    let wrong = || {
        let resource = format!("{}/{}", info.resource, info.subresource);
        let subject = Subject { group: &info.group, resource: &resource, name: "" };
        Box::new(Status::method_not_allowed(subject, info.verb.as_str()))
    };
    let streams = verb(info) == Verb::Create && info.resource != "nodes";
    match info.verb {
        Verb::Get => {}
        Verb::Create if streams || info.subresource == "images" => {}
        Verb::Delete if info.subresource == "images" => {}
        _ => return Err(wrong()),
    }
    let Some(route) = Route::of_api(info, method, query)? else { return Err(wrong()) };
    let caller = caller(api, &mut who, exchange.head)?;
    let (node, route, form) = match route.instance() {
        Some(_) => {
            let found = instance::find(api, info, route)?;
            // What asks for no session is refused as that, whatever its node is like.
            let form = Form::of(exchange.head, &found.route)?;
            (found.node(api)?, found.route, form)
        }
        None => (node_named(api, &info.name)?, route, None),
    };
    let asking = Asking { api: Arc::clone(api), node, route, caller };
    if let Some(form) = form {
        return sessions::answer(asking, form, &who, exchange).await;
    }
    let answer = match &asking.route {
        Route::Log(..) => {
            let place = api.room.enter(who.caller.clone())?;
            relay(asking.ask(Empty::<Bytes>::new()).await?, false).map(|body| body.keeping(place))
        }
        Route::Images(ImageAction::Import | ImageAction::Pull(_)) => {
            let place = api.room.enter(who.caller.clone())?;
            relay(asking.ask(handed_on(exchange)).await?, false).map(|body| body.keeping(place))
        }
        _ => relay(asking.ask(Empty::<Bytes>::new()).await?, false),
    };
    Ok(answer)
}

/// One question to one agent.
struct Asking {
    api: Arc<Api>,
    node: Node,
    route: Route,
    caller: Caller,
}

impl Asking {
    async fn ask<B>(&self, body: B) -> Result<Response<Body>, Box<Status>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<stoq::http3::BoxError>,
    {
        agents(&self.api)?.ask(&self.node, &self.api.alive, &self.route, &self.caller, body).await
    }
}

/// What agents are asked by; 503 where this server could not bind a socket for that.
fn agents(api: &Api) -> Result<&Agents, Box<Status>> {
    api.agents.get().ok_or_else(|| {
        let words = "this server cannot ask agents: it has no UDP socket to dial from, see its log";
        Box::new(Status::failure(503, "ServiceUnavailable", words))
    })
}

/// The node of this name.
fn node_named(api: &Api, name: &str) -> Result<Node, Box<Status>> {
    let reading = api.replica.reading();
    let missing =
        || Box::new(Status::not_found(Subject { group: "hypermesh.online", resource: "nodes", name }));
    let key = hypermesh_chain::ObjectKey::new("hypermesh.online/nodes", "", name).ok_or_else(missing)?;
    let record = reading.get(&key).map_err(|e| Box::new(Status::internal(e)))?.ok_or_else(missing)?;
    Node::read(name, &record)
}

/// In whose name the agent is asked. What is signed has to be fresh, and comes once: nothing orders it.
fn caller(api: &Api, who: &mut Who, head: &Parts) -> Result<Caller, Box<Status>> {
    let user = &who.user;
    let user = User {
        name: user.name.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        extra: user.extra.iter().cloned().collect(),
    };
    let signed = match who.signed.take() {
        Some(verified) => Some(signed::for_agent(api, &verified, head)?),
        None => None,
    };
    Ok(Caller { user, audit: api.audit(head), signed })
}

/// What an answer of an agent may claim to be. A node in other hands must not have a browser take its answer for a page of
/// this server, as which it would act in the name of whoever looks (behind `nexusctl proxy`: with their signature).
const HARMLESS: [&str; 3] = ["text/plain", "application/json", "application/octet-stream"];

fn harmless(kind: Option<&HeaderValue>) -> HeaderValue {
    let essence = kind.and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next());
    let known = HARMLESS
        .into_iter()
        .find(|known| essence.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(known)));
    HeaderValue::from_static(known.unwrap_or("text/plain"))
}

/// The answer of an agent as the answer to the client.
fn relay(answer: Response<Body>, framed: bool) -> Response<Outgoing> {
    let kind = harmless(answer.headers().get(header::CONTENT_TYPE));
    let body = BodyStream::new(answer.into_body()).filter_map(|frame| {
        std::future::ready(match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let mut response = Response::new(Outgoing::relayed(body));
    let headers = response.headers_mut();
    if framed {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    } else {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Whether a client that does not upgrade asks for a stream on the request itself, and in which form.
fn plain_form(head: &Parts, route: &Route) -> Result<Option<&'static str>, Box<Status>> {
    let Some(asked) = head.headers.get(STREAM) else { return Ok(None) };
    let wanted = if matches!(route, Route::PortForward(..)) { RAW } else { FRAMES };
    if asked.as_bytes() != wanted.as_bytes() {
        return Err(Box::new(Status::bad_request(format!("{STREAM} is {wanted:?} here, and nothing else"))));
    }
    if let Route::PortForward(_, 0) = route {
        return Err(Box::new(Status::bad_request("port is missing: it names the port of this connection")));
    }
    Ok(Some(wanted))
}

/// The body of a request, handed on as it comes.
fn handed_on(exchange: &mut Exchange<'_>) -> Upload {
    let (feeder, upload) = upload::upload();
    let mut body = exchange.body.take(IDLE);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame {
                Ok(frame) => frame.into_data().map(Ok).unwrap_or(Ok(Bytes::new())),
                Err(error) => Err(io::Error::other(error)),
            };
            if feeder.send(piece).await.is_err() {
                return;
            }
        }
    });
    upload
}

/// Whether the client asks for WebSocket.
pub(super) fn is_websocket(head: &Parts) -> bool {
    websocket::is_websocket(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_answers_no_page() {
        let of = |kind: &'static str| harmless(Some(&HeaderValue::from_static(kind)));
        assert_eq!(of("application/json; charset=utf-8"), "application/json");
        for kind in
            ["text/html", "image/svg+xml", "application/xhtml+xml;x=text/plain", "text/plain, text/html", ""]
        {
            assert_eq!(of(kind), "text/plain", "{kind}");
        }
        assert_eq!(harmless(None), "text/plain");
    }
}
