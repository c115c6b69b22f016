//! `nodes/NAME/liveness`: an agent says that it is there, and whoever may know asks since when.

use super::super::outgoing::Outgoing;
use crate::http::Exchange;
use crate::http::context::Api;
use crate::http::incoming::Incoming;
use crate::http::reply;
use crate::http::who::Who;
use crate::streams::{Alive, Place};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hypermesh_api::request::{RequestInfo, Verb};
use hypermesh_api::{Status, Subject};
use hypermesh_pipeline::authz::node_of;
use hypermesh_stream::liveness::{Beat, MAX_LINE, SILENT};
use hypermesh_wire::Offer;
use std::sync::Arc;

pub(super) async fn answer(
    api: &Arc<Api>,
    who: &Who,
    exchange: &mut Exchange<'_>,
    info: &RequestInfo,
) -> Result<Response<Outgoing>, Box<Status>> {
    let subject = Subject { group: &info.group, resource: "nodes/liveness", name: &info.name };
    match info.verb {
        Verb::Get => {
            let Some(known) = api.alive.of(&info.name) else {
                return Err(Box::new(Status::not_found(subject)));
            };
            let bytes = serde_json::to_vec(&known).map_err(|e| Box::new(Status::internal(e)))?;
            let accepted = reply::accepted(&exchange.head.headers, Offer::Document)?;
            reply::document(Bytes::from(bytes), StatusCode::OK, &accepted, false, &exchange.head.headers)
        }
        Verb::Create => {
            if node_of(&who.user) != Some(info.name.as_str()) {
                let why = "an agent tells of its own node alone, by the identity of that node";
                return Err(Box::new(Status::forbidden(subject, why)));
            }
            let place = api.room.enter(who.caller.clone())?;
            Ok(listen(Arc::clone(api), info.name.clone(), exchange.body.take(SILENT), place))
        }
        verb => Err(Box::new(Status::method_not_allowed(subject, verb.as_str()))),
    }
}

/// Listens for as long as the agent says something. The answer says nothing; it ends when this server listens no more.
fn listen(api: Arc<Api>, node: String, body: Incoming, place: Place) -> Response<Outgoing> {
    let listening = async move {
        let _place = place;
        let mut closing = api.closing.clone();
        let heard = hear(&api.alive, &node, body);
        tokio::select! {
            () = heard => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        None::<(Bytes, ())>
    };
    let mut listening = Some(listening);
    let body = futures_util::stream::unfold((), move |()| {
        let listening = listening.take();
        async move { listening?.await }
    });
    let mut response = Response::new(Outgoing::events(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn hear(alive: &Alive, node: &str, mut body: Incoming) {
    let heard = alive.begin(node);
    let mut held = BytesMut::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENT, body.frame()).await {
        held.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = memchr::memchr(b'\n', &held) {
            let line = held.split_to(end + 1);
            // What a newer agent says in a form of its own still says that it is there.
            heard.beat(serde_json::from_slice::<Beat>(&line).unwrap_or_default());
        }
        if held.len() > MAX_LINE {
            tracing::info!(node, "an agent told its liveness in a line longer than {MAX_LINE} bytes");
            return;
        }
    }
}
