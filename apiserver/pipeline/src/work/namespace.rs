//! A namespace that is emptied, and says in its conditions what it still waits for.
//!
//! Nothing can be made in it any more, so one pass over what it holds marks everything. After that the job waits; each
//! object that goes wakes it, and it looks at a bounded number of those that are left.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/namespace/deletion` (the conditions and their words).

use super::progress::Refusals;
use super::slice::{PAGE, Slice};
use super::{Progress, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::hook::NAMESPACE_FINALIZER;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::verb::{Manner, decode, delete_object, is_free, overwrite};
use hypermesh_chain::{KeyRange, ObjectKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects that are left and are counted.
const MOST_COUNTED: usize = 250;
/// Bytes of them that are read.
const MOST_BYTES: u64 = 2 << 20;

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
    slice: &mut Slice,
    name: &str,
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    let Some(key) = ObjectKey::new("/namespaces", "", name) else { return Ok(Turn::Done) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.deleting) else {
        return Ok(Turn::Done);
    };
    if !progress.marked {
        if !mark(execution, slice, name, progress)? {
            return Ok(Turn::More);
        }
        progress.mark();
    }
    let Some(kind) = execution.derived.registry.collection("/namespaces").cloned() else {
        return Ok(Turn::Done);
    };
    let left = count(execution, name)?;
    let mut object = decode(&record)?;
    let before = object.clone();
    let empty = left.kinds.is_empty();
    if empty && let Some(list) = object.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut) {
        list.retain(|finalizer| finalizer.as_str() != Some(NAMESPACE_FINALIZER));
    }
    let held = empty && !is_free(&kind, &object);
    report(&mut object, &left, held, &progress.refused, &execution.time);
    if object != before {
        overwrite(execution, &kind, &key, &record, object)?;
    }
    Ok(if empty { Turn::Done } else { Turn::Waits })
}

/// The kinds whose objects lie in namespaces.
fn kinds<R: StateReader + ?Sized>(execution: &Execution<'_, R>) -> Vec<Arc<Kind>> {
    execution.derived.registry.iter().filter(|kind| kind.namespaced()).map(Arc::clone).collect()
}

/// Deletes what the namespace holds, from where the job stands; false when the slice was at its end before.
fn mark<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    name: &str,
    progress: &mut Progress,
) -> Result<bool, Fault> {
    let kinds = kinds(execution);
    let mut after = progress.key();
    // A kind that is not there any more has no objects: what follows it is not known, and all are looked at again.
    let place =
        after.as_ref().and_then(|after| kinds.iter().position(|kind| kind.collection == after.collection()));
    for kind in kinds.iter().skip(place.unwrap_or(0)) {
        let range = KeyRange { collection: kind.collection.clone(), namespace: Some(name.to_owned()) };
        after = after.filter(|after| range.contains(after));
        loop {
            if !slice.has_room(execution) {
                return Ok(false);
            }
            let page = execution.overlay.scan(&range, after.as_ref(), PAGE)?;
            let full = page.len() == PAGE;
            for (key, record) in page {
                slice.attempt(execution, progress, &key, |execution| {
                    // The deletion of another of them may have taken it along.
                    let now = execution.overlay.get(&key)?.filter(|now| now.revision == record.revision);
                    if let Some(record) = now.filter(|record| !record.facts.deleting) {
                        delete_object(execution, kind, &key, &record, Manner::default())?;
                    }
                    Ok(())
                })?;
                progress.pass(&key);
                after = Some(key);
            }
            if !full {
                break;
            }
        }
    }
    Ok(true)
}

fn count<R: StateReader + ?Sized>(execution: &Execution<'_, R>, name: &str) -> Result<Left, Fault> {
    let mut left = Left::default();
    let (mut counted, start) = (0, execution.overlay.spent());
    for kind in kinds(execution) {
        let range = KeyRange { collection: kind.collection.clone(), namespace: Some(name.to_owned()) };
        let mut after = None;
        loop {
            let page = execution.overlay.scan(&range, after.as_ref(), PAGE)?;
            let full = page.len() == PAGE;
            for (key, record) in page {
                *left.kinds.entry(kind.definition.names.plural.clone()).or_default() += 1;
                for finalizer in crate::metadata::finalizers(&decode(&record).unwrap_or_default()) {
                    *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
                }
                (counted, after) = (counted + 1, Some(key));
            }
            if counted >= MOST_COUNTED || execution.overlay.spent() - start > MOST_BYTES {
                left.more = true;
                return Ok(left);
            }
            if !full {
                break;
            }
        }
    }
    Ok(left)
}

/// A condition's status, reason and message.
type Said = (&'static str, &'static str, String);

/// What could not be deleted, and why.
fn failures(refused: &Refusals) -> Said {
    if refused.is_empty() {
        let words = "All content successfully deleted, may be waiting on finalization";
        return ("False", "ContentDeleted", words.to_owned());
    }
    let told = refused.told.iter().filter_map(|refusal| {
        let key = refusal.place.key()?;
        let kind = key.collection().rsplit('/').next().unwrap_or_default();
        Some(format!("{kind} {:?}: {}", key.name(), refusal.reason))
    });
    let mut words = told.collect::<Vec<_>>().join(", ");
    if refused.count > refused.told.len() as u64 {
        words.push_str(", and more");
    }
    let words = format!("Failed to delete all resource types, {} remaining: {words}", refused.count);
    ("True", "ContentDeletionFailed", words)
}

/// The conditions that `kubectl describe namespace` users know; none before something had to be waited for.
///
/// `held` by its own finalizers, it is looked at no more, and so the words do not name them: they stay true until the last
/// is gone.
fn report(object: &mut Value, left: &Left, held: bool, refused: &Refusals, time: &str) {
    let empty = left.kinds.is_empty();
    let old: Vec<Value> =
        object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    if empty && !held && old.is_empty() {
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
    let finalizers = if held {
        let words =
            "The namespace is empty and is held by its own finalizers: metadata.finalizers, spec.finalizers";
        ("True", "SomeFinalizersRemain", words.to_owned())
    } else if left.finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        (
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {holding}"),
        )
    };
    let conditions: Vec<Value> = [
        ("NamespaceDeletionContentFailure", failures(refused)),
        ("NamespaceContentRemaining", content),
        ("NamespaceFinalizersRemaining", finalizers),
    ]
    .into_iter()
    .map(|(kind, said)| condition(&old, kind, said, time))
    .collect();
    if let Some(map) = object.as_object_mut()
        && let Some(status) = map.entry("status").or_insert_with(|| json!({})).as_object_mut()
    {
        status.insert("conditions".into(), conditions.into());
    }
}

fn condition(old: &[Value], kind: &str, (status, reason, message): Said, time: &str) -> Value {
    let was = old.iter().find(|c| c.get("type").and_then(Value::as_str) == Some(kind));
    let since = was
        .filter(|was| was.get("status").and_then(Value::as_str) == Some(status))
        .and_then(|was| was.get("lastTransitionTime").and_then(Value::as_str))
        .unwrap_or(time);
    json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    })
}
