//! `metadata.managedFields`: who owns which fields, read and written as apimachinery's `managedfields` does.

mod cap;
mod entry;
mod text;

pub(crate) use cap::MAX_UPDATERS;
pub(crate) use entry::{ManagerId, Operation, Owner, Time};

use crate::fieldset::FieldSet;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Paths that no entry ever holds (`stripMeta`).
pub(crate) const STRIPPED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "clusterName"],
    &["metadata", "creationTimestamp"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "resourceVersion"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
];

/// Whether a field of `metadata` is among [`STRIPPED`].
pub(crate) fn is_stripped(field: &str) -> bool {
    STRIPPED.iter().any(|path| matches!(path, ["metadata", name] if *name == field))
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Managed(pub(crate) BTreeMap<ManagerId, Owner>);

/// A path that a manager owns and another one wants to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) manager: ManagerId,
    pub(crate) fields: FieldSet,
}

impl Managed {
    /// Reads the list. `None` if it has no entries or if any entry is malformed: a list is taken as a whole or not at
    /// all.
    pub(crate) fn decode(list: &Value) -> Option<Self> {
        let mut entries = BTreeMap::new();
        for entry in list.as_array()? {
            let (id, owner) = entry::decode(entry)?;
            entries.insert(id, owner);
        }
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// Entries that are those of `stored` but for their time keep the stored time: a client that sends back what it
    /// read changes nothing.
    pub(crate) fn keep_times_of(&mut self, mut stored: Self) {
        for (id, owner) in &mut self.0 {
            if let Some(stored) = stored.0.remove(id)
                && stored.set == owner.set
            {
                owner.time = stored.time;
            }
        }
    }

    /// Takes what changed (what is now there or other than it was, and what is gone) from everybody. Without `force`,
    /// changes to what somebody owns are conflicts and nothing is taken.
    pub(crate) fn settle(
        &mut self,
        written: &FieldSet,
        removed: &FieldSet,
        force: bool,
    ) -> Result<(), Vec<Conflict>> {
        if written.is_empty() && removed.is_empty() {
            return Ok(());
        }
        if !force {
            let all = self.0.iter();
            let mut conflicts: Vec<Conflict> = all
                .map(|(id, owner)| Conflict { manager: id.clone(), fields: owner.set.intersection(written) })
                .filter(|conflict| !conflict.fields.is_empty())
                .collect();
            if !conflicts.is_empty() {
                conflicts.sort_by_cached_key(|conflict| conflict.manager.identifier());
                return Err(conflicts);
            }
        }
        self.0.retain(|_, owner| {
            let set = std::mem::take(&mut owner.set);
            owner.set = set.difference(written).difference(removed);
            !owner.set.is_empty()
        });
        Ok(())
    }
}

/// Entries ordered by operation, time, manager, version and subresource.
fn sorted(managed: Managed) -> Vec<(ManagerId, Owner)> {
    let mut entries: Vec<(ManagerId, Owner)> = managed.0.into_iter().collect();
    entries.sort_by(|(l, lo), (r, ro)| {
        l.operation
            .cmp(&r.operation)
            .then_with(|| Time::seconds(lo.time.as_ref()).cmp(&Time::seconds(ro.time.as_ref())))
            .then_with(|| l.manager.cmp(&r.manager))
            .then_with(|| lo.api_version.cmp(&ro.api_version))
            .then_with(|| l.subresource.cmp(&r.subresource))
    });
    entries
}

/// [`STRIPPED`] as a set.
pub(crate) fn stripped() -> &'static FieldSet {
    static SET: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::of_fields(STRIPPED));
    &SET
}

/// `metadata.managedFields`, if it is there at all.
pub(crate) fn field_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

/// Takes `metadata.managedFields` out of an object.
pub(crate) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Sets `metadata.managedFields`.
pub(crate) fn put(object: &mut Value, list: Value) {
    let Some(map) = object.as_object_mut() else { return };
    let metadata = map.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    if let Value::Object(metadata) = metadata {
        metadata.insert("managedFields".into(), list);
    }
}

/// Whether the client asks to forget all entries: an empty list, or one empty entry.
pub(crate) fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
