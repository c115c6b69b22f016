//! A field's explanation as text. Pure.

use super::{
    Found,
    example::{self, Examples},
};
use crate::{
    discovery::Resource,
    output::{Paint, escape, yaml},
    schema::Schema,
};
use serde_json::Value;

/// Levels of fields that are shown below each other.
const DEEPEST: usize = 16;
/// Lines of fields that are shown at most.
const MOST_LINES: usize = 5000;
/// Descriptions are wrapped here, unless the terminal is narrower.
const WIDTH: usize = 96;

/// Everything about a field: what it is, what it may hold, an example, the fields below.
pub(super) fn explanation(
    schema: &Schema,
    resource: &Resource,
    found: &Found<'_>,
    recursive: bool,
    paint: &Paint,
    width: Option<usize>,
) -> String {
    let width = width.unwrap_or(WIDTH).clamp(20, WIDTH);
    let mut out = String::new();
    if !resource.group.is_empty() {
        out.push_str(&format!("GROUP:      {}\n", escape(&resource.group)));
    }
    out.push_str(&format!(
        "KIND:       {}\nVERSION:    {}\n\n",
        escape(&resource.kind),
        escape(&resource.version)
    ));
    if !found.name.is_empty() {
        let required = if found.required { " -required-" } else { "" };
        let heading = paint.heading(&format!("FIELD: {}", escape(&found.name)));
        out.push_str(&format!(
            "{heading} {}{required}\n\n",
            paint.weak(&format!("<{}>", kind_of(schema, &found.merged)))
        ));
    }
    let description = text(&found.merged, "description");
    let description = if description.is_empty() { "<empty>" } else { description };
    section(&mut out, "DESCRIPTION:", &wrapped(description, width, 4), paint);
    let constraints: String =
        constraints(schema, &found.merged).iter().map(|line| wrapped(line, width, 4)).collect();
    section(&mut out, "CONSTRAINTS:", &constraints, paint);
    if !recursive {
        section(&mut out, "EXAMPLE:", &example_of(schema, resource, found), paint);
    }
    let members = schema.members(&found.merged);
    let names = schema.names(&members);
    if !names.is_empty() {
        let mut fields = String::new();
        let mut lines = 0;
        if recursive {
            tree(schema, &members, 1, &mut lines, paint, &mut fields);
        } else {
            listed(schema, &members, width, paint, &mut fields);
        }
        section(&mut out, "FIELDS:", &fields, paint);
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn section(out: &mut String, title: &str, body: &str, paint: &Paint) {
    if !body.is_empty() {
        out.push_str(&format!("{}\n{body}\n", paint.heading(title)));
    }
}

fn text<'s>(merged: &[&'s Value], key: &str) -> &'s str {
    merged.iter().find_map(|s| s.get(key)?.as_str()).unwrap_or_default()
}

fn listed(schema: &Schema, members: &[&Value], width: usize, paint: &Paint, out: &mut String) {
    for name in schema.names(members) {
        let Some(member) = schema.member(members, &name) else { continue };
        let merged = schema.resolve(member);
        out.push_str(&head(schema, members, &name, &merged, 2, paint));
        let choices = choices(&merged);
        if !choices.is_empty() {
            out.push_str(&wrapped(&format!("One of {}.", choices.join(", ")), width, 6));
        }
        out.push_str(&wrapped(text(&merged, "description"), width, 6));
        out.push('\n');
    }
}

fn head(
    schema: &Schema,
    members: &[&Value],
    name: &str,
    merged: &[&Value],
    indent: usize,
    paint: &Paint,
) -> String {
    let required = members
        .iter()
        .filter_map(|s| s.get("required")?.as_array())
        .flatten()
        .any(|r| r.as_str() == Some(name));
    let required = if required { " -required-" } else { "" };
    let kind = paint.weak(&format!("<{}>", kind_of(schema, merged)));
    format!("{}{} {kind}{required}\n", " ".repeat(indent), paint.heading(&escape(name)))
}

fn tree(
    schema: &Schema,
    members: &[&Value],
    level: usize,
    lines: &mut usize,
    paint: &Paint,
    out: &mut String,
) {
    for name in schema.names(members) {
        let Some(member) = schema.member(members, &name) else { continue };
        *lines += 1;
        if *lines > MOST_LINES {
            return;
        }
        let merged = schema.resolve(member);
        out.push_str(&head(schema, members, &name, &merged, 2 * level, paint));
        if level < DEEPEST {
            tree(schema, &schema.members(&merged), level + 1, lines, paint, out);
        }
    }
}

/// `string`, `[]Object`, `map[string]string`.
fn kind_of(schema: &Schema, merged: &[&Value]) -> String {
    let find = |key: &str| merged.iter().find_map(|s| s.get(key));
    if merged.iter().any(|s| s.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true))) {
        return "int or string".to_owned();
    }
    let named = find("type").and_then(|kind| match kind {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    });
    match named {
        Some("array") => {
            let item = find("items").map(|items| kind_of(schema, &schema.resolve(items)));
            format!("[]{}", item.unwrap_or_else(|| "any".into()))
        }
        Some("object") | None if find("properties").is_some() => "Object".to_owned(),
        Some("object") => match find("additionalProperties").filter(|a| a.is_object()) {
            Some(values) => format!("map[string]{}", kind_of(schema, &schema.resolve(values))),
            None => "Object".to_owned(),
        },
        Some(other) => match find("format").and_then(Value::as_str) {
            Some(format) if other == "string" => escape(&format!("{other}, {format}")),
            _ => escape(other),
        },
        None => "any".to_owned(),
    }
}

fn choices(merged: &[&Value]) -> Vec<String> {
    let listed = merged.iter().find_map(|s| s.get("enum")?.as_array());
    listed.into_iter().flatten().map(|value| escape(&value.to_string().replace('"', ""))).collect()
}

/// What a value has to keep to, a sentence each.
fn constraints(schema: &Schema, merged: &[&Value]) -> Vec<String> {
    let find = |key: &str| merged.iter().find_map(|s| s.get(key));
    let mut lines = Vec::new();
    let choices = choices(merged);
    if !choices.is_empty() {
        lines.push(format!("one of {}", choices.join(", ")));
    }
    if let Some(default) = find("default") {
        lines.push(format!("default: {}", escape(&default.to_string())));
    }
    let words = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "characters, at least"),
        ("maxLength", "characters, at most"),
        ("minItems", "items, at least"),
        ("maxItems", "items, at most"),
        ("minProperties", "members, at least"),
        ("maxProperties", "members, at most"),
        ("multipleOf", "a multiple of"),
        ("pattern", "matches"),
        ("format", "format"),
    ];
    for (key, words) in words {
        if let Some(value) = find(key) {
            lines.push(escape(&format!("{words}: {}", crate::jsonpath::shown(value))));
        }
    }
    if let Some(keys) = find("x-kubernetes-list-map-keys").and_then(Value::as_array) {
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        lines.push(escape(&format!("items are told apart by: {}", keys.join(", "))));
    }
    if find("x-kubernetes-list-type").and_then(Value::as_str) == Some("set") {
        lines.push("no item twice".to_owned());
    }
    if find("x-hypermesh-unique").is_some() {
        lines.push("unique: no two objects may have the same value".to_owned());
    }
    // Rules of the field, and of the items of a list.
    let items = find("items").map(|items| schema.resolve(items)).unwrap_or_default();
    for rules in merged.iter().chain(&items).filter_map(|s| s.get("x-kubernetes-validations")?.as_array()) {
        for rule in rules {
            let told = rule.get("message").or_else(|| rule.get("rule")).and_then(Value::as_str);
            lines.extend(told.map(escape));
        }
    }
    lines.dedup();
    lines
}

/// A manifest that has the field; empty where nothing is known that a server would take.
fn example_of(schema: &Schema, resource: &Resource, found: &Found<'_>) -> String {
    let own = example::own(schema.plain(schema.root()));
    let manifest = Examples::of(&own, resource).and_then(|examples| examples.manifest(&found.steps));
    let text = manifest.map(|manifest| yaml::to_string(&manifest)).unwrap_or_default();
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// A text in lines that fit, each behind an indentation, with a line break at its end.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    for paragraph in escape(text).lines().map(str::trim_end) {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let room =
                crate::output::aligned::width(&line) + 1 + crate::output::aligned::width(word) + indent;
            if !line.is_empty() && room > width {
                out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
        }
    }
    out
}
