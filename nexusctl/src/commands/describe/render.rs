//! An object as text for people. Pure.

use crate::{
    manifest::path::Step,
    output::{
        Paint,
        aligned::{DESCRIPTION, Elastic, Grid, push_painted, width, wrap},
        escape,
    },
    schema::Schema,
};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Metadata that stands at the top, or that says nothing to people.
const HIDDEN: [&str; 8] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "managedFields",
    "selfLink",
    "generateName",
    "ownerReferences",
];
/// Words that are written in capitals.
const ACRONYMS: [&str; 11] = ["api", "cidr", "cpu", "dns", "id", "ip", "tcp", "tls", "ttl", "uid", "url"];

/// What is known of an object beyond itself.
#[derive(Debug, Default)]
pub struct About {
    /// What it waits for, a line each.
    pub waits: Vec<String>,
    /// What it owns, as `type/name`.
    pub owned: Vec<String>,
    /// The events about it; `None` where none were asked for.
    pub events: Option<Vec<Value>>,
    /// The schema of its kind, which tells fields from keys that are data.
    pub schema: Option<Rc<Schema>>,
}

/// Fields that hold maps wherever they stand, for kinds whose schema is not known.
const MAPS: [&str; 10] = [
    "annotations",
    "binaryData",
    "capacity",
    "data",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "requests",
    "stringData",
];

/// Writes an object's fields.
struct Writer<'a> {
    out: Elastic,
    schema: Option<&'a Schema>,
    /// Where it is.
    path: Vec<Step>,
}

/// The messages of a table are wrapped beside the rest where there is so much room, else below it.
const ROOM: usize = 24;

/// The description of an object, in lines of at most `most`.
pub fn describe(object: &Value, about: &About, paint: &Paint, most: Option<usize>) -> String {
    let empty = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let mut head = Elastic::default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    head.line(["Name:".into(), escape(&text(metadata.get("name")))]);
    if metadata.contains_key("namespace") {
        head.line(["Namespace:".into(), escape(&text(metadata.get("namespace")))]);
    }
    pairs(&mut head, "Labels:", metadata.get("labels"), "=");
    pairs(&mut head, "Annotations:", metadata.get("annotations"), ": ");
    head.line(["API Version:".into(), escape(&text(object.get("apiVersion")))]);
    head.line(["Kind:".into(), escape(&text(object.get("kind")))]);
    owners(&mut head, metadata.get("ownerReferences"));

    let shown: Map<String, Value> = metadata
        .iter()
        .filter(|(key, _)| !HIDDEN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut writer = Writer { out: head, schema: about.schema.as_deref(), path: Vec::new() };
    if !shown.is_empty() {
        writer.out.line(["Metadata:".into()]);
        writer.path.push(Step::Field("metadata".to_owned()));
        writer.map(&shown, 1);
        writer.path.clear();
    }
    let conditions = writer.body(object);
    let mut out = writer.out.render(most);
    if let Some(Value::Array(conditions)) = conditions {
        out.push_str(&table(
            "Conditions:",
            &["Type", "Status", "Reason", "Since", "Message"],
            &conditions,
            (paint, most),
            |c| {
                let text = |key: &str| text(c.get(key));
                vec![
                    text("type"),
                    text("status"),
                    text("reason"),
                    text("lastTransitionTime"),
                    text("message"),
                ]
            },
        ));
    }
    lines(&mut out, "Owns:", &about.owned, most, |line| line.to_owned());
    lines(&mut out, "Waits For:", &about.waits, most, |line| paint.unsure(line));
    match about.events.as_deref() {
        None => {}
        Some([]) => out.push_str("Events:  <none>\n"),
        Some(events) => {
            let headings = ["Type", "Reason", "Last Seen", "From", "Message"];
            out.push_str(&table("Events:", &headings, events, (paint, most), |event| {
                let text = |key: &str| text(event.get(key));
                let source = event.get("source").and_then(|s| s.get("component"));
                let from = source.or_else(|| event.get("reportingComponent"));
                let seen = crate::commands::events::last_seen(event);
                let seen = if seen.is_empty() { "<unknown>" } else { seen };
                let count = crate::commands::events::count(event);
                let seen = if count > 1 { format!("{seen} (x{count})") } else { seen.to_owned() };
                vec![text("type"), text("reason"), seen, self::text(from), text("message")]
            }));
        }
    }
    out
}

/// What a Secret holds is not shown, only how much.
fn measure(values: &mut Value) {
    for value in values.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
        let text = value.as_str().unwrap_or_default();
        let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
        *value = format!("{} bytes", (text.len() / 4 * 3).saturating_sub(padding)).into();
    }
}

fn owners(head: &mut Elastic, references: Option<&Value>) {
    let mut label = "Owned By:";
    for owner in references.and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| escape(owner.get(key).and_then(Value::as_str).unwrap_or_default());
        let role = if owner.get("controller") == Some(&Value::Bool(true)) { " (controller)" } else { "" };
        head.line([label.to_owned(), format!("{}/{}{role}", text("kind"), text("name"))]);
        label = "";
    }
}

fn lines(
    out: &mut String,
    title: &str,
    lines: &[String],
    most: Option<usize>,
    paint: impl Fn(&str) -> String,
) {
    if lines.is_empty() {
        return;
    }
    out.push_str(title);
    out.push('\n');
    for line in lines {
        let text = escape(line).replace('\n', " ");
        let parts = most.map_or_else(|| vec![text.clone()], |most| wrap(&text, most.saturating_sub(4)));
        for (index, part) in parts.iter().enumerate() {
            out.push_str(&format!("{}{}\n", if index == 0 { "  " } else { "    " }, paint(part)));
        }
    }
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn pairs(out: &mut Elastic, label: &str, value: Option<&Value>, separator: &str) {
    let Some(map) = value.and_then(Value::as_object).filter(|m| !m.is_empty()) else {
        out.line([label.to_owned(), "<none>".to_owned()]);
        return;
    };
    for (index, (key, value)) in map.iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        let value = escape(value.as_str().unwrap_or_default()).replace('\n', " ");
        out.line([label.to_owned(), format!("{}{separator}{value}", escape(key))]);
    }
}

impl Writer<'_> {
    /// Everything but metadata; the conditions, which are shown apart.
    fn body(&mut self, object: &Value) -> Option<Value> {
        let mut conditions = None;
        let sensitive = object.get("apiVersion").and_then(Value::as_str) == Some("v1")
            && object.get("kind").and_then(Value::as_str) == Some("Secret");
        let said = |key: &str| matches!(key, "metadata" | "apiVersion" | "kind");
        for (key, value) in object.as_object().into_iter().flatten().filter(|(key, _)| !said(key)) {
            let mut value = value.clone();
            if sensitive && matches!(key.as_str(), "data" | "stringData") {
                measure(&mut value);
            }
            if key == "status"
                && let Some(status) = value.as_object_mut()
            {
                conditions = status.remove("conditions");
                if status.is_empty() {
                    continue;
                }
            }
            self.field(&format!("{}:", label(key)), key, &value, 0);
        }
        conditions
    }

    /// The members of a mapping: fields by their titles, keys that are data as they are.
    fn map(&mut self, map: &Map<String, Value>, level: usize) {
        let indent = "  ".repeat(level);
        let verbatim = self.holds_data();
        for (key, value) in map {
            let name = if verbatim { escape(key) } else { label(key) };
            self.field(&format!("{indent}{name}:"), key, value, level);
        }
    }

    /// Whether the keys of the mapping at hand are data.
    fn holds_data(&self) -> bool {
        let known = self.schema.and_then(|schema| schema.is_map(&self.path));
        known.unwrap_or_else(
            || matches!(self.path.last(), Some(Step::Field(name)) if MAPS.contains(&name.as_str())),
        )
    }

    fn field(&mut self, label: &str, key: &str, value: &Value, level: usize) {
        self.path.push(Step::Field(key.to_owned()));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                self.out.line([label.to_owned()]);
                self.map(inner, level + 1);
            }
            Value::Array(items) if !items.is_empty() => {
                self.out.line([label.to_owned()]);
                self.list(items, level + 1);
            }
            scalar => self.out.line([label.to_owned(), shown(scalar, level)]),
        }
        self.path.pop();
    }

    fn list(&mut self, items: &[Value], level: usize) {
        let indent = "  ".repeat(level);
        self.path.push(Step::Index(0));
        for item in items {
            match item {
                Value::Object(inner) if !inner.is_empty() => {
                    let verbatim = self.holds_data();
                    for (index, (key, value)) in inner.iter().enumerate() {
                        let mark = if index == 0 { "- " } else { "  " };
                        let name = if verbatim { escape(key) } else { label(key) };
                        self.field(&format!("{indent}{mark}{name}:"), key, value, level + 1);
                    }
                }
                Value::Array(inner) if !inner.is_empty() => {
                    self.out.line([format!("{indent}-")]);
                    self.list(inner, level + 1);
                }
                scalar => self.out.line([format!("{indent}- {}", shown(scalar, level))]),
            }
        }
        self.path.pop();
    }
}

fn shown(value: &Value, level: usize) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::Object(_) | Value::Array(_) => "<none>".to_owned(),
        Value::String(text) => {
            let indent = format!("\n{}", "  ".repeat(level + 1));
            escape(text.trim_end_matches('\n')).replace('\n', &indent)
        }
        other => other.to_string(),
    }
}

/// `creationTimestamp` is `Creation Timestamp`; names that are data (`app.kubernetes.io/name`) stay as they are.
fn label(key: &str) -> String {
    if !key.chars().all(|c| c.is_ascii_alphanumeric()) || key.starts_with(|c: char| !c.is_ascii_lowercase()) {
        return escape(key);
    }
    let mut words: Vec<String> = Vec::new();
    let mut previous_upper = true;
    for c in key.chars() {
        let upper = c.is_ascii_uppercase();
        match words.last_mut() {
            Some(word) if !upper || previous_upper => word.push(c),
            _ => words.push(c.to_string()),
        }
        previous_upper = upper;
    }
    let capital = |word: &String| {
        let lowered = word.to_lowercase();
        if ACRONYMS.contains(&lowered.as_str()) {
            return lowered.to_uppercase();
        }
        let mut chars = word.chars();
        chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
    };
    words.iter().map(capital).collect::<Vec<String>>().join(" ")
}

fn table(
    title: &str,
    heading: &[&str],
    rows: &[Value],
    (paint, most): (&Paint, Option<usize>),
    cells: impl Fn(&Value) -> Vec<String>,
) -> String {
    let mut lines: Vec<Vec<String>> = vec![heading.iter().map(|h| format!("  {h}")).collect()];
    lines.push(heading.iter().map(|h| format!("  {}", "-".repeat(h.len()))).collect());
    for row in rows {
        let cells = cells(row).into_iter().map(|cell| {
            let cell = escape(&cell).replace('\n', " ");
            if cell.is_empty() { "  <none>".to_owned() } else { format!("  {cell}") }
        });
        lines.push(cells.collect());
    }
    for line in &mut lines {
        // Two spaces before the first column; the layout's padding stands between the others.
        for cell in line.iter_mut().skip(1) {
            *cell = cell.trim_start().to_owned();
        }
    }
    let mut widths = Vec::new();
    for line in &lines {
        DESCRIPTION.fit(&mut widths, line);
    }
    let mut out = format!("{title}\n");
    let painted = |_: usize, text: &str| {
        let word = text.trim_start();
        format!("{}{}", &text[..text.len() - word.len()], paint.state(word))
    };
    let before: usize = widths.iter().sum();
    match most {
        Some(most) if lines.iter().any(|line| before + line.last().map_or(0, |text| width(text)) > most) => {
            narrow(&mut out, lines, &widths, most, painted);
        }
        _ => lines.iter().for_each(|line| push_painted(&mut out, &widths, line, painted)),
    }
    out
}

/// A table in a terminal that is too narrow for it: the messages, which stand last, are wrapped, and nothing of them is
/// left out.
fn narrow(
    out: &mut String,
    mut lines: Vec<Vec<String>>,
    widths: &[usize],
    most: usize,
    painted: impl Fn(usize, &str) -> String + Copy,
) {
    let before: usize = widths.iter().sum();
    if most >= before + ROOM {
        let messages: Vec<String> = lines.iter_mut().filter_map(Vec::pop).collect();
        for (mut line, message) in lines.into_iter().zip(messages) {
            let mut parts = wrap(&message, most - before).into_iter();
            line.extend(parts.next());
            push_painted(out, widths, &line, painted);
            parts.for_each(|part| out.push_str(&format!("{:before$}{part}\n", "")));
        }
        return;
    }
    let mut grid = Grid::default().broken_up();
    let mut lines =
        lines.into_iter().map(|line| line.iter().map(|cell| cell.trim_start().to_owned()).collect());
    lines.next().into_iter().for_each(|heading| grid.heading(heading));
    // What underlines the heading has nothing to underline here.
    lines.skip(1).for_each(|row| grid.row(row));
    for line in grid.render(Some(most.saturating_sub(2)), &Paint::default()).lines() {
        out.push_str(&format!("{}{line}\n", if line.is_empty() { "" } else { "  " }));
    }
}
