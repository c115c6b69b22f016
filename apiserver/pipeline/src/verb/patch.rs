//! `patch`: JSON patch, merge patch, and, for built-in kinds, strategic merge patch.

use super::Request;
use super::replace::{self, Live, Tracked};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::outcome::Reply;
use crate::state::StateReader;
use hypermesh_api::options::FieldValidation;
use hypermesh_api::{FieldError, Status, Subject, printed};
use hypermesh_chain::request::Media;
use hypermesh_merge::patch::{self, PatchError};
use serde_json::Value;

/// Patch media types of a kind that is not built in, as the refusal lists them.
const TAKEN: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// Bytes of an object that a refusal shows. The reference shows it whole, which is more than anybody reads, twice.
const LONGEST_SHOWN: usize = 32 << 10;

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    refuse_strange_media(request)?;
    let Some(live) = Live::load(execution, request)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    let body = std::mem::take(&mut request.call.body);
    let mut object = if sees_managed(request.call.media, &body) { live.whole()? } else { live.value.clone() };
    apply(request, &mut object, &body)?;
    decode(request, &live, &mut object, &body)?;
    request.place(&mut object, Some(&name))?;
    replace::run(execution, request, live, object, Tracked::No)
}

/// 415 for a strategic merge patch of a kind that is not built in.
pub(super) fn refuse_strange_media(request: &Request<'_>) -> Result<(), Status> {
    let strategic = request.call.media == Media::StrategicMergePatch;
    if strategic && !request.kind.definition.strategy.built_in {
        return Err(Status::unsupported_media_type(&TAKEN));
    }
    Ok(())
}

/// Makes an object of what was patched, and holds the patch to `fieldValidation`.
fn decode(request: &mut Request<'_>, live: &Live, object: &mut Value, body: &Value) -> Result<(), Status> {
    let problems = problems(request, body);
    let taken = request.take_in(object);
    settle(request, (problems, taken), body, || live.whole())?;
    request.complete(object);
    Ok(())
}

/// What strict decoding minds about a patch itself. Of a JSON patch that is what its operations hold twice, and what nobody
/// knows there; the other patches are shaped as the object is.
pub(super) fn problems(request: &mut Request<'_>, body: &Value) -> Vec<String> {
    if request.call.media != Media::JsonPatch {
        return Vec::new();
    }
    let mut problems = request.written_twice();
    problems.extend(strange_members(body).map(|path| format!("unknown field \"{path}\"")));
    problems.iter_mut().for_each(|problem| problem.insert_str(0, "json patch "));
    problems
}

/// Holds a patch to `fieldValidation`, by what is minded about it and by what came of decoding what it made of `before`. What
/// is wrong with that is wrong with the patch: 422, where an object that was sent as a whole gets 400.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.
pub(super) fn settle(
    request: &mut Request<'_>,
    (mut problems, taken): (Vec<String>, Result<Vec<String>, Status>),
    body: &Value,
    before: impl FnOnce() -> Result<Value, Status>,
) -> Result<(), Status> {
    match taken {
        Ok(more) => problems.extend(more),
        Err(status) => {
            let inner = status.message.split_once(" cannot be handled as a ").map(|(_, after)| after);
            let inner = inner.and_then(|after| after.split_once(": ")).map(|(_, why)| why);
            let why = inner.unwrap_or(&status.message).to_owned();
            return Err(not_taken(request, before, body, why)?);
        }
    }
    match request.call.options.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => problems.into_iter().for_each(|problem| request.warn(problem)),
        FieldValidation::Strict if problems.is_empty() => {}
        FieldValidation::Strict => {
            return Err(not_taken(request, before, body, super::strict_decoding_error(&problems))?);
        }
    }
    Ok(())
}

/// Members of the operations of a JSON patch that mean nothing.
fn strange_members(body: &Value) -> impl Iterator<Item = String> {
    let operations = body.as_array().into_iter().flatten().enumerate();
    operations.flat_map(|(i, operation)| {
        let names = operation.as_object().into_iter().flat_map(|members| members.keys());
        let strange = names.filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
        strange.map(move |name| format!("[{i}].{name}"))
    })
}

/// The refusal of a patch that makes no object, as the reference words it: of a strategic merge patch it shows the patch, of
/// others what they made of the object. Neither the kind nor the name is told.
fn not_taken(
    request: &mut Request<'_>,
    before: impl FnOnce() -> Result<Value, Status>,
    body: &Value,
    why: String,
) -> Result<Status, Status> {
    let mut shown = if request.call.media == Media::StrategicMergePatch {
        printed::plain(body)
    } else {
        let mut object = before()?;
        apply(request, &mut object, body)?;
        let mut text = String::new();
        printed::push_json(&mut text, &object);
        text
    };
    if let Some((cut, _)) = shown.char_indices().find(|(at, _)| *at >= LONGEST_SHOWN) {
        shown.truncate(cut);
        shown.push('…');
    }
    let error = FieldError::invalid("patch", shown.into(), why);
    Ok(Status::invalid(Subject { group: "", resource: "", name: "" }, &[error]))
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
