//! Several writes in one request, all or none: POST of a `v1` List to `/apis/hypermesh.online/v1/transactions`.
//!
//! Every item is applied server-side, in order, each with the rights that it would need alone. The first refusal
//! undoes everything and names its item.

use super::{Request, apply};
use crate::authz::UserInfo;
use crate::call::Call;
use crate::execution::{Execution, MOST_REQUEST_WEIGHT, MOST_REQUEST_WRITES};
use crate::fault::Fault;
use crate::outcome::{Body, Remarks, Reply};
use crate::state::StateReader;
use hypermesh_api::request::Verb;
use hypermesh_api::{Cause, Status};
use hypermesh_chain::Hash;
use hypermesh_chain::request::Media;
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::sync::Arc;

pub(crate) const GROUP: &str = "hypermesh.online";
pub(crate) const RESOURCE: &str = "transactions";

/// Whether a request is a transaction.
pub(crate) fn is(info: &hypermesh_api::request::RequestInfo) -> bool {
    info.group == GROUP && info.resource == RESOURCE
}

/// A transaction holds as many items at most.
pub const MOST_ITEMS: usize = 1000;

pub(crate) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    user: &UserInfo,
    mut call: Call,
    remarks: &mut Remarks,
) -> Result<Reply, Fault> {
    if call.info.verb != Verb::Create || !call.info.name.is_empty() {
        let subject = hypermesh_api::Subject { group: GROUP, resource: RESOURCE, name: "" };
        return Err(Status::method_not_allowed(subject, call.info.verb.as_str()).into());
    }
    let mut bytes = Vec::from(&b"{\"apiVersion\":\"v1\",\"items\":["[..]);
    let duplicates = std::mem::take(&mut call.duplicates);
    for (i, item) in items(&mut call)?.into_iter().enumerate() {
        if !execution.has_room() {
            let why = format!(
                "a transaction writes at most {MOST_REQUEST_WRITES} times and {MOST_REQUEST_WEIGHT} bytes: send it in parts"
            );
            return Err(at(Status::failure(413, "RequestEntityTooLarge", why).into(), i));
        }
        let reply =
            one(execution, user, &call, item, (i, &duplicates), remarks).map_err(|fault| at(fault, i))?;
        if i > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(reply.body.bytes());
    }
    bytes.extend_from_slice(
        format!(
            "],\"kind\":\"List\",\"metadata\":{{\"resourceVersion\":\"{}\"}}}}",
            execution.told_revision().0
        )
        .as_bytes(),
    );
    Ok(Reply { code: 200, body: Body::Document(bytes.into()) })
}

fn items(call: &mut Call) -> Result<Vec<Value>, Status> {
    let mut body = std::mem::take(&mut call.body);
    let is_list = body.get("kind").and_then(Value::as_str) == Some("List")
        && body.get("apiVersion").and_then(Value::as_str) == Some("v1");
    let items = body.get_mut("items").map(Value::take);
    match items {
        Some(Value::Array(items)) if is_list && items.len() <= MOST_ITEMS => Ok(items),
        Some(Value::Array(_)) if is_list => {
            Err(Status::bad_request(format!("a transaction holds at most {MOST_ITEMS} items")))
        }
        _ => Err(Status::bad_request("a transaction is a List of apiVersion v1 with items")),
    }
}

fn one<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    user: &UserInfo,
    call: &Call,
    item: Value,
    (index, duplicates): (usize, &[String]),
    remarks: &mut Remarks,
) -> Result<Reply, Fault> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api_version, kind_name, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let Some(kind) = execution.derived.registry.kind(&api_version, &kind_name).cloned() else {
        return Err(Status::bad_request(format!(
            "no kind {kind_name:?} is served in version {api_version:?}"
        ))
        .into());
    };
    if name.is_empty() {
        return Err(Status::bad_request("metadata.name is required in a transaction").into());
    }
    let mut call = call.clone();
    call.digest = Hash::of(&[b"item of a transaction", &call.digest.0, &(index as u64).to_le_bytes()]);
    call.media = Media::ApplyPatch;
    call.info.verb = Verb::Patch;
    call.info.group.clone_from(&kind.definition.group);
    call.info.version.clone_from(&kind.definition.version);
    call.info.resource.clone_from(&kind.definition.names.plural);
    call.info.namespace = match text("/metadata/namespace") {
        _ if kind.has(Hook::Namespace) => name.clone(),
        _ if !kind.namespaced() => String::new(),
        namespace if namespace.is_empty() => "default".to_owned(),
        namespace => namespace,
    };
    let prefix = format!("items[{index}].");
    call.duplicates =
        duplicates.iter().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect();
    call.info.name = name;
    execution.authorize(user, &call, Verb::Patch)?;
    let mut request = Request::new(Arc::clone(&kind), user.clone(), call, &execution.block, remarks);
    apply::object(execution, &mut request, item)
}

fn at(fault: Fault, index: usize) -> Fault {
    match fault {
        Fault::Refused(mut status) => {
            let item = format!("items[{index}]");
            let message = format!("{item}: {}; nothing of the transaction was stored", status.message);
            let why = std::mem::replace(&mut status.message, message);
            let details = status.details.get_or_insert_default();
            for cause in &mut details.causes {
                cause.field = match cause.field.as_str() {
                    // What is about the object as a whole.
                    "" | "<nil>" => item.clone(),
                    field => format!("{item}.{}", field.strip_prefix('.').unwrap_or(field)),
                };
            }
            if details.causes.is_empty() {
                details.causes.push(Cause { reason: status.reason.clone(), message: why, field: item });
            }
            Fault::Refused(status)
        }
        other => other,
    }
}
