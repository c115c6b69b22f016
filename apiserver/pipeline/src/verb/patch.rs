//! `patch`: JSON patch, merge patch, and, for built-in kinds, strategic merge patch.

use super::Request;
use super::replace::{self, Live, Tracked};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::outcome::Reply;
use crate::state::StateReader;
use hypermesh_api::Status;
use hypermesh_chain::request::Media;
use hypermesh_merge::patch::{self, PatchError};
use serde_json::Value;

/// Patch media types of a kind that is not built in, as the refusal lists them.
const TAKEN: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    if request.call.media == Media::StrategicMergePatch && !request.kind.definition.strategy.built_in {
        return Err(Status::unsupported_media_type(&TAKEN).into());
    }
    let Some(live) = Live::load(execution, request)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    let body = std::mem::take(&mut request.call.body);
    let mut object = if sees_managed(request.call.media, &body) { live.whole()? } else { live.value.clone() };
    apply(request, &mut object, &body)?;
    request.decode(&mut object)?;
    request.place(&mut object, Some(&name))?;
    replace::run(execution, request, live, object, Tracked::No)
}

/// Whether a patch may look at managed fields, or change them, so that it has to be given them.
fn sees_managed(media: Media, body: &Value) -> bool {
    if media == Media::JsonPatch {
        let sees = |place: Option<&Value>| match place.and_then(Value::as_str) {
            Some(place) => matches!(place, "" | "/metadata") || place.starts_with("/metadata/managedFields"),
            None => true,
        };
        let each = |operation: &Value| {
            sees(operation.get("path")) || operation.get("from").is_some_and(|from| sees(Some(from)))
        };
        return body.as_array().is_none_or(|operations| operations.iter().any(each));
    }
    let directive = |name: &String| name.starts_with('$');
    let Some(map) = body.as_object() else { return true };
    map.keys().any(directive)
        || map.get("metadata").is_some_and(|meta| {
            meta.as_object()
                .is_none_or(|meta| meta.keys().any(|name| directive(name) || name == "managedFields"))
        })
}

/// Patches a document by the request's media type.
pub(super) fn apply(request: &mut Request<'_>, document: &mut Value, body: &Value) -> Result<(), Status> {
    let result = match request.call.media {
        Media::JsonPatch => patch::json_patch(document, body),
        Media::MergePatch => patch::merge_patch(document, body),
        Media::StrategicMergePatch => patch::strategic(document, body, &request.kind.schema),
        _ => return Err(Status::unsupported_media_type(&TAKEN)),
    };
    result.map_err(|error| refusal(request, &error))
}

/// The reference says of a patch that does not fit no more than that. Clients know its words, so the Status has them;
/// what does not fit, and where, goes out as a warning, which kubectl shows and client-go logs.
fn refusal(request: &mut Request<'_>, error: &PatchError) -> Status {
    match error.code() {
        413 => Status::failure(413, "RequestEntityTooLarge", error.to_string()),
        422 => {
            request.warn(format!("the patch does not apply: {error}"));
            let mut status = Status::failure(
                422,
                "Invalid",
                "the server rejected our request due to an error in our request",
            );
            status.details = Some(hypermesh_api::Details::default());
            status
        }
        _ => Status::bad_request(error.to_string()),
    }
}
