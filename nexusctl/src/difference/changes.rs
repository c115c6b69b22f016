//! Differences field by field, and the patch that makes one object of another.

use super::key_step;
use crate::manifest::{FieldPath, path::Step};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where.
    pub path: FieldPath,
    /// What it was, if it was there.
    pub before: Option<Value>,
    /// What it is, if it is there.
    pub after: Option<Value>,
}

/// All fields that differ, in the order of their names. Items of lists that have names are told apart by them.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(path: &mut Vec<Step>, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                path.push(key_step(key));
                compare(path, before.get(key), after.get(key), found);
                path.pop();
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => match (names(before), names(after)) {
            (Some(old), Some(new)) => {
                let all: Vec<&str> =
                    old.iter().chain(new.iter().filter(|name| !old.contains(name))).copied().collect();
                for name in all {
                    let item = |names: &[&str], items: &'_ [Value]| {
                        names.iter().position(|n| *n == name).and_then(|at| items.get(at)).cloned()
                    };
                    path.push(Step::Keys(vec![("name".to_owned(), name.into())]));
                    compare(path, item(&old, before).as_ref(), item(&new, after).as_ref(), found);
                    path.pop();
                }
            }
            _ if before.len() == after.len() => {
                for (index, (before, after)) in before.iter().zip(after).enumerate() {
                    path.push(Step::Index(index));
                    compare(path, Some(before), Some(after), found);
                    path.pop();
                }
            }
            _ => push(path, Some(before.clone().into()), Some(after.clone().into()), found),
        },
        (before, after) => push(path, before.cloned(), after.cloned(), found),
    }
}

fn push(path: &[Step], before: Option<Value>, after: Option<Value>, found: &mut Vec<Change>) {
    found.push(Change { path: FieldPath::from(path.to_vec()), before, after });
}

/// The names of a list's items, if each has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> =
        items.iter().map(|item| item.get("name").and_then(Value::as_str)).collect::<Option<_>>()?;
    let distinct: BTreeSet<&&str> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// The merge patch (RFC 7386) that makes `after` of `before`; an empty object if they are equal. A field that is null
/// in `after` goes, since a merge patch cannot say otherwise.
pub fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old @ Value::Object(_)) if value.is_object() => {
                patch.insert(key.clone(), merge_patch(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// The fields that both have changed, unless to the same value: where one change lies within another, the outer one.
pub fn overlap<'c>(ours: &[Change], theirs: &'c [Change]) -> Vec<&'c Change> {
    let within = |outer: &FieldPath, inner: &FieldPath| inner.steps().starts_with(outer.steps());
    let meet = |a: &FieldPath, b: &FieldPath| within(a, b) || within(b, a);
    let agree = |our: &Change, their: &Change| our.path == their.path && our.after == their.after;
    let clash = |our: &Change, their: &Change| meet(&our.path, &their.path) && !agree(our, their);
    theirs.iter().filter(|their| ours.iter().any(|our| clash(our, their))).collect()
}
