//! A namespace that is emptied, and says in its conditions what it still waits for.
//!
//! Nothing can be made in it any more, so one pass over what it holds marks everything. After that the job waits; each
//! object that goes wakes it, and it looks at a bounded number of those that are left.

use super::{Progress, SLICE, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::hook::NAMESPACE_FINALIZER;
use crate::state::StateReader;
use crate::verb::{decode, delete_object, overwrite};
use hypermesh_chain::{KeyRange, ObjectKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is left in a namespace.
#[derive(Default)]
struct Left {
    kinds: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    /// Not everything was counted.
    more: bool,
}

/// Deletes what the namespace holds; once it holds nothing, its finalizer goes.
pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    progress: &Progress,
) -> Result<Turn, Fault> {
    let Some(key) = ObjectKey::new("/namespaces", "", name) else { return Ok(Turn::Done) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.deleting) else {
        return Ok(Turn::Done);
    };
    if !progress.marked
        && let Some(last) = mark(execution, name, progress.key())?
    {
        return Ok(Turn::More(progress.after(&last)));
    }
    let Some(kind) = execution.derived.registry.collection("/namespaces").cloned() else {
        return Ok(Turn::Done);
    };
    let left = count(execution, name)?;
    let mut object = decode(&record)?;
    let before = object.clone();
    report(&mut object, &left, &execution.time);
    let empty = left.kinds.is_empty();
    if empty && let Some(list) = object.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut) {
        list.retain(|finalizer| finalizer.as_str() != Some(NAMESPACE_FINALIZER));
    }
    if object != before {
        overwrite(execution, &kind, &key, &record, object)?;
    }
    Ok(if empty { Turn::Done } else { Turn::Waits(Progress::marked()) })
}

/// Deletes a slice of what the namespace holds; the last object of it, unless it was the last of all.
fn mark<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    mut after: Option<ObjectKey>,
) -> Result<Option<ObjectKey>, Fault> {
    let registry = Arc::clone(&execution.derived.registry);
    let mut room = SLICE;
    for kind in registry.iter().filter(|kind| kind.namespaced()) {
        if after.as_ref().is_some_and(|after| after.collection() != kind.collection) {
            continue;
        }
        let range = KeyRange { collection: kind.collection.clone(), namespace: Some(name.to_owned()) };
        let page = execution.overlay.scan(&range, after.take().as_ref(), room)?;
        let last = page.last().map(|(key, _)| key.clone());
        room -= page.len();
        for (place, record) in page {
            // The deletion of another of them may have taken it along.
            if let Some(record) = execution.overlay.get(&place)?.filter(|now| now.revision == record.revision)
                && !record.facts.deleting
            {
                delete_object(execution, kind, &place, &record, None)?;
            }
        }
        if room == 0 {
            return Ok(last);
        }
    }
    Ok(None)
}

fn count<R: StateReader + ?Sized>(execution: &Execution<'_, R>, name: &str) -> Result<Left, Fault> {
    let mut left = Left::default();
    let mut room = SLICE;
    for kind in execution.derived.registry.iter().filter(|kind| kind.namespaced()) {
        let range = KeyRange { collection: kind.collection.clone(), namespace: Some(name.to_owned()) };
        let page = execution.overlay.scan(&range, None, room)?;
        room -= page.len();
        for (_, record) in page {
            *left.kinds.entry(kind.definition.names.plural.clone()).or_default() += 1;
            for finalizer in crate::metadata::finalizers(&decode(&record)?) {
                *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
        if room == 0 {
            left.more = true;
            break;
        }
    }
    Ok(left)
}

/// The conditions that `kubectl describe namespace` users know; none before something had to be waited for.
fn report(object: &mut Value, left: &Left, time: &str) {
    let empty = left.kinds.is_empty();
    let old: Vec<Value> =
        object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    if empty && old.is_empty() {
        return;
    }
    let list = |map: &BTreeMap<String, usize>, sentence: fn(&str, usize) -> String| {
        let mut text = map.iter().map(|(what, n)| sentence(what, *n)).collect::<Vec<_>>().join(", ");
        if left.more {
            text.push_str(", and more");
        }
        text
    };
    let resources = list(&left.kinds, |what, n| format!("{what} has {n} resource instances"));
    let holding = list(&left.finalizers, |what, n| format!("{what} in {n} resource instances"));
    let content = if empty {
        ("False", "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        ("True", "SomeResourcesRemain", format!("Some resources are remaining: {resources}"))
    };
    let finalizers = if left.finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        (
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {holding}"),
        )
    };
    let conditions: Vec<Value> = [
        ("NamespaceContentRemaining", content),
        ("NamespaceFinalizersRemaining", finalizers),
    ]
    .into_iter()
    .map(|(kind, (status, reason, message))| {
        let was = old.iter().find(|c| c.get("type").and_then(Value::as_str) == Some(kind));
        let since = was
            .filter(|was| was.get("status").and_then(Value::as_str) == Some(status))
            .and_then(|was| was.get("lastTransitionTime").and_then(Value::as_str))
            .unwrap_or(time);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        })
    })
    .collect();
    if let Some(map) = object.as_object_mut()
        && let Some(status) = map.entry("status").or_insert_with(|| json!({})).as_object_mut()
    {
        status.insert("conditions".into(), conditions.into());
    }
}
