//! What lost its owner.

use super::{MOST_WRITES, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::record::uid_of;
use crate::state::StateReader;
use crate::verb::{decode, delete_object, overwrite};
use hypermesh_chain::{ObjectKey, Uid};
use serde_json::Value;

/// Dependents that one turn looks at.
const SLICE: usize = MOST_WRITES / 2;

/// Deletes dependents of `uid` that no other owner holds, and takes the reference out of the others.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
) -> Result<Turn, Fault> {
    let dependents = execution.overlay.dependents(uid, SLICE)?;
    let full = dependents.len() == SLICE;
    let mut progress = false;
    for key in dependents {
        progress |= dependent(execution, &key, uid)?;
    }
    Ok(match (full, progress) {
        (true, true) => Turn::More,
        // Those that are left hold finalizers; their own deletion ends them.
        _ => Turn::Done,
    })
}

fn dependent<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    key: &ObjectKey,
    uid: Uid,
) -> Result<bool, Fault> {
    let Some(record) = execution.overlay.get(key)? else { return Ok(false) };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else {
        return Ok(false);
    };
    let others: Vec<Uid> = record.facts.owners.iter().copied().filter(|owner| *owner != uid).collect();
    let mut held = false;
    let object = decode(&record)?;
    for owner in others {
        held |= owner_lives(execution, &object, key, owner)?;
    }
    if held {
        let object = without_owner(object, uid);
        overwrite(execution, &kind, key, &record, object)?;
        return Ok(true);
    }
    if record.facts.deleting {
        return Ok(false);
    }
    delete_object(execution, &kind, key, &record, None)?;
    Ok(true)
}

/// Whether the object that an owner reference names is there, and is the one that was meant.
fn owner_lives<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    object: &Value,
    key: &ObjectKey,
    owner: Uid,
) -> Result<bool, Fault> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    for reference in references.into_iter().flatten() {
        let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
        if uid_of(text("uid")) != owner {
            continue;
        }
        let Some(kind) = execution.derived.registry.kind(text("apiVersion"), text("kind")) else {
            return Ok(false);
        };
        let namespace = if kind.namespaced() { key.namespace() } else { "" };
        let Some(place) = ObjectKey::new(kind.collection.as_str(), namespace, text("name")) else {
            return Ok(false);
        };
        return Ok(execution.overlay.get(&place)?.is_some_and(|record| record.facts.uid == owner));
    }
    Ok(false)
}

/// The object without its references to `uid`.
pub(super) fn without_owner(mut object: Value, uid: Uid) -> Value {
    if let Some(meta) = crate::metadata::of(&mut object) {
        let emptied = match meta.get_mut("ownerReferences").and_then(Value::as_array_mut) {
            Some(list) => {
                list.retain(|r| r.get("uid").and_then(Value::as_str).is_none_or(|text| uid_of(text) != uid));
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
