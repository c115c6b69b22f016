//! Server-side apply.

use super::replace::{Live, Tracked};
use super::{Request, create, replace};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::Reply;
use crate::state::StateReader;
use hypermesh_api::Status;
use hypermesh_api::request::Verb;
use hypermesh_merge::ApplyError;
use serde_json::Value;

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let applied = request.take_body()?;
    object(execution, request, applied)
}

/// Applies one object; the request names it.
pub(super) fn object<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    mut applied: Value,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    check_unmanaged(&request.kind, &applied)?;
    request.decode_as_given(&mut applied)?;
    // What is applied is a part of an object: the rest, its name too, may be left to the path.
    if let Some(meta) = metadata::of(&mut applied).filter(|meta| meta.get("name").is_none()) {
        meta.insert("name".into(), name.as_str().into());
    }
    request.place(&mut applied, Some(&name))?;
    if let Some(map) = applied.as_object_mut()
        && request.kind.definition.subresources.status
        && !request.is_about_status()
    {
        map.remove("status");
    }
    match Live::load(execution, request)? {
        Some(live) => {
            check_uid(request, &live, &applied)?;
            let stored = (&live.value, live.managed.as_deref());
            let (mut merged, managed) = merge(execution, request, Some(stored), &applied)?;
            request.kind.schema.apply_defaults(&mut merged);
            replace::run(execution, request, live, merged, Tracked::Yes(managed))
        }
        None => {
            if !request.call.info.subresource.is_empty() {
                return Err(Status::not_found(request.kind.subject(&name)).into());
            }
            execution.authorize(&request.user, &request.call, Verb::Create)?;
            if !metadata::text(&applied, "uid").is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {}, and no existing object was found",
                    metadata::text(&applied, "uid")
                );
                return Err(Status::conflict(request.kind.subject(&name), why).into());
            }
            if !metadata::text(&applied, "resourceVersion").is_empty() {
                return Err(Status::bad_request(
                    "resourceVersion should not be set on objects to be created",
                )
                .into());
            }
            let (mut merged, managed) = merge(execution, request, None, &applied)?;
            request.kind.schema.apply_defaults(&mut merged);
            create::store_with(execution, request, merged, 201, managed.as_deref())
        }
    }
}

fn merge<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    live: Option<(&Value, Option<&str>)>,
    applied: &Value,
) -> Result<(Value, Option<String>), Fault> {
    let invalid =
        |errors: &[_]| Status::invalid(request.kind.kind_subject(&request.call.info.name), errors).into();
    hypermesh_merge::apply_stored(&request.fields(&execution.time), live, applied).map_err(
        |error| match error {
            ApplyError::Conflicts(conflicts) => {
                // Who takes a field over finds out next that it cannot hold what they apply: they are told first.
                let mistyped = request.kind.schema.mistyped(applied);
                if mistyped.is_empty() {
                    Status::apply_conflict(&conflicts).into()
                } else {
                    invalid(&mistyped)
                }
            }
            ApplyError::BadRequest(why) => Status::bad_request(why).into(),
            ApplyError::Invalid(errors) => invalid(&errors),
        },
    )
}

/// An applied object says what its manager wants, not who manages what.
fn check_unmanaged(kind: &crate::registry::Kind, applied: &Value) -> Result<(), Status> {
    let managed = applied.pointer("/metadata/managedFields").is_some_and(|m| !m.is_null());
    if managed {
        let message = format!("{}: metadata.managedFields must be nil", kind.api_version);
        return Err(Status::bad_request(message));
    }
    Ok(())
}

fn check_uid(request: &Request<'_>, live: &Live, applied: &Value) -> Result<(), Status> {
    let (given, real) = (metadata::text(applied, "uid"), metadata::text(&live.value, "uid"));
    if given.is_empty() || given == real {
        return Ok(());
    }
    Err(Status::conflict(
        request.kind.subject(live.key.name()),
        format!("Precondition failed: UID in precondition: {given}, UID in object meta: {real}"),
    ))
}
