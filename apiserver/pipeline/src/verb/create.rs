//! `create`: POST, and what a PUT or an apply of an absent object comes to.

use super::Request;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::Reply;
use crate::record;
use crate::state::StateReader;
use hypermesh_api::{Status, name};
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::sync::Arc;

/// How often a generated name is tried again when it is taken.
const NAME_TRIES: usize = 8;

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let mut object = request.take_body()?;
    request.decode(&mut object)?;
    request.place(&mut object, None)?;
    if !metadata::text(&object, "resourceVersion").is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created").into());
    }
    if let Some(map) = object.as_object_mut()
        && request.kind.definition.subresources.status
        && !request.kind.has(Hook::Namespace)
    {
        map.remove("status");
    }
    crate::hook::default(&request.kind, &mut object);
    let managed = track(execution, request, &mut object)?;
    generate_name(execution, request, &mut object)?;
    store_with(execution, request, object, 201, managed.as_deref())
}

/// Managed fields of a new object: as text where nothing but the object itself decides them, else in the object.
fn track<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &mut Value,
) -> Result<Option<String>, Fault> {
    let context = request.fields(&execution.time);
    let given = object.get("metadata").is_some_and(|meta| meta.get("managedFields").is_some());
    if let Some(map) = object.as_object().filter(|_| !given) {
        let mut text = String::new();
        if hypermesh_merge::write_created(&context, map, &mut text) {
            return Ok(Some(text));
        }
    }
    hypermesh_merge::track_update(&context, None, object)
        .map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(None)
}

fn generate_name<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &mut Request<'_>,
    object: &mut Value,
) -> Result<(), Fault> {
    let base = metadata::text(object, "generateName").to_owned();
    if base.is_empty() || !metadata::text(object, "name").is_empty() {
        return Ok(());
    }
    let mut chosen = String::new();
    for _ in 0..NAME_TRIES {
        chosen = name::generate_name(&base, request.entropy.suffix());
        let key = request.key(&chosen)?;
        if execution.overlay.get(&key)?.is_none() {
            break;
        }
    }
    if let Some(meta) = metadata::of(object) {
        meta.insert("name".into(), chosen.into());
    }
    Ok(())
}

/// Stores a decoded object that must not exist yet. Its managed fields are settled.
pub(super) fn store<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    object: Value,
    code: u16,
) -> Result<Reply, Fault> {
    store_with(execution, request, object, code, None)
}

/// [`store`] with managed fields as text, which the object does not hold.
pub(super) fn store_with<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    mut object: Value,
    code: u16,
    managed: Option<&str>,
) -> Result<Reply, Fault> {
    let kind = Arc::clone(&request.kind);
    if let Some(meta) = metadata::of(&mut object) {
        metadata::clear_for_create(meta);
        meta.insert("uid".into(), request.entropy.uid().to_string().into());
        meta.insert("creationTimestamp".into(), execution.time.as_str().into());
        if kind.definition.strategy.generation {
            meta.insert("generation".into(), 1.into());
        }
    }
    initial_status(&kind, &mut object, &execution.time);
    crate::hook::fill(request, &mut object, None, &execution.time);
    crate::hook::prepare(&kind, &mut object, None, "");
    let object_name = metadata::text(&object, "name").to_owned();
    request.refuse(&object_name, &request.validate(&object, None))?;
    crate::hook::authorize(execution, request, &object, None)?;
    crate::hook::admit(execution, request, &object, None)?;
    let key = request.key(&object_name)?;
    if let Some(existing) = execution.overlay.get(&key)? {
        let subject = kind.subject(&object_name);
        let status = if existing.facts.deleting {
            Status::being_deleted(subject)
        } else {
            Status::already_exists(subject)
        };
        return Err(status.into());
    }
    execution.check_namespace(&kind, key.namespace(), &object_name)?;
    check_unique(execution, request, &key, &object)?;
    let salt = if kind.has(Hook::Secret) { request.entropy.salt() } else { Vec::new() };
    let record = record::encode_with(&kind, &mut object, execution.stamp(), salt, managed)?;
    let reply = Arc::new(record.clone());
    execution.overlay.put(key.clone(), record, None);
    crate::work::notice(execution, &key, None, &object)?;
    Ok(Reply::object(code, reply))
}

fn initial_status(kind: &crate::registry::Kind, object: &mut Value, time: &str) {
    let (Some(initial), Some(map)) = (&kind.definition.strategy.initial_status, object.as_object_mut())
    else {
        return;
    };
    if map.contains_key("status") {
        return;
    }
    let mut status = initial.clone();
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            condition.insert("lastTransitionTime".into(), time.into());
            condition.insert("observedGeneration".into(), 1.into());
        }
    }
    map.insert("status".into(), status);
}

/// Refuses a value of a unique field that another object holds. The holder is named to who may read it.
pub(super) fn check_unique<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    key: &hypermesh_chain::ObjectKey,
    object: &Value,
) -> Result<(), Fault> {
    let kind = &request.kind;
    for (field, (index, value)) in kind.unique.iter().zip(record::unique(kind, object)) {
        let Some(holder) = execution.overlay.holder(&index, &value)?.filter(|holder| holder != key) else {
            continue;
        };
        let shown = field.path.get(object).map(ToString::to_string).unwrap_or_default();
        let asked = crate::authz::Attributes {
            verb: "get",
            group: &kind.definition.group,
            resource: &kind.definition.names.plural,
            subresource: "",
            namespace: holder.namespace(),
            name: holder.name(),
            path: None,
        };
        let by = if execution.derived.policy.allows(&request.user, &asked) {
            format!("{} {}/{}", kind.definition.names.plural, holder.namespace(), holder.name())
        } else {
            "another object".to_owned()
        };
        let mut status = Status::already_exists(kind.subject(key.name()));
        status.message = format!(
            "{} {:?} cannot be stored: {} {shown} is held by {by}",
            kind.definition.names.plural,
            key.name(),
            field.path.dotted()
        );
        if let Some(details) = &mut status.details {
            details.causes.push(hypermesh_api::Cause {
                reason: "FieldValueDuplicate".into(),
                message: format!("Duplicate value: {shown}"),
                field: field.path.dotted(),
            });
        }
        return Err(status.into());
    }
    Ok(())
}
