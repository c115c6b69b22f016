//! What an applied object must satisfy so that its parts can be owned. Values are validated elsewhere.

use crate::MAX_DEPTH;
use crate::fieldset::Element;
use crate::shape::{Form, Items, Type};
use crate::value::depth;
use hypermesh_api::field::{FieldError, FieldErrorKind};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Items of sets and list maps must be distinct and tell themselves apart, and fields must be declared.
pub(crate) fn check(ty: Type<'_>, applied: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if depth(applied, MAX_DEPTH) > MAX_DEPTH {
        errors.push(FieldError::new(
            FieldErrorKind::Invalid,
            "",
            None,
            format!("an applied object may be nested {MAX_DEPTH} levels deep"),
        ));
        return errors;
    }
    check_at(ty, applied, &mut String::new(), 0, &mut errors);
    errors
}

fn check_at(ty: Type<'_>, value: &Value, path: &mut String, depth: usize, errors: &mut Vec<FieldError>) {
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => check_fields(ty, map, path, depth, errors),
        (Form::List(items), Value::Array(list)) => check_items(items, list, path, depth, errors),
        _ => {}
    }
}

fn check_fields(
    ty: Type<'_>,
    map: &Map<String, Value>,
    path: &mut String,
    depth: usize,
    errors: &mut Vec<FieldError>,
) {
    for (name, value) in map {
        let end = path.len();
        if end > 0 {
            path.push('.');
        }
        path.push_str(name);
        match ty.known_field(name) {
            Some(field) => check_at(field, value, path, depth + 1, errors),
            None => errors.push(FieldError::new(
                FieldErrorKind::Invalid,
                path.clone(),
                None,
                "field not declared in schema",
            )),
        }
        path.truncate(end);
    }
}

fn check_items(
    items: Items<'_>,
    list: &[Value],
    path: &mut String,
    depth: usize,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = BTreeSet::new();
    for (i, item) in list.iter().enumerate() {
        let end = path.len();
        path.push_str(&format!("[{i}]"));
        match items.element(item) {
            Ok(element) => {
                if let Some(twice) = seen.replace(element) {
                    errors.push(FieldError::duplicate(path.clone(), shown(twice)));
                }
                check_at(items.item, item, path, depth + 1, errors);
            }
            Err(error) => {
                errors.push(FieldError::invalid(path.clone(), item.clone(), error.to_string()));
            }
        }
        path.truncate(end);
    }
}

/// The keys of an item as a value, for the reader of an error.
fn shown(element: Element) -> Value {
    match element {
        Element::Field(name) => Value::String(name.into()),
        Element::Key(keys) => {
            Value::Object(keys.into_iter().map(|(name, value)| (name.into(), value)).collect())
        }
        Element::Value(value) => value,
        Element::Index(index) => index.into(),
    }
}
