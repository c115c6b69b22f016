//! `/scale`: an `autoscaling/v1` Scale over paths that start at the object's root.
//!
//! Source: `ScaleREST` of `k8s.io/apiextensions-apiserver/pkg/registry/customresource`.

use super::replace::{Live, Tracked};
use super::{Request, apply, patch, replace};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata::{self, Mistyped, Typed};
use crate::outcome::{Body, Reply};
use crate::registry::{FieldPath, Kind};
use crate::state::StateReader;
use hypermesh_api::request::Verb;
use hypermesh_api::{FieldError, Status, Subject};
use hypermesh_chain::request::Media;
use serde_json::{Value, json};

const API_VERSION: &str = "autoscaling/v1";
const TYPED: Typed<'static> = Typed { kind: "Scale", version: "v1" };
/// Its name, its type, and its fields with theirs.
type Half = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
/// The halves of a Scale, their types and the fields of each with theirs, by the reference's names.
const HALVES: [Half; 2] = [
    ("spec", "v1.ScaleSpec", &[("replicas", "int32")]),
    ("status", "v1.ScaleStatus", &[("replicas", "int32"), ("selector", "string")]),
];

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    let Some(paths) = request.kind.definition.subresources.scale.clone() else {
        return Err(Status::unknown_path().into());
    };
    let replicas_path = FieldPath::parse(&paths.spec_replicas_path);
    if request.call.media == Media::ApplyPatch {
        let applied = applied(request, &replicas_path)?;
        let reply = apply::object(execution, request, applied)?;
        return told(request, &reply);
    }
    let mut scale = Value::Null;
    if request.call.info.verb == Verb::Patch {
        patch::refuse_strange_media(request)?;
    } else {
        scale = request.take_body()?;
        let problems = decode(request, &mut scale)?;
        request.mind(TYPED, problems)?;
        request.place(&mut scale, Some(&name))?;
    }
    let Some(live) = Live::load(execution, request)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    if request.call.info.verb == Verb::Patch {
        scale = patched(request, &live)?;
        request.place(&mut scale, Some(&name))?;
    }
    let replicas = wanted(&name, &scale)?;
    let mut object = live.value.clone();
    set(&mut object, &replicas_path, replicas.into())?;
    precondition(&scale, &mut object);
    let reply = replace::run(execution, request, live, object, Tracked::No)?;
    told(request, &reply)
}

/// What the manager of an applied Scale wants of the object: how many replicas, if it says so, and nothing else.
fn applied(request: &mut Request<'_>, path: &FieldPath) -> Result<Value, Status> {
    let name = request.call.info.name.clone();
    let mut scale = request.take_body()?;
    if scale.pointer("/metadata/managedFields").is_some_and(|managed| !managed.is_null()) {
        return Err(Status::bad_request(format!("{API_VERSION}: metadata.managedFields must be nil")));
    }
    let problems = decode(request, &mut scale)?;
    request.mind(TYPED, problems)?;
    if let Some(meta) = metadata::of(&mut scale).filter(|meta| meta.get("name").is_none()) {
        meta.insert("name".into(), name.as_str().into());
    }
    request.place(&mut scale, Some(&name))?;
    let replicas = wanted(&name, &scale)?;
    let kind = &request.kind;
    let mut applied = json!({
        "apiVersion": kind.api_version, "kind": kind.definition.names.kind, "metadata": {"name": name},
    });
    if scale.pointer("/spec/replicas").is_some() {
        set(&mut applied, path, replicas.into())?;
    }
    precondition(&scale, &mut applied);
    Ok(applied)
}

fn set(object: &mut Value, path: &FieldPath, replicas: Value) -> Result<(), Status> {
    if path.set(object, replicas) {
        return Ok(());
    }
    Err(Status::internal(format!("{} is not an object's field", path.text())))
}

/// Hands on which version of which object a Scale is about, if it says so.
fn precondition(scale: &Value, object: &mut Value) {
    for field in ["resourceVersion", "uid"] {
        let given = metadata::text(scale, field).to_owned();
        if let Some(meta) = metadata::of(object)
            && !given.is_empty()
        {
            meta.insert(field.into(), given.into());
        }
    }
}

/// The answer with the Scale of the object that was stored.
fn told(request: &Request<'_>, reply: &Reply) -> Result<Reply, Fault> {
    let stored: Value = serde_json::from_slice(reply.body.bytes()).map_err(Status::internal)?;
    let document = serde_json::to_vec(&of(&request.kind, &stored)).map_err(Status::internal)?;
    Ok(Reply { code: reply.code, body: Body::Document(document.into()) })
}

/// What a patch makes of the Scale of an object.
fn patched(request: &mut Request<'_>, live: &Live) -> Result<Value, Status> {
    let before = of(&request.kind, &live.value);
    let body = std::mem::take(&mut request.call.body);
    let mut scale = before.clone();
    patch::apply(request, &mut scale, &body)?;
    let problems = patch::problems(request, &body);
    let taken = decode(request, &mut scale);
    patch::settle(request, (problems, taken), &body, || Ok(before))?;
    Ok(scale)
}

/// Checks JSON types as a decoder into a Scale would, and drops nulls and unknown fields. What strict decoding minds comes
/// back, in its words.
fn decode(request: &mut Request<'_>, scale: &mut Value) -> Result<Vec<String>, Status> {
    super::check_names((API_VERSION, TYPED.kind), true, scale)?;
    let mut problems = request.written_twice();
    let mut unknown = Vec::new();
    metadata::decode(TYPED, scale, &mut unknown)?;
    let Some(map) = scale.as_object_mut() else { return Ok(problems) };
    map.retain(|field, value| {
        let half = HALVES.iter().any(|(half, ..)| half == field);
        if !half && !matches!(field.as_str(), "apiVersion" | "kind" | "metadata") {
            unknown.push(field.clone());
            return false;
        }
        !(half && value.is_null())
    });
    for (half, wanted, fields) in HALVES {
        let members = match map.get_mut(half) {
            None => continue,
            Some(Value::Object(members)) => members,
            Some(other) => return Err(TYPED.mistyped(half, &Mistyped::of(Some(other), wanted))),
        };
        let mut wrong = None;
        members.retain(|field, value| {
            let path = format!("{half}.{field}");
            match fields.iter().find(|(name, _)| name == field) {
                None => {
                    unknown.push(path);
                    return false;
                }
                Some((_, wanted)) if !value.is_null() && !fits(value, wanted) => {
                    wrong.get_or_insert((path, Mistyped::of(Some(value), wanted)));
                }
                Some(_) => {}
            }
            !value.is_null()
        });
        if let Some((path, why)) = wrong {
            return Err(TYPED.mistyped(&path, &why));
        }
    }
    problems.extend(unknown.into_iter().map(|path| format!("unknown field \"{path}\"")));
    Ok(problems)
}

/// Whether a value is one of a type of the reference's.
fn fits(value: &Value, wanted: &str) -> bool {
    match wanted {
        "int32" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        _ => value.is_string(),
    }
}

/// How many replicas a decoded Scale asks for.
fn wanted(name: &str, scale: &Value) -> Result<i64, Status> {
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
    if replicas < 0 {
        let error =
            FieldError::invalid("spec.replicas", replicas.into(), "must be greater than or equal to 0");
        let subject = Subject { group: "autoscaling", resource: TYPED.kind, name };
        return Err(Status::invalid(subject, &[error]));
    }
    Ok(replicas)
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
        "kind": TYPED.kind,
        "apiVersion": API_VERSION,
        "metadata": meta,
        "spec": {"replicas": number(paths.map(|p| &p.spec_replicas_path))},
        "status": status,
    })
}
