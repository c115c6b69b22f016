//! A namespace that is emptied, and says in its conditions what it still waits for.

use super::{MOST_WRITES, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::hook::NAMESPACE_FINALIZER;
use crate::state::StateReader;
use crate::verb::{decode, delete_object, overwrite};
use hypermesh_chain::{KeyRange, ObjectKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SLICE: usize = MOST_WRITES / 2;

/// Deletes what the namespace holds; once it holds nothing, its finalizer goes.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<Turn, Fault> {
    let Some(key) = ObjectKey::new("/namespaces", "", name) else { return Ok(Turn::Done) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.deleting) else {
        return Ok(Turn::Done);
    };
    let registry = std::sync::Arc::clone(&execution.derived.registry);
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for kind in registry.iter().filter(|kind| kind.namespaced()) {
        let range = KeyRange { collection: kind.collection.clone(), namespace: Some(name.to_owned()) };
        let mut after = None;
        loop {
            let page = execution.overlay.scan(&range, after.as_ref(), SLICE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let (mut progress, full) = (0_usize, page.len() == SLICE);
            for (place, object) in page {
                if !object.facts.deleting {
                    delete_object(execution, kind, &place, &object, None)?;
                    progress += 1;
                }
                if let Some(still) = execution.overlay.get(&place)? {
                    *left.entry(kind.definition.names.plural.clone()).or_default() += 1;
                    for finalizer in crate::metadata::finalizers(&decode(&still)?) {
                        *finalizers.entry(finalizer.to_owned()).or_default() += 1;
                    }
                }
            }
            if full && progress > 0 {
                return Ok(Turn::More);
            }
        }
    }
    let Some(kind) = registry.collection("/namespaces").cloned() else { return Ok(Turn::Done) };
    let mut object = decode(&record)?;
    if left.is_empty() {
        if let Some(list) = object.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut) {
            list.retain(|finalizer| finalizer.as_str() != Some(NAMESPACE_FINALIZER));
        }
        overwrite(execution, &kind, &key, &record, object)?;
        return Ok(Turn::Done);
    }
    let before = object.clone();
    report(&mut object, &left, &finalizers, &execution.time);
    if object != before {
        overwrite(execution, &kind, &key, &record, object)?;
    }
    Ok(Turn::Waits)
}

/// The conditions that `kubectl describe namespace` users know.
fn report(
    object: &mut Value,
    left: &BTreeMap<String, usize>,
    finalizers: &BTreeMap<String, usize>,
    time: &str,
) {
    let list = |map: &BTreeMap<String, usize>, sentence: fn(&str, usize) -> String| {
        map.iter().map(|(what, n)| sentence(what, *n)).collect::<Vec<_>>().join(", ")
    };
    let resources = list(left, |what, n| format!("{what} has {n} resource instances"));
    let holding = list(finalizers, |what, n| format!("{what} in {n} resource instances"));
    let conditions = [
        (
            "NamespaceContentRemaining",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {resources}"),
        ),
        (
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {holding}"),
        ),
    ];
    let conditions: Vec<Value> = conditions
        .into_iter()
        .map(|(kind, reason, message)| {
            json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": time})
        })
        .collect();
    let unchanged = object.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|old| {
        old.len() == conditions.len()
            && old.iter().zip(&conditions).all(|(a, b)| a.get("message") == b.get("message"))
    });
    if !unchanged
        && let Some(map) = object.as_object_mut()
        && let Some(status) = map.entry("status").or_insert_with(|| json!({})).as_object_mut()
    {
        status.insert("conditions".into(), conditions.into());
    }
}
