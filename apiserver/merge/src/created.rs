//! The one entry of an object that has just been created: every field, written straight as JSON.
//!
//! The same as comparing the object with nothing and encoding the result, without building a set or a value in
//! between: creation is the most frequent write. Names are in the order in which a value would print them.

use crate::context::Context;
use crate::managed::is_stripped;
use crate::shape::{Form, Items, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Appends the `managedFields` list of `object`, just created by `cx.manager` without sending any entries, as JSON.
/// Returns false, and appends nothing, if there is nothing to own.
///
/// [`track_update`](crate::track_update) without a live object sets the same list as a value.
pub fn write_created(cx: &Context<'_>, object: &Map<String, Value>, out: &mut String) -> bool {
    let start = out.len();
    out.push_str("[{\"apiVersion\":");
    push_string(cx.api_version, out);
    out.push_str(",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
    if !root_fields(cx, object, out) {
        out.truncate(start);
        return false;
    }
    out.push_str(",\"manager\":");
    push_string(if cx.manager.is_empty() { "unknown" } else { cx.manager }, out);
    out.push_str(",\"operation\":\"Update\"");
    if !cx.subresource.is_empty() {
        out.push_str(",\"subresource\":");
        push_string(cx.subresource, out);
    }
    out.push_str(",\"time\":");
    push_string(cx.time, out);
    out.push_str("}]");
    true
}

fn root_fields(cx: &Context<'_>, object: &Map<String, Value>, out: &mut String) -> bool {
    let root = Type::root(cx.schema);
    let mut fields = Fields::open(out);
    for (name, value) in object {
        let reset = below(cx.reset, name);
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            _ if reset.is_whole() => {}
            ("metadata", Value::Object(metadata)) => {
                let ty = root.field(name);
                // `metadata` itself is nobody's, and neither is what only the server sets.
                let mut owned = metadata
                    .iter()
                    .filter(|(name, _)| !is_stripped(name))
                    .map(|(name, value)| (name, value, reset.below(name)))
                    .filter(|(_, _, reset)| !reset.is_whole())
                    .peekable();
                if owned.peek().is_some() {
                    fields.name(name);
                    let mut nested = Fields::open(fields.out);
                    for (name, value, reset) in owned {
                        nested.name(name);
                        place(ty.field(name), value, 2, &reset, nested.out);
                    }
                    nested.close();
                }
            }
            ("metadata", _) => {}
            _ => {
                fields.name(name);
                place(root.field(name), value, 1, &reset, fields.out);
            }
        }
    }
    fields.close()
}

/// What is owned at a place: itself (`.`) and all below, or an empty object for itself alone.
fn place(ty: Type<'_>, value: &Value, depth: usize, reset: &Reset<'_>, out: &mut String) {
    match (ty.form(value, depth), value) {
        (Form::Map, Value::Object(map)) => {
            let mut fields = Fields::open(out);
            for (name, value) in map {
                let reset = reset.below(name);
                if !reset.is_whole() {
                    fields.dot();
                    fields.name(name);
                    place(ty.field(name), value, depth + 1, &reset, fields.out);
                }
            }
            fields.close();
        }
        (Form::List(items), Value::Array(list)) => match by_name(items, list) {
            Some(named) => {
                let mut fields = Fields::open(out);
                for (name, item) in named {
                    fields.dot();
                    fields.raw_name(&name);
                    match item {
                        Some(item) => place(items.item, item, depth + 1, &Reset::NONE, fields.out),
                        // Items that are the same to their list are owned as one, without their fields.
                        None => fields.out.push_str("{}"),
                    }
                }
                fields.close();
            }
            None => out.push_str("{}"),
        },
        _ => out.push_str("{}"),
    }
}

/// Items by their names; no item where several have one name. `None` if an item cannot be told apart: then the list
/// is one leaf.
fn by_name<'v>(items: Items<'_>, list: &'v [Value]) -> Option<BTreeMap<String, Option<&'v Value>>> {
    let mut named = BTreeMap::new();
    for item in list {
        let mut name = String::new();
        items.element(item).ok()?.write(&mut name);
        named.entry(name).and_modify(|seen| *seen = None).or_insert(Some(item));
    }
    Some(named)
}

/// A JSON object being written.
struct Fields<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> Fields<'o> {
    fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// The place itself, before the first that lies below it.
    fn dot(&mut self) {
        if self.empty {
            self.out.push_str("\".\":{}");
            self.empty = false;
        }
    }

    fn comma(&mut self) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
    }

    fn name(&mut self, field: &str) {
        self.comma();
        self.out.push_str("\"f:");
        push_escaped(field, self.out);
        self.out.push_str("\":");
    }

    fn raw_name(&mut self, name: &str) {
        self.comma();
        push_string(name, self.out);
        self.out.push(':');
    }

    /// Returns whether anything was written.
    fn close(self) -> bool {
        self.out.push('}');
        !self.empty
    }
}

pub(crate) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    push_escaped(text, out);
    out.push('"');
}

pub(crate) fn push_escaped(text: &str, out: &mut String) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push_str(text);
        return;
    }
    let quoted = Value::from(text).to_string();
    out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
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
