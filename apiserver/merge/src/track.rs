//! Ownership after a create, update or patch (`FieldManager.Update`).

use crate::context::Context;
use crate::created::write_created;
use crate::fieldset::FieldSet;
use crate::managed::{self, MAX_UPDATERS, Managed, ManagerId, Operation, Owner, STRIPPED, Time};
use crate::shape::Type;
use crate::walk::{Comparison, compare_typed, reconcile};
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
        let changes = changes(cx, &Value::Object(Map::new()), new);
        return record(cx, managed, changes, new);
    }
    let Some(object) = new.as_object() else { return Err(TrackError::NotAnObject) };
    let mut list = String::with_capacity(1024);
    if !write_created(cx, object, &mut list) {
        return Ok(());
    }
    // What was just written reads back: it is nested less deep than the parser allows.
    let list = serde_json::from_str(&list).map_err(|_| TrackError::NotAnObject)?;
    managed::put(new, list);
    Ok(())
}

fn update(cx: &Context<'_>, live: &Value, sent: Option<Value>, new: &mut Value) -> Result<(), TrackError> {
    let stored = managed::field_of(live);
    if sent.as_ref().is_some_and(managed::is_reset) {
        return Ok(());
    }
    let sent = sent.filter(|sent| Some(sent) != stored).as_ref().and_then(Managed::decode);
    let changes = changes(cx, live, new);
    if let (true, None, Some(stored)) = (changes.is_same(), &sent, stored) {
        managed::put(new, stored.clone());
        return Ok(());
    }
    let Some(mut managed) = owners(sent, live) else { return Ok(()) };
    for owner in managed.0.values_mut() {
        reconcile(Type::root(cx.schema), &mut owner.set);
    }
    record(cx, managed, changes, new)
}

/// The entries before this write: those sent, else those stored.
fn owners(sent: Option<Managed>, live: &Value) -> Option<Managed> {
    let Some(mut sent) = sent else { return Managed::read(live) };
    if let Some(stored) = Managed::read(live) {
        sent.keep_times_of(stored);
    }
    Some(sent)
}

/// What this write changes of what can be owned through this endpoint.
fn changes(cx: &Context<'_>, live: &Value, new: &Value) -> Comparison {
    let ignored = cx.reset_set().union(FieldSet::of_fields(&[&["metadata", "managedFields"]]));
    compare_typed(Type::root(cx.schema), live, new).without(&ignored)
}

/// Gives the writer what it changed, and writes the entries.
fn record(
    cx: &Context<'_>,
    mut managed: Managed,
    changes: Comparison,
    new: &mut Value,
) -> Result<(), TrackError> {
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
