//! Owner references: whom they name, and what a change of them sets in motion.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/garbagecollector` (classifyReferences).

use super::{Job, add, wake};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::record::uid_of;
use crate::state::StateReader;
use crate::verb::{FOREGROUND, decode};
use hypermesh_chain::{ObjectKey, Record, Uid};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Owners that are followed upwards in search of a cycle; a longer chain is taken for one.
const MOST_ANCESTORS: usize = 64;

/// What an owner reference names.
pub(super) enum Owner {
    /// An object that is there to stay, as far as is known.
    Solid,
    /// An object that goes once its dependents have gone.
    Leaving(ObjectKey),
    /// Nothing: the object is gone, or never was.
    Absent,
    /// An object that is not kept here, or cannot be an owner of this one: nothing follows from it.
    Foreign,
}

/// The owner references of an object.
pub(super) fn references(object: &Value) -> &[Value] {
    let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

/// The uid that a reference names.
pub(super) fn uid(reference: &Value) -> Uid {
    uid_of(reference.get("uid").and_then(Value::as_str).unwrap_or_default())
}

/// Where the owner of a reference would be kept.
enum Place {
    /// Not here: its kind is not kept, or cannot own an object of this scope.
    Nowhere,
    /// At a key, under which there is no such object.
    Empty,
    /// At a key, and there it is.
    Taken(ObjectKey, Arc<Record>),
}

/// Looks up what a reference of an object in `namespace` names.
fn find<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    namespace: &str,
    reference: &Value,
) -> Result<Place, Fault> {
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let kind = execution.derived.registry.kind(text("apiVersion"), text("kind"));
    let Some(kind) = kind.filter(|kind| !kind.namespaced() || !namespace.is_empty()) else {
        return Ok(Place::Nowhere);
    };
    let namespace = if kind.namespaced() { namespace } else { "" };
    let Some(key) = ObjectKey::new(kind.collection.as_str(), namespace, text("name")) else {
        return Ok(Place::Nowhere);
    };
    let found = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid(reference));
    Ok(found.map_or(Place::Empty, |record| Place::Taken(key, record)))
}

/// What a reference of an object in `namespace` names.
pub(super) fn judge<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    namespace: &str,
    reference: &Value,
) -> Result<Owner, Fault> {
    Ok(match find(execution, namespace, reference)? {
        Place::Nowhere => Owner::Foreign,
        Place::Empty => Owner::Absent,
        Place::Taken(key, record) if record.facts.deleting => {
            if metadata::finalizers(&decode(&record)?).contains(&FOREGROUND) {
                Owner::Leaving(key)
            } else {
                Owner::Solid
            }
        }
        Place::Taken(..) => Owner::Solid,
    })
}

/// Whether an owner other than `uid` holds the object.
pub(super) fn held_by_another<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    namespace: &str,
    object: &Value,
    gone: Uid,
) -> Result<bool, Fault> {
    for reference in references(object).iter().filter(|reference| uid(reference) != gone) {
        if matches!(judge(execution, namespace, reference)?, Owner::Solid | Owner::Foreign) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The object without its references to `gone`.
pub(super) fn without(mut object: Value, gone: &BTreeSet<Uid>) -> Value {
    if let Some(meta) = metadata::of(&mut object) {
        let emptied = match meta.get_mut("ownerReferences").and_then(Value::as_array_mut) {
            Some(list) => {
                list.retain(|reference| !gone.contains(&uid(reference)));
                list.is_empty()
            }
            None => false,
        };
        if emptied {
            meta.remove("ownerReferences");
        }
    }
    object
}

/// Whether `wanted` is among the owners of the object, and theirs: two that wait for each other would wait for ever.
pub(super) fn descends<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    namespace: &str,
    object: &Value,
    wanted: Uid,
) -> Result<bool, Fault> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<Value> = references(object).to_vec();
    while let Some(reference) = open.pop() {
        let owner = uid(&reference);
        if owner == wanted || seen.len() == MOST_ANCESTORS {
            return Ok(true);
        }
        if seen.insert(owner)
            && let Place::Taken(_, record) = find(execution, namespace, &reference)?
        {
            open.extend(references(&decode(&record)?).iter().cloned());
        }
    }
    Ok(false)
}

/// Follows a change of an object's owner references: an owner that is gone takes the object with it, one that is on its
/// way out looks again, and one that was left may have waited for it.
pub(crate) fn notice<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    key: &ObjectKey,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Fault> {
    let before = old.map(references).unwrap_or_default();
    let after = references(new);
    if before == after {
        return Ok(());
    }
    let mut collected = false;
    for reference in after {
        let uid = uid(reference);
        match judge(execution, key.namespace(), reference)? {
            // One that is gone is enough: whoever collects for it sees the others.
            Owner::Absent if !collected => {
                collected = true;
                add(execution, Job::Collect { uid })?;
            }
            Owner::Leaving(owner) => add(execution, Job::Foreground { uid, key: (&owner).into() })?,
            Owner::Absent | Owner::Solid | Owner::Foreign => {}
        }
    }
    for reference in before {
        wake(execution, &Job::foreground_name(uid(reference)))?;
    }
    Ok(())
}
