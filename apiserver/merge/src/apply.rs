//! Server-side apply (`FieldManager.Apply` over `merge.Updater`).

use crate::context::Context;
use crate::fieldset::{FieldSet, Path};
use crate::last_applied;
use crate::managed::{self, Conflict, Managed, ManagerId, Operation, Owner, Time, is_stripped};
use crate::shape::Type;
use crate::value::equal;
use crate::walk::{check, compare_typed, every_field, merge, name_members, owned_fields, reconcile, remove};
use hypermesh_api::FieldError;
use serde_json::Value;
use std::borrow::Cow;

/// Owner of what was there before the first apply, in an object whose fields nobody had been recorded to own.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Why an apply is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// 409: others own fields that it would change. Each is the manager as messages name it
    /// (`"m1" using hm.example.com/v1`) and the path (`.spec.color`), by manager, then in the order of the set.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<(String, String)>),
    /// 400: not an apply request of this kind and version.
    #[error("{0}")]
    BadRequest(String),
    /// 422: fields that cannot be owned: duplicate or missing keys, undeclared fields, too deep.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Invalid(Vec<FieldError>),
}

/// The message of the Status: `Apply failed with 1 conflict: conflict with "m1": .spec.color`.
fn conflict_message(conflicts: &[(String, String)]) -> String {
    if let [(manager, path)] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut lines = Vec::new();
    let mut last = None;
    for (manager, path) in conflicts {
        if last != Some(manager) {
            lines.push(format!("conflicts with {manager}:"));
            last = Some(manager);
        }
        lines.push(format!("- {path}"));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Merges `applied` into `live` (`None` creates), makes `cx.manager` own what it applied, and removes what it applied
/// before and no longer does, unless somebody else owns it. Returns the object with its `metadata.managedFields`.
///
/// Fields under `cx.reset` stay as they are in `live`. An apply that changes neither the object nor the manager's set
/// returns the live object, times included.
pub fn apply(cx: &Context<'_>, live: Option<&Value>, applied: &Value) -> Result<Value, ApplyError> {
    let mut apart = live.cloned();
    let stored = apart.as_mut().and_then(managed::take).map(|list| list.to_string());
    let (mut object, text) = apply_stored(cx, apart.as_ref().map(|live| (live, stored.as_deref())), applied)?;
    if let Some(text) = text {
        let list = serde_json::from_str(&text);
        managed::put(&mut object, list.map_err(|why| ApplyError::BadRequest(why.to_string()))?);
    }
    Ok(object)
}

/// [`apply`] with the entries apart from their objects: those of the live object as the text of
/// `metadata.managedFields`, which it does not hold, and those of the result likewise. `None` is no entries.
pub fn apply_stored(
    cx: &Context<'_>,
    live: Option<(&Value, Option<&str>)>,
    applied: &Value,
) -> Result<(Value, Option<String>), ApplyError> {
    let stored = live.and_then(|(_, stored)| stored);
    let live = live.map(|(live, _)| live);
    check_request(cx, live, applied)?;
    let errors = check(Type::root(cx.schema), applied);
    if !errors.is_empty() {
        return Err(ApplyError::Invalid(errors));
    }
    let time = Time::parse(cx.time)
        .ok_or_else(|| ApplyError::BadRequest(format!("{:?} is no RFC 3339 time", cx.time)))?;
    let settled = last_applied::is_heir(cx.manager).then(|| last_applied::settled(applied)).flatten();
    let applied = settled.as_ref().unwrap_or(applied);
    let mut result = attempt(cx, &time, (live, stored), applied, cx.force);
    if let (Err(conflicts), Some(live)) = (&result, live)
        && last_applied::is_heir(cx.manager)
        && let Some(allowed) = last_applied::inherited(cx, live)
    {
        // Fields as client-side apply left them may be taken over; others still conflict.
        let left: Vec<Conflict> = conflicts
            .iter()
            .map(|c| Conflict { manager: c.manager.clone(), fields: c.fields.clone().difference(&allowed) })
            .filter(|c| !c.fields.is_empty())
            .collect();
        result =
            if left.is_empty() { attempt(cx, &time, (Some(live), stored), applied, true) } else { Err(left) };
    }
    let (mut object, managed) = result.map_err(|conflicts| ApplyError::Conflicts(named(&conflicts)))?;
    if last_applied::is_heir(cx.manager) {
        last_applied::refresh(&mut object, applied);
    }
    Ok((object, managed))
}

fn check_request(cx: &Context<'_>, live: Option<&Value>, applied: &Value) -> Result<(), ApplyError> {
    let refuse = |message: String| Err(ApplyError::BadRequest(message));
    if !applied.is_object() {
        return refuse("an applied configuration must be an object".into());
    }
    if !matches!(applied.get("metadata"), None | Some(Value::Null | Value::Object(_))) {
        return refuse("metadata must be an object".into());
    }
    let version = applied.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != cx.api_version {
        return refuse(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            cx.api_version
        ));
    }
    if let Some(expected) = live.and_then(|live| live.get("kind")).and_then(Value::as_str) {
        let kind = applied.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kind != expected {
            return refuse(format!("invalid object type: {version}, Kind={kind}"));
        }
    }
    if managed::field_of(applied).is_some_and(|list| !list.is_null()) {
        return refuse("metadata.managedFields must be nil".into());
    }
    Ok(())
}

fn named(conflicts: &[Conflict]) -> Vec<(String, String)> {
    let each = |c: &Conflict| {
        let manager = c.manager.shown();
        c.fields.paths().into_iter().map(move |path: Path| (manager.clone(), path.to_string()))
    };
    conflicts.iter().flat_map(each).collect()
}

fn attempt(
    cx: &Context<'_>,
    now: &Time,
    (live, stored): (Option<&Value>, Option<&str>),
    applied: &Value,
    force: bool,
) -> Result<(Value, Option<String>), Vec<Conflict>> {
    let ty = Type::root(cx.schema);
    let reset = cx.reset_set();
    let mut managed = owners(cx, now, (live, stored), &reset);
    let id = ManagerId::of(cx, Operation::Apply);
    let last = managed.0.remove(&id);
    let set = owned_fields(ty, applied).recursive_difference(&reset);

    let base = live.map_or_else(|| Cow::Owned(empty_of(applied)), Cow::Borrowed);
    let mut merged = Value::clone(&base);
    merge(ty, &mut merged, applied);
    if let Some(last) = &last
        && !last.set.is_subset(&set)
    {
        prune(ty, &mut merged, &managed, applied, &last.set);
    }
    keep_server_fields(&base, &mut merged);
    for path in cx.reset {
        copy_at(path, &base, &mut merged);
    }

    let ignored = reset.union(FieldSet::of_fields(&[&["metadata", "managedFields"]]));
    let changes = compare_typed(ty, &base, &merged).without(&ignored);
    let is_same = changes.is_same();
    managed.settle(&changes.modified.union(changes.added), &changes.removed, force)?;
    let set = set.difference(managed::stripped());
    if !set.is_empty() {
        let unchanged = live.is_some() && is_same && equal(&base, &merged);
        let time = match last {
            Some(last) if unchanged && last.set == set && last.api_version == cx.api_version => last.time,
            _ => Some(now.clone()),
        };
        managed.0.insert(id, Owner { api_version: cx.api_version.to_owned(), set, time });
    }
    Ok((merged, managed.into_text()))
}

/// The live entries, adjusted to the schema. An object that has none is owned by whoever was there before.
fn owners(
    cx: &Context<'_>,
    now: &Time,
    (live, stored): (Option<&Value>, Option<&str>),
    reset: &FieldSet,
) -> Managed {
    let ty = Type::root(cx.schema);
    let Some(live) = live else { return Managed::default() };
    if let Some(mut managed) = stored.and_then(Managed::parse) {
        for owner in managed.0.values_mut() {
            reconcile(ty, &mut owner.set);
        }
        return managed;
    }
    let mut managed = Managed::default();
    let all = every_field(ty, live).recursive_difference(reset).difference(managed::stripped());
    if !all.is_empty() {
        let id = ManagerId::named(BEFORE_FIRST_APPLY, cx, Operation::Update);
        let owner = Owner { api_version: cx.api_version.to_owned(), set: all, time: Some(now.clone()) };
        managed.0.insert(id, owner);
    }
    managed
}

/// What is merged into where nothing is: an empty object of the applied kind.
fn empty_of(applied: &Value) -> Value {
    let named = ["apiVersion", "kind"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), applied.get(name)?.clone())));
    Value::Object(named.collect())
}

/// Removes what the manager applied last time and nobody, itself included, applies or owns now.
///
/// Upstream also removes a list that is now applied empty, which nobody owns, and so brings it back at the next apply.
/// Whatever is applied stays here, so that applying twice is applying once.
fn prune(ty: Type<'_>, merged: &mut Value, others: &Managed, applied: &Value, last: &FieldSet) {
    let named = |mut set: FieldSet| {
        name_members(ty, &mut set);
        set
    };
    let last = named(last.clone());
    let owned = others.0.values().fold(every_field(ty, applied), |all, owner| all.union(owner.set.clone()));
    let all = every_field(ty, merged);

    // Without anything applied last time, items go with all they hold; what others own of that comes back.
    let mut without = merged.clone();
    remove(ty, &mut without, &last);
    let kept = every_field(ty, &without).union(named(owned));
    let mut without = merged.clone();
    remove(ty, &mut without, &all.clone().difference(&kept));
    // So does what nobody owns, or what only updaters did.
    let gone = all.difference(&every_field(ty, &without)).intersection(&last);
    remove(ty, merged, &gone);
}

/// Null in what a client applies (as `creationTimestamp: null` often is) does not unset what only the server sets.
fn keep_server_fields(base: &Value, merged: &mut Value) {
    let Some(Value::Object(before)) = base.get("metadata") else { return };
    let Some(Value::Object(after)) = merged.get_mut("metadata") else { return };
    for (name, value) in before.iter().filter(|(name, _)| is_stripped(name)) {
        if after.get(name).is_none_or(Value::is_null) {
            after.insert(name.clone(), value.clone());
        }
    }
}

/// Makes a field of `to` what it is in `from`, absent if it is absent there.
fn copy_at(path: &[&str], from: &Value, to: &mut Value) {
    match path {
        [] => {}
        [last] => match (from.get(last), to.as_object_mut()) {
            (Some(value), Some(to)) => {
                to.insert((*last).to_owned(), value.clone());
            }
            (None, Some(to)) => {
                to.remove(*last);
            }
            (_, None) => {}
        },
        [first, rest @ ..] => {
            if let Some(to) = to.get_mut(first) {
                copy_at(rest, from.get(first).unwrap_or(&Value::Null), to);
            }
        }
    }
}

#[cfg(test)]
mod tests;
