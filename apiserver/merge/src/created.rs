//! The one entry of an object that has just been created: every field, written straight as `FieldsV1`.
//!
//! The same as comparing the object with nothing and encoding the result, without building a set in between: creation
//! is the most frequent write.

use crate::context::Context;
use crate::managed::is_stripped;
use crate::shape::{Form, Items, Type};
use serde_json::map::Entry;
use serde_json::{Map, Value};

/// `FieldsV1` of all that the creator of `object` owns; empty if that is nothing.
pub(crate) fn fields_of_created(cx: &Context<'_>, object: &Map<String, Value>) -> Map<String, Value> {
    let root = Type::root(cx.schema);
    let mut out = Map::new();
    for (name, value) in object {
        let reset = below(cx.reset, name);
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            _ if reset.is_whole() => {}
            ("metadata", Value::Object(metadata)) => {
                let fields = metadata_fields(root.field(name), metadata, &reset);
                if !fields.is_empty() {
                    out.insert("f:metadata".to_owned(), Value::Object(fields));
                }
            }
            ("metadata", _) => {}
            _ => {
                out.insert(field_name(name), place(root.field(name), value, 1, &reset));
            }
        }
    }
    out
}

/// Fields of `metadata` without what nobody owns, and without a mark for `metadata` itself.
fn metadata_fields(ty: Type<'_>, metadata: &Map<String, Value>, reset: &Reset<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in metadata.iter().filter(|(name, _)| !is_stripped(name)) {
        let reset = reset.below(name);
        if !reset.is_whole() {
            out.insert(field_name(name), place(ty.field(name), value, 2, &reset));
        }
    }
    out
}

/// What is owned at a place: itself (`.`) and all below, or an empty object for itself alone.
fn place(ty: Type<'_>, value: &Value, depth: usize, reset: &Reset<'_>) -> Value {
    let mut out = Map::new();
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => {
            for (name, value) in map {
                let reset = reset.below(name);
                if !reset.is_whole() {
                    out.insert(field_name(name), place(ty.field(name), value, depth + 1, &reset));
                }
            }
        }
        (Form::List(items), Value::Array(list)) => out = item_fields(items, list, depth).unwrap_or_default(),
        _ => {}
    }
    if !out.is_empty() {
        out.insert(".".to_owned(), Value::Object(Map::new()));
    }
    Value::Object(out)
}

/// `None` if an item cannot be told apart: then the list is one leaf.
fn item_fields(items: Items<'_>, list: &[Value], depth: usize) -> Option<Map<String, Value>> {
    let mut out = Map::new();
    for item in list {
        let mut name = String::new();
        items.element(item).ok()?.write(&mut name);
        match out.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(place(items.item, item, depth + 1, &Reset::NONE));
            }
            // Items that are the same to their list are owned as one, without their fields.
            Entry::Occupied(mut entry) => {
                entry.insert(Value::Object(Map::new()));
            }
        }
    }
    Some(out)
}

fn field_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push_str("f:");
    out.push_str(name);
    out
}

/// The reset paths that lead through a place, cut to what follows it. Without any, which is nearly everywhere, this
/// holds no memory.
struct Reset<'a>(Vec<&'a [&'a str]>);

impl<'a> Reset<'a> {
    const NONE: Self = Self(Vec::new());

    fn below(&self, name: &str) -> Self {
        Self(self.0.iter().filter_map(|path| rest(path, name)).collect())
    }

    /// One of the paths ends here.
    fn is_whole(&self) -> bool {
        self.0.iter().any(|path| path.is_empty())
    }
}

fn below<'a>(paths: &[&'a [&'a str]], name: &str) -> Reset<'a> {
    Reset(paths.iter().filter_map(|path| rest(path, name)).collect())
}

fn rest<'a>(path: &'a [&'a str], name: &str) -> Option<&'a [&'a str]> {
    path.split_first().filter(|(first, _)| **first == name).map(|(_, rest)| rest)
}
