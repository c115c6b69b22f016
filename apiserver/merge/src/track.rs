//! Ownership after a create, update or patch (`FieldManager.Update`).

use crate::context::Context;
use crate::created::fields_of_created;
use crate::fieldset::FieldSet;
use crate::managed::{self, MAX_UPDATERS, Managed, ManagerId, Operation, Owner, STRIPPED, Time};
use crate::shape::Type;
use crate::walk::{compare_typed, reconcile};
use serde_json::{Map, Value};

/// Why ownership cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// The new object, or its metadata, is no JSON object.
    #[error("an object and its metadata must be JSON objects")]
    NotAnObject,
    /// The time of the write is not RFC 3339.
    #[error("{0:?} is no RFC 3339 time")]
    Time(String),
}

/// Sets `metadata.managedFields` of `new`, the object as it is to be stored (patched and defaulted, but for what only
/// the server sets), given the `live` one; `None` when it is created.
///
/// Entries that the client sends are honoured as upstream does: valid ones replace the live ones before the write is
/// recorded, an empty list (or one empty entry) forgets them all, anything else is ignored; through a subresource
/// they are always ignored. An update of an object that has no entries records none. A write that changes nothing
/// leaves entries and times as they are.
pub fn track_update(cx: &Context<'_>, live: Option<&Value>, new: &mut Value) -> Result<(), TrackError> {
    let object = new.as_object().ok_or(TrackError::NotAnObject)?;
    if !matches!(object.get("metadata"), None | Some(Value::Null | Value::Object(_))) {
        return Err(TrackError::NotAnObject);
    }
    let sent = managed::take(new).filter(|sent| cx.subresource.is_empty() && !sent.is_null());
    match live {
        None => create(cx, sent.as_ref(), new),
        Some(live) => update(cx, live, sent, new),
    }
}

fn create(cx: &Context<'_>, sent: Option<&Value>, new: &mut Value) -> Result<(), TrackError> {
    if let Some(managed) = sent.and_then(Managed::decode) {
        return record(cx, managed, &Value::Object(Map::new()), new);
    }
    let Some(object) = new.as_object_mut() else { return Err(TrackError::NotAnObject) };
    let fields = fields_of_created(cx, object);
    if fields.is_empty() {
        return Ok(());
    }
    let id = ManagerId::of(cx, Operation::Update);
    let entry = managed::encode_entry(&id, cx.api_version, Value::Object(fields), Some(cx.time));
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    if let Value::Object(metadata) = metadata {
        metadata.insert("managedFields".to_owned(), Value::Array(vec![entry]));
    }
    Ok(())
}

fn update(cx: &Context<'_>, live: &Value, sent: Option<Value>, new: &mut Value) -> Result<(), TrackError> {
    let stored = managed::field_of(live);
    if sent.as_ref().is_some_and(managed::is_reset) {
        return Ok(());
    }
    let sent = sent.filter(|sent| Some(sent) != stored).as_ref().and_then(Managed::decode);
    let mut managed = match sent {
        Some(mut sent) => {
            if let Some(stored) = Managed::read(live) {
                sent.keep_times_of(stored);
            }
            sent
        }
        None => match Managed::read(live) {
            Some(stored) => stored,
            None => return Ok(()),
        },
    };
    for owner in managed.0.values_mut() {
        reconcile(Type::root(cx.schema), &mut owner.set);
    }
    record(cx, managed, live, new)
}

/// Gives the writer what it changed, and writes the entries.
fn record(cx: &Context<'_>, mut managed: Managed, live: &Value, new: &mut Value) -> Result<(), TrackError> {
    let ignored = cx.reset_set().union(FieldSet::of_fields(&[&["metadata", "managedFields"]]));
    let changes = compare_typed(Type::root(cx.schema), live, new).without(&ignored);
    // Forced, so that there are no conflicts.
    let _ = managed.settle(None, &changes, true);
    let own = changes.modified.union(changes.added).difference(&FieldSet::of_fields(STRIPPED));
    if !own.is_empty() {
        let time = Time::parse(cx.time).ok_or_else(|| TrackError::Time(cx.time.to_owned()))?;
        let owner: &mut Owner = managed.0.entry(ManagerId::of(cx, Operation::Update)).or_default();
        owner.api_version = cx.api_version.to_owned();
        owner.set = std::mem::take(&mut owner.set).union(own);
        owner.time = Some(time);
    }
    managed.cap_updaters(MAX_UPDATERS);
    managed.write(new);
    Ok(())
}

#[cfg(test)]
mod tests;
