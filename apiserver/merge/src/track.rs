//! Ownership after a create, update or patch (`FieldManager.Update`).

use crate::context::Context;
use crate::created::write_created;
use crate::fieldset::FieldSet;
use crate::managed::{self, MAX_UPDATERS, Managed, ManagerId, Operation, Owner, Time};
use crate::shape::Type;
use crate::walk::{Comparison, compare_typed, reconcile};
use serde_json::{Map, Value};
use std::borrow::Cow;

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
    let Some(live) = live else { return create(cx, sent.as_ref(), new) };
    let mut live = live.clone();
    let stored = managed::take(&mut live).map(|list| list.to_string());
    let text = update(cx, &live, stored.as_deref(), sent, new)?;
    if let Some(text) = text {
        // What is stored, or was just written, reads back: it is nested less deep than the parser allows.
        managed::put(new, serde_json::from_str(&text).map_err(|_| TrackError::NotAnObject)?);
    }
    Ok(())
}

/// [`track_update`] of an object that is there, with its entries apart from it: `stored` is the text of
/// `metadata.managedFields`, which `live` does not hold, and what comes back is the text that `new` is to have, which it
/// does not hold either. `None` is no entries.
pub fn track_stored<'s>(
    cx: &Context<'_>,
    live: &Value,
    stored: Option<&'s str>,
    new: &mut Value,
) -> Result<Option<Cow<'s, str>>, TrackError> {
    let object = new.as_object().ok_or(TrackError::NotAnObject)?;
    if !matches!(object.get("metadata"), None | Some(Value::Null | Value::Object(_))) {
        return Err(TrackError::NotAnObject);
    }
    let sent = managed::take(new).filter(|sent| cx.subresource.is_empty() && !sent.is_null());
    update(cx, live, stored, sent, new)
}

fn create(cx: &Context<'_>, sent: Option<&Value>, new: &mut Value) -> Result<(), TrackError> {
    let list = if let Some(managed) = sent.and_then(Managed::decode) {
        let changes = changes(cx, &Value::Object(Map::new()), new);
        record(cx, managed, changes)?
    } else {
        let Some(object) = new.as_object() else { return Err(TrackError::NotAnObject) };
        let mut list = String::with_capacity(1024);
        write_created(cx, object, &mut list).then_some(list)
    };
    if let Some(list) = list {
        // What was just written reads back: it is nested less deep than the parser allows.
        managed::put(new, serde_json::from_str(&list).map_err(|_| TrackError::NotAnObject)?);
    }
    Ok(())
}

fn update<'s>(
    cx: &Context<'_>,
    live: &Value,
    stored: Option<&'s str>,
    sent: Option<Value>,
    new: &Value,
) -> Result<Option<Cow<'s, str>>, TrackError> {
    if sent.as_ref().is_some_and(managed::is_reset) {
        return Ok(None);
    }
    let sent = sent.filter(|sent| stored != Some(&*sent.to_string())).as_ref().and_then(Managed::decode);
    let changes = changes(cx, live, new);
    if let (true, None, Some(stored)) = (changes.is_same(), &sent, stored) {
        return Ok(Some(Cow::Borrowed(stored)));
    }
    let Some(mut managed) = owners(sent, stored) else { return Ok(None) };
    for owner in managed.0.values_mut() {
        reconcile(Type::root(cx.schema), &mut owner.set);
    }
    Ok(record(cx, managed, changes)?.map(Cow::Owned))
}

/// The entries before this write: those sent, else those stored.
fn owners(sent: Option<Managed>, stored: Option<&str>) -> Option<Managed> {
    let stored = stored.and_then(Managed::parse);
    let Some(mut sent) = sent else { return stored };
    if let Some(stored) = stored {
        sent.keep_times_of(stored);
    }
    Some(sent)
}

/// What this write changes of what can be owned through this endpoint.
fn changes(cx: &Context<'_>, live: &Value, new: &Value) -> Comparison {
    let ignored = cx.reset_set().union(FieldSet::of_fields(&[&["metadata", "managedFields"]]));
    compare_typed(Type::root(cx.schema), live, new).without(&ignored)
}

/// Gives the writer what it changed; the entries as text.
fn record(cx: &Context<'_>, mut managed: Managed, changes: Comparison) -> Result<Option<String>, TrackError> {
    let written = changes.modified.union(changes.added);
    // Forced, so that there are no conflicts.
    let _ = managed.settle(&written, &changes.removed, true);
    let own = written.difference(managed::stripped());
    if !own.is_empty() {
        let time = Time::parse(cx.time).ok_or_else(|| TrackError::Time(cx.time.to_owned()))?;
        let owner: &mut Owner = managed.0.entry(ManagerId::of(cx, Operation::Update)).or_default();
        cx.api_version.clone_into(&mut owner.api_version);
        owner.set = std::mem::take(&mut owner.set).union(own);
        owner.time = Some(time);
    }
    managed.cap_updaters(MAX_UPDATERS);
    Ok(managed.into_text())
}

#[cfg(test)]
mod tests;
