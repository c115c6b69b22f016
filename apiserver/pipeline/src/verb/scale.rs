//! `/scale`: an `autoscaling/v1` Scale over paths that start at the object's root.

use super::replace::{Live, Tracked};
use super::{Request, patch, replace};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::{Body, Reply};
use crate::registry::{FieldPath, Kind};
use crate::state::StateReader;
use hypermesh_api::request::Verb;
use hypermesh_api::{FieldError, Status, Subject};
use serde_json::{Value, json};

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    let Some(live) = Live::load(execution, request)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    let mut scale = of(&request.kind, &live.value);
    let body = std::mem::take(&mut request.call.body);
    if request.call.info.verb == Verb::Patch {
        patch::apply(request, &mut scale, &body)?;
    } else {
        scale = body;
    }
    let replicas = wanted(&name, &scale)?;
    let Some(paths) = request.kind.definition.subresources.scale.clone() else {
        return Err(Status::unknown_path().into());
    };
    let mut object = live.value.clone();
    if !FieldPath::parse(&paths.spec_replicas_path).set(&mut object, replicas.into()) {
        return Err(Status::internal(format!("{} is not an object's field", paths.spec_replicas_path)).into());
    }
    let version = scale.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or("").to_owned();
    if let Some(meta) = metadata::of(&mut object)
        && !version.is_empty()
    {
        meta.insert("resourceVersion".into(), version.into());
    }
    let reply = replace::run(execution, request, live, object, Tracked::No)?;
    let stored: Value = serde_json::from_slice(reply.body.bytes()).map_err(Status::internal)?;
    let document = serde_json::to_vec(&of(&request.kind, &stored)).map_err(Status::internal)?;
    Ok(Reply { code: reply.code, body: Body::Document(document.into()) })
}

fn wanted(name: &str, scale: &Value) -> Result<i64, Status> {
    let subject = Subject { group: "autoscaling", resource: "Scale", name };
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or(json!(0));
    let given = scale.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(name);
    if given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    match replicas.as_i64() {
        Some(n) if (0..=i64::from(i32::MAX)).contains(&n) => Ok(n),
        Some(_) => {
            let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            Err(Status::invalid(subject, &[error]))
        }
        None => Err(Status::bad_request("spec.replicas of the Scale must be an integer")),
    }
}

/// The Scale of an object.
pub fn of(kind: &Kind, object: &Value) -> Value {
    let paths = kind.definition.subresources.scale.as_ref();
    let number = |path: Option<&String>| {
        path.and_then(|p| FieldPath::parse(p).get(object)).and_then(Value::as_i64).unwrap_or(0)
    };
    let mut meta = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let text = metadata::text(object, field);
        if !text.is_empty() {
            meta.insert(field.to_owned(), text.into());
        }
    }
    let mut status = json!({"replicas": number(paths.map(|p| &p.status_replicas_path))});
    let selector =
        paths.and_then(|p| p.label_selector_path.as_ref()).and_then(|p| FieldPath::parse(p).get(object));
    if let (Some(selector), Some(map)) = (selector.and_then(Value::as_str), status.as_object_mut()) {
        map.insert("selector".into(), selector.into());
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": number(paths.map(|p| &p.spec_replicas_path))},
        "status": status,
    })
}
