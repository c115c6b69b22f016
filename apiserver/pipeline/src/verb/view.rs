//! Writes to what is shown of another kind: they act on what it is shown of.

mod eviction;

use super::replace::{self, Live, Tracked};
use super::{Request, delete, delete_collection, patch};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::outcome::{Body, Reply};
use crate::state::StateReader;
use crate::view::View;
use hypermesh_api::request::Verb;
use hypermesh_api::{Details, Status, Subject};
use hypermesh_chain::request::Media;
use serde_json::Value;

/// What a patch of a Node of `core/v1` may change, as paths of keys.
const PATCHED: [[&str; 2]; 4] =
    [["metadata", "labels"], ["metadata", "annotations"], ["spec", "unschedulable"], ["spec", "taints"]];

/// Runs the verb that the request asks for. The request's kind is what the view is shown of.
pub(crate) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    view: View,
) -> Result<Reply, Fault> {
    let info = &request.call.info;
    match (view, info.verb, info.subresource.as_str()) {
        (View::Pods, Verb::Delete, "") => shown(delete::run(execution, request), view),
        (View::Pods, Verb::DeleteCollection, "") => {
            shown(delete_collection::run(execution, request, Some(view)), view)
        }
        (View::Pods, Verb::Create, "eviction") => shown(eviction::run(execution, request), view),
        (View::Nodes, Verb::Patch, "") => shown(patch_node(execution, request), view),
        (_, _, "" | "status") => Err(refuse(view, info.verb, &info.name).into()),
        _ => Err(Status::unknown_path().into()),
    }
}

/// 405, with what to write instead.
fn refuse(view: View, verb: Verb, name: &str) -> Status {
    let subject = Subject { group: "", resource: view.plural(), name };
    let mut status = Status::method_not_allowed(subject, verb.as_str());
    status.message = format!("{}: {}", status.message, view.instead());
    status
}

/// A reply, or a refusal, that names what was asked for and not what it is shown of.
fn shown(reply: Result<Reply, Fault>, view: View) -> Result<Reply, Fault> {
    let about = |details: &mut Option<Details>| {
        if let Some(details) = details
            && details.group == "hypermesh.online"
        {
            details.group.clear();
            view.plural().clone_into(&mut details.kind);
        }
    };
    match reply {
        Err(Fault::Refused(mut status)) => {
            let (_, _, plural) = view.source();
            let (ours, theirs) = (format!("{plural}.hypermesh.online "), format!("{} ", view.plural()));
            // `instances.hypermesh.online "web-0" not found`: what it says beyond the name may mean ours.
            status.message = status.message.replacen(&ours, &theirs, 1);
            about(&mut status.details);
            Err(Fault::Refused(status))
        }
        Ok(Reply { code, body: Body::Document(bytes) }) => {
            // A list of what was deleted is projected by who answers.
            let status =
                serde_json::from_slice::<Status>(&bytes).ok().filter(|status| status.kind == "Status");
            let Some(mut status) = status else {
                return Ok(Reply { code, body: Body::Document(bytes) });
            };
            about(&mut status.details);
            Ok(Reply::document(code, &status)?)
        }
        other => other,
    }
}

/// What `kubectl cordon`, `drain`, `taint`, `label` and `annotate` send.
fn patch_node<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    let refused = || refuse(View::Nodes, Verb::Patch, &name);
    let body = std::mem::take(&mut request.call.body);
    match request.call.media {
        Media::ApplyPatch => return Err(refused().into()),
        // Where it has no directives, it is a merge patch: none of the fields is a list that is merged.
        Media::StrategicMergePatch if has_directive(&body) => return Err(refused().into()),
        Media::StrategicMergePatch => request.call.media = Media::MergePatch,
        _ => {}
    }
    let Some(live) = Live::load(execution, request)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    let mut object = live.value.clone();
    patch::apply(request, &mut object, &body)?;
    for field in ["apiVersion", "kind"] {
        object[field] = live.value.get(field).cloned().unwrap_or(Value::Null);
    }
    if without_patched(&object) != without_patched(&live.value) {
        return Err(refused().into());
    }
    request.decode(&mut object)?;
    request.place(&mut object, Some(&name))?;
    replace::run(execution, request, live, object, Tracked::No)
}

/// A directive of strategic merge patches, at a depth that a patch of these fields has.
fn has_directive(patch: &Value) -> bool {
    let directive = |map: &serde_json::Map<String, Value>| map.keys().any(|key| key.starts_with('$'));
    let Some(map) = patch.as_object() else { return false };
    directive(map)
        || map.values().filter_map(Value::as_object).any(|map| {
            directive(map)
                || map.values().any(|value| match value {
                    Value::Object(map) => directive(map),
                    Value::Array(list) => list.iter().filter_map(Value::as_object).any(directive),
                    _ => false,
                })
        })
}

/// An object without the fields that a patch may change. A version is compared where the patch is stored.
fn without_patched(object: &Value) -> Value {
    let mut rest = object.clone();
    for [part, field] in PATCHED.into_iter().chain([["metadata", "resourceVersion"]]) {
        if let Some(map) = rest.get_mut(part).and_then(Value::as_object_mut) {
            map.remove(field);
        }
    }
    rest
}
