//! `update`: PUT of an object or of its status.

use super::replace::{Live, Tracked};
use super::{Request, create, replace};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::Reply;
use crate::state::StateReader;
use hypermesh_api::request::Verb;
use hypermesh_api::{FieldError, Status};
use serde_json::Value;

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let mut object = request.take_body()?;
    let name = request.call.info.name.clone();
    request.decode(&mut object)?;
    request.place(&mut object, Some(&name))?;
    let Some(live) = Live::load(execution, request)? else {
        let creates =
            request.kind.definition.strategy.create_on_update && request.call.info.subresource.is_empty();
        // A uid or a version names an object that was there: it is gone, and what was read of it does not come back.
        let known = ["uid", "resourceVersion"].iter().any(|field| !metadata::text(&object, field).is_empty());
        if !creates || known {
            return Err(Status::not_found(request.kind.subject(&name)).into());
        }
        execution.authorize(&request.user, &request.call, Verb::Create)?;
        hypermesh_merge::track_update(&request.fields(&execution.time), None, &mut object)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        return create::store(execution, request, object, 201);
    };
    let versionless = metadata::text(&object, "resourceVersion").is_empty();
    if versionless && !request.kind.definition.strategy.unconditional_update {
        let error = FieldError::invalid(
            "metadata.resourceVersion",
            Value::Number(0.into()),
            "must be specified for an update",
        );
        return Err(Status::invalid(request.kind.kind_subject(&name), &[error]).into());
    }
    replace::run(execution, request, live, object, Tracked::No)
}
