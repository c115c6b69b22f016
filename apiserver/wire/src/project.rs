//! Projections: objects of one of our kinds, shown as a kind that clients of Kubernetes know.
//!
//! A [`Projection`] is a pure function of one object, with the words by which the other kind is known and the cells of its
//! rows. The server lists, watches and gets the source, and projects what it sends: revisions, order, selectors and pages
//! are the source's. Nothing is stored of what is shown.

mod node;
mod pod;
mod pod_words;

use hypermesh_schemas::KindDefinition;
use hypermesh_schemas::definition::{Names, PrinterColumn, Strategy, Subresources};
use serde_json::{Map, Value, json};

/// What is shown of a kind as another one.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Group, version and plural under which it is shown.
    pub shown: (&'static str, &'static str, &'static str),
    /// Group, version and plural of what it is shown of.
    pub source: (&'static str, &'static str, &'static str),
    /// RBAC words of the resource.
    pub verbs: &'static [&'static str],
    /// Its subresources: name, kind, group and version of what is sent and answered, and RBAC words.
    pub subresources: &'static [Sub],
    /// The kind that is shown.
    kind: &'static Shown,
    object: fn(&Value) -> Value,
    row: fn(&Value, i64) -> Vec<Value>,
    schema: fn(&Value) -> Value,
    field: fn(&str) -> Field,
}

/// A subresource of what is shown.
#[derive(Clone, Copy, Debug)]
pub struct Sub {
    /// Its name.
    pub name: &'static str,
    /// Kind, group and version of what is sent and answered.
    pub kind: (&'static str, &'static str, &'static str),
    /// RBAC words.
    pub verbs: &'static [&'static str],
}

/// Words of a kind that is shown.
#[derive(Debug)]
struct Shown {
    kind: &'static str,
    singular: &'static str,
    short_name: &'static str,
    selectable: &'static [&'static str],
    /// Name, priority and description; all are texts.
    columns: &'static [(&'static str, i32, &'static str)],
}

/// Where the value of a field that selectors name is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The source's field, without a leading dot.
    pub source: &'static str,
    /// What it is where the source has none.
    pub absent: &'static str,
}

/// Pods of `core/v1`, of Instances.
pub const PODS: Projection = pod::PROJECTION;
/// Nodes of `core/v1`, of our Nodes.
pub const NODES: Projection = node::PROJECTION;
/// All there are.
pub const ALL: [&Projection; 2] = [&PODS, &NODES];

impl Projection {
    /// What is shown of an encoded object. One that does not decode, which the store does not hold, shows nothing.
    #[must_use]
    pub fn project(&self, object: &[u8]) -> Vec<u8> {
        let object = serde_json::from_slice(object).unwrap_or(Value::Null);
        let mut out = Vec::with_capacity(1024);
        crate::list::write_json(&(self.object)(&object), &mut out);
        out
    }

    /// What is shown of an encoded list of objects.
    #[must_use]
    pub fn project_list(&self, list: &[u8]) -> Vec<u8> {
        let list: Value = serde_json::from_slice(list).unwrap_or(Value::Null);
        let (group, version, _) = self.shown;
        let api_version = crate::list::api_version(group, version);
        let mut out = Vec::with_capacity(1024);
        crate::list::write_json(
            &json!({
                "apiVersion": api_version,
                "items": self::list(&list, &["items"]).iter().map(self.object).collect::<Vec<_>>(),
                "kind": format!("{}List", self.kind.kind),
                "metadata": list.get("metadata"),
            }),
            &mut out,
        );
        out
    }

    /// The cells of the row of what is shown. `now` is in seconds since 1970.
    pub(crate) fn cells(&self) -> fn(&Value, i64) -> Vec<Value> {
        self.row
    }

    /// Where the value of a selectable field of what is shown is found.
    #[must_use]
    pub fn field(&self, name: &str) -> Field {
        (self.field)(name)
    }

    /// The schema of what is shown, made of the source's.
    #[must_use]
    pub fn schema(&self, source: &KindDefinition) -> Value {
        (self.schema)(&source.schema)
    }

    /// The kind that is shown, as data, but for its schema: what is shown is never judged by one.
    #[must_use]
    pub fn definition(&self, source: &KindDefinition) -> KindDefinition {
        let (group, version, plural) = self.shown;
        let column = |(name, priority, description): &(&str, i32, &str)| PrinterColumn {
            name: (*name).to_owned(),
            kind: "string".to_owned(),
            format: if *name == "Name" { "name".to_owned() } else { String::new() },
            description: (*description).to_owned(),
            priority: *priority,
            json_path: ".metadata.name".to_owned(),
        };
        KindDefinition {
            group: group.to_owned(),
            version: version.to_owned(),
            names: Names {
                plural: plural.to_owned(),
                singular: self.kind.singular.to_owned(),
                kind: self.kind.kind.to_owned(),
                list_kind: format!("{}List", self.kind.kind),
                short_names: vec![self.kind.short_name.to_owned()],
                categories: if plural == "pods" { vec!["all".to_owned()] } else { Vec::new() },
            },
            scope: source.scope,
            schema: json!({"type": "object"}),
            subresources: Subresources { status: true, ..Subresources::default() },
            printer_columns: self.kind.columns.iter().map(column).collect(),
            selectable_fields: self.kind.selectable.iter().map(|path| format!(".{path}")).collect(),
            unique_fields: Vec::new(),
            strategy: Strategy { built_in: true, ..source.strategy.clone() },
        }
    }
}

/// The metadata that is shown: all of the source's but who manages which of the source's fields.
fn metadata(object: &Value) -> Map<String, Value> {
    let mut meta = object.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    meta.remove("managedFields");
    meta
}

/// The text at a path of keys; empty where there is none.
fn text<'v>(object: &'v Value, path: &[&str]) -> &'v str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

fn at<'v>(object: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(object, |at, key| at.get(key))
}

/// The elements of the list at a path of keys.
fn list<'v>(object: &'v Value, path: &[&str]) -> &'v [Value] {
    at(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether the condition of this type is true, where there is one.
fn condition(object: &Value, kind: &str) -> Option<bool> {
    let found = list(object, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == kind)?;
    Some(text(found, &["status"]) == "True")
}

/// An object of these properties of a schema, and of further ones.
fn object_schema(description: &str, of: Option<&Value>, with: Value) -> Value {
    let mut properties = of.and_then(|of| of.get("properties")).and_then(Value::as_object).cloned();
    let properties = properties.get_or_insert_default();
    if let Value::Object(with) = with {
        properties.extend(with);
    }
    json!({"type": "object", "description": description, "properties": properties})
}
