//! Uniqueness in lists of type set and map.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/listtype`.

use crate::findings::Findings;
use crate::place::Place;
use crate::same::Ordered;
use crate::schema::{ListType, Schema};
use hypermesh_api::FieldError;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Tells items that occur twice, each at its second occurrence.
pub(crate) fn check(schema: &Schema, value: &Value, at: &Place<'_>, findings: &mut Findings) {
    if !schema.constraints.below.keyed_lists || findings.is_decided() {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(child) = schema.declared(name) {
                    let declared = schema.properties.contains_key(name);
                    let at = if declared { at.field(name) } else { at.key(name) };
                    check(child, field, &at, findings);
                }
            }
        }
        Value::Array(items) => {
            match &schema.list_type {
                ListType::Atomic => {}
                ListType::Set => check_set(items, at, findings),
                ListType::Map(keys) => check_map(keys, items, at, findings),
            }
            if let Some(child) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(child, item, &at.index(index), findings);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_set(items: &[Value], at: &Place<'_>, findings: &mut Findings) {
    for index in second_occurrences(items, |a, b| Ordered(a).cmp(&Ordered(b))) {
        findings.add(|| FieldError::duplicate(at.index(index).bracketed(), items[index].clone()));
    }
}

fn check_map(keys: &[String], items: &[Value], at: &Place<'_>, findings: &mut Findings) {
    if let Some(index) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
        let words = "must be an object for an array of list-type map";
        findings.add(|| FieldError::invalid(at.index(index).bracketed(), items[index].clone(), words));
        return;
    }
    // A missing key is a value of its own.
    let compare = |a: &Value, b: &Value| {
        keys.iter()
            .map(|key| a.get(key).map(Ordered).cmp(&b.get(key).map(Ordered)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    for index in second_occurrences(items, compare) {
        findings.add(|| {
            let present = keys.iter().filter_map(|key| Some((key.clone(), items[index].get(key)?.clone())));
            FieldError::duplicate(at.index(index).bracketed(), Value::Object(present.collect::<Map<_, _>>()))
        });
    }
}

/// Indices of items that equal exactly one before them.
fn second_occurrences(items: &[Value], compare: impl Fn(&Value, &Value) -> Ordering) -> Vec<usize> {
    if items.len() < 2 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| compare(&items[a], &items[b]));
    // The sort is stable: within a run of equals, indices ascend.
    let mut seconds: Vec<usize> = order
        .chunk_by(|&a, &b| compare(&items[a], &items[b]).is_eq())
        .filter_map(|run| run.get(1).copied())
        .collect();
    seconds.sort_unstable();
    seconds
}
