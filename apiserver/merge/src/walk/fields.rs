//! The fields of one value.

use crate::fieldset::{Element, FieldSet, Node};
use crate::shape::{Form, Items, Type};
use serde_json::{Map, Value};

/// Every place below the root, maps and lists included: what a comparison with nothing adds.
pub(crate) fn every_field(ty: Type<'_>, value: &Value) -> FieldSet {
    every(ty, value, 0)
}

pub(super) fn every(ty: Type<'_>, value: &Value, depth: usize) -> FieldSet {
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => {
            let mut set = FieldSet::new();
            for (name, value) in map {
                let children = every(ty.field(name), value, depth + 1);
                set.push(Node { element: Element::field(name), member: true, children });
            }
            set
        }
        (Form::List(items), Value::Array(list)) => {
            let Some(groups) = grouped(items, list) else { return FieldSet::new() };
            let mut set = FieldSet::new();
            for (element, same) in groups {
                // Items that cannot be told apart are owned as one, without their fields.
                let children = match same.as_slice() {
                    [only] => every(items.item, only, depth + 1),
                    _ => FieldSet::new(),
                };
                set.push(Node { element, member: true, children });
            }
            set
        }
        _ => FieldSet::new(),
    }
}

/// Items by what tells them apart, in order; `None` if one cannot be told apart.
pub(super) fn grouped<'v>(items: Items<'_>, list: &'v [Value]) -> Option<Vec<(Element, Vec<&'v Value>)>> {
    let mut keyed: Vec<(Element, &Value)> = items.elements(list)?.into_iter().zip(list).collect();
    keyed.sort_by(|l, r| l.0.cmp(&r.0));
    let mut groups: Vec<(Element, Vec<&Value>)> = Vec::with_capacity(keyed.len());
    for (element, item) in keyed {
        match groups.last_mut() {
            Some((last, same)) if *last == element => same.push(item),
            _ => groups.push((element, vec![item])),
        }
    }
    Some(groups)
}

/// What an applier of `value` owns.
pub(crate) fn owned_fields(ty: Type<'_>, value: &Value) -> FieldSet {
    owned(ty, value, 0).1
}

/// Whether the place itself is owned, and what is owned below.
fn owned(ty: Type<'_>, value: &Value, depth: usize) -> (bool, FieldSet) {
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => (false, owned_map(ty, map, depth)),
        (Form::List(items), Value::Array(list)) => match grouped(items, list) {
            None => (true, FieldSet::new()),
            Some(groups) => {
                let mut set = FieldSet::new();
                for (element, same) in groups {
                    let children = match same.as_slice() {
                        [only] => owned(items.item, only, depth + 1).1,
                        _ => FieldSet::new(),
                    };
                    set.push(Node { element, member: true, children });
                }
                (false, set)
            }
        },
        (Form::Map | Form::List(_), Value::Null) => (false, FieldSet::new()),
        _ => (true, FieldSet::new()),
    }
}

fn owned_map(ty: Type<'_>, map: &Map<String, Value>, depth: usize) -> FieldSet {
    let mut set = FieldSet::new();
    for (name, value) in map {
        let (leaf, children) = owned(ty.field(name), value, depth + 1);
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        let member = leaf || empty || !ty.names(name);
        set.push(Node { element: Element::field(name), member, children });
    }
    set
}
