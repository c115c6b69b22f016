//! Removing fields and items from a value.

use crate::fieldset::{Element, FieldSet, Node};
use crate::shape::{Form, Type};
use serde_json::Value;

/// Removes every member of `fields`. A map or list that loses all it held, but is no member itself, stays empty: it
/// may belong to somebody.
pub(crate) fn remove(ty: Type<'_>, value: &mut Value, fields: &FieldSet) {
    remove_at(ty, value, fields, 0);
}

fn remove_at(ty: Type<'_>, value: &mut Value, fields: &FieldSet, depth: usize) {
    if fields.is_empty() {
        return;
    }
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => {
            for node in fields.nodes() {
                let Element::Field(name) = &node.element else { continue };
                if node.member {
                    map.remove(&**name);
                } else if let Some(value) = map.get_mut(&**name) {
                    remove_at(ty.field(name), value, &node.children, depth + 1);
                }
            }
        }
        (Form::List(items), Value::Array(list)) => {
            let Some(elements) = items.elements(list) else { return };
            let mut elements = elements.iter();
            list.retain_mut(|item| match elements.next().and_then(|element| fields.get(element)) {
                Some(Node { member: true, .. }) => false,
                Some(node) => {
                    remove_at(items.item, item, &node.children, depth + 1);
                    true
                }
                None => true,
            });
        }
        _ => {}
    }
}
