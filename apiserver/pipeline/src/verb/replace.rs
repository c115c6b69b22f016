//! The common end of every change of an existing object: update, patch, apply, status and scale.

use super::Request;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::outcome::Reply;
use crate::record;
use crate::state::StateReader;
use hypermesh_api::{FieldError, Status};
use hypermesh_chain::{ObjectKey, Record};
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// An object as it is stored.
pub(super) struct Live {
    pub key: ObjectKey,
    pub record: Arc<Record>,
    /// Without its managed fields.
    pub value: Value,
    /// `metadata.managedFields`, as it is stored.
    pub managed: Option<String>,
}

impl Live {
    /// The object that the request names.
    pub fn load<R: StateReader + ?Sized>(
        execution: &Execution<'_, R>,
        request: &Request<'_>,
    ) -> Result<Option<Self>, Fault> {
        let key = request.key(&request.call.info.name)?;
        let Some(record) = execution.overlay.get(&key)? else { return Ok(None) };
        let (value, managed) = crate::stored::split(&record.body).map_err(undecodable)?;
        let managed = managed.map(str::to_owned);
        Ok(Some(Self { key, record, value, managed }))
    }

    /// The object with its managed fields.
    pub fn whole(&self) -> Result<Value, Status> {
        let mut value = self.value.clone();
        if let (Some(managed), Some(meta)) = (&self.managed, metadata::of(&mut value)) {
            let list = serde_json::from_str(managed).map_err(undecodable)?;
            meta.insert("managedFields".into(), list);
        }
        Ok(value)
    }
}

/// What is stored was encoded by this crate, on every replica the same. If it does not decode, it does not on any of
/// them: what concerns the object is refused, and the replicas go on. (Damage on one disk shows below, as a failed read.)
pub(crate) fn decode(record: &Record) -> Result<Value, Status> {
    serde_json::from_slice(&record.body).map_err(undecodable)
}

fn undecodable(error: serde_json::Error) -> Status {
    Status::internal(format!("the stored object does not decode: {error}"))
}

/// Whether managed fields are already settled.
pub(super) enum Tracked {
    /// By server-side apply: their text. The object does not hold them.
    Yes(Option<String>),
    /// Not yet: they are tracked as an update.
    No,
}

/// Replaces a stored object by `new`, which is decoded, placed and, unless `tracked`, without bookkeeping.
pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    live: Live,
    mut new: Value,
    tracked: Tracked,
) -> Result<Reply, Fault> {
    let kind = Arc::clone(&request.kind);
    let name = live.key.name().to_owned();
    check_version(request, &live, &new)?;
    let mut errors = metadata::carry_over(&live.value, &mut new);
    keep_other_half(request, &live.value, &mut new);
    crate::hook::fill(request, &mut new, Some(&live.value), &execution.time);
    crate::hook::prepare(&kind, &mut new, Some(&live.value), &request.call.info.subresource);
    let managed = match tracked {
        Tracked::Yes(managed) => managed.map(Cow::Owned),
        Tracked::No => {
            let context = request.fields(&execution.time);
            hypermesh_merge::track_stored(&context, &live.value, live.managed.as_deref(), &mut new)
                .map_err(|error| Status::bad_request(error.to_string()))?
        }
    };
    set_resource_version(&mut new, &live.value);
    if managed.as_deref() == live.managed.as_deref() && new == live.value {
        return Ok(Reply::object(200, live.record));
    }
    if kind.definition.strategy.generation && differs(&kind, &live.value, &new) {
        raise_generation(&live.value, &mut new);
    }
    errors.extend(no_new_finalizers(&live, &new));
    errors.extend(request.validate(&new, Some(&live.value)));
    request.refuse(&name, &errors)?;
    crate::hook::authorize(execution, request, &new, Some(&live.value))?;
    crate::hook::admit(execution, request, &new, Some(&live.value))?;
    super::create::check_unique(execution, request, &live.key, &new)?;
    let salt = if kind.has(Hook::Secret) { request.entropy.salt() } else { Vec::new() };
    let record = record::encode_with(&kind, &mut new, execution.stamp(), salt, managed.as_deref())?;
    if live.record.facts.deleting && is_free(&kind, &new) {
        let gone = Arc::new(record.clone());
        super::remove(execution, &live.key, record, live.record)?;
        return Ok(Reply::object(200, gone));
    }
    let reply = Arc::new(record.clone());
    execution.overlay.put(live.key.clone(), record, Some(live.record));
    crate::work::notice(execution, &live.key, Some(&live.value), &new)?;
    Ok(Reply::object(200, reply))
}

/// Stores a change that the state machine makes by itself, without managed fields, validation or hooks.
pub(crate) fn overwrite<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    kind: &crate::registry::Kind,
    key: &ObjectKey,
    old: &Arc<Record>,
    mut new: Value,
) -> Result<Arc<Record>, Fault> {
    let record = record::encode_own(kind, &mut new, execution.stamp(), old.salt.clone())?;
    let stored = Arc::new(record.clone());
    if record.facts.deleting && is_free(kind, &new) {
        super::remove(execution, key, record, Arc::clone(old))?;
    } else {
        execution.overlay.put(key.clone(), record, Some(Arc::clone(old)));
    }
    Ok(stored)
}

/// Whether nothing holds a deleted object back.
pub(crate) fn is_free(kind: &crate::registry::Kind, object: &Value) -> bool {
    let namespace_held = kind.has(Hook::Namespace)
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|finalizers| !finalizers.is_empty());
    metadata::finalizers(object).is_empty() && !namespace_held
}

fn check_version(request: &Request<'_>, live: &Live, new: &Value) -> Result<(), Status> {
    let (kind, name) = (&request.kind, live.key.name());
    let given = metadata::text(new, "resourceVersion");
    if !given.is_empty() && given != metadata::text(&live.value, "resourceVersion") {
        if given.parse::<u64>().is_err() {
            let error = FieldError::invalid("metadata.resourceVersion", given.into(), "must be a number");
            return Err(Status::invalid(kind.kind_subject(name), &[error]));
        }
        return Err(Status::conflict(
            kind.subject(name),
            "the object has been modified; please apply your changes to the latest version and try again",
        ));
    }
    let uid = metadata::text(new, "uid");
    let real = metadata::text(&live.value, "uid");
    if !uid.is_empty() && uid != real {
        return Err(Status::conflict(
            kind.subject(name),
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {real}"),
        ));
    }
    Ok(())
}

/// The status endpoint changes status alone; the main one everything else.
fn keep_other_half(request: &Request<'_>, old: &Value, new: &mut Value) {
    if !request.kind.definition.subresources.status {
        return;
    }
    let restore = |field: &str, new: &mut Value| {
        if let Some(map) = new.as_object_mut() {
            match old.get(field) {
                Some(value) => map.insert(field.to_owned(), value.clone()),
                None => map.remove(field),
            };
        }
    };
    if !request.is_about_status() {
        restore("status", new);
        return;
    }
    let fields: Vec<String> = [old, &*new]
        .iter()
        .filter_map(|v| v.as_object())
        .flat_map(|map| map.keys().cloned())
        .filter(|field| !matches!(field.as_str(), "status" | "metadata" | "apiVersion" | "kind"))
        .collect();
    for field in fields {
        restore(&field, new);
    }
    let managed = new.get("metadata").and_then(|m| m.get("managedFields")).cloned();
    restore("metadata", new);
    if let Some(meta) = metadata::of(new) {
        match managed {
            Some(managed) => meta.insert("managedFields".into(), managed),
            None => meta.remove("managedFields"),
        };
    }
}

fn set_resource_version(new: &mut Value, old: &Value) {
    let version = metadata::text(old, "resourceVersion").to_owned();
    if let Some(meta) = metadata::of(new) {
        meta.insert("resourceVersion".into(), version.into());
    }
}

/// Whether anything differs that counts for the generation: all but metadata, and but the status of a kind that has an
/// endpoint for it.
fn differs(kind: &crate::registry::Kind, old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return true };
    let apart = kind.definition.subresources.status;
    let relevant = |field: &&String| field.as_str() != "metadata" && !(apart && field.as_str() == "status");
    old.keys().filter(relevant).any(|k| old.get(k) != new.get(k))
        || new.keys().filter(relevant).any(|k| !old.contains_key(k))
}

pub(super) fn raise_generation(old: &Value, new: &mut Value) {
    let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    if let Some(meta) = metadata::of(new) {
        meta.insert("generation".into(), generation.saturating_add(1).into());
    }
}

fn no_new_finalizers(live: &Live, new: &Value) -> Vec<FieldError> {
    if !live.record.facts.deleting {
        return Vec::new();
    }
    let before = metadata::finalizers(&live.value);
    let added: Vec<&str> = metadata::finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
    if added.is_empty() {
        return Vec::new();
    }
    vec![FieldError::forbidden(
        "metadata.finalizers",
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
        ),
    )]
}
