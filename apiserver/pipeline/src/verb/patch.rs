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
    let mut object = live.value.clone();
    let body = std::mem::take(&mut request.call.body);
    apply(request, &mut object, &body)?;
    request.decode(&mut object)?;
    request.place(&mut object, Some(&name))?;
    replace::run(execution, request, live, object, Tracked::No)
}

/// Patches a document by the request's media type.
pub(super) fn apply(request: &Request<'_>, document: &mut Value, body: &Value) -> Result<(), Status> {
    let result = match request.call.media {
        Media::JsonPatch => patch::json_patch(document, body),
        Media::MergePatch => patch::merge_patch(document, body),
        Media::StrategicMergePatch => patch::strategic(document, body, &request.kind.schema),
        _ => return Err(Status::unsupported_media_type(&TAKEN)),
    };
    result.map_err(|error| refusal(&error))
}

fn refusal(error: &PatchError) -> Status {
    match error.code() {
        413 => Status::failure(413, "RequestEntityTooLarge", error.to_string()),
        422 => {
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
