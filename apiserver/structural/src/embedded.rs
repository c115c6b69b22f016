//! Embedded resources: what a Kubernetes object within an object must have.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/objectmeta`. The contents of their ObjectMeta (names, labels,
//! annotations) are judged by whoever judges those of objects: [`Schema::embedded_resources`] hands them out.

use crate::findings::Findings;
use crate::place::Place;
use crate::schema::Schema;
use hypermesh_api::FieldError;
use serde_json::{Map, Value};

/// An object within an object.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedResource<'v> {
    /// Where it is: `spec.template`.
    pub path: String,
    /// The object, of whose shape nothing is certain.
    pub object: &'v Map<String, Value>,
}

impl Schema {
    /// The embedded resources of a value, outer ones first.
    pub fn embedded_resources<'v>(&self, value: &'v Value) -> Vec<EmbeddedResource<'v>> {
        let mut found = Vec::new();
        visit(self, value, &Place::ROOT, &mut |object, at| {
            found.push(EmbeddedResource { path: at.bracketed(), object });
        });
        found
    }
}

/// Tells what embedded resources lack of a type.
pub(crate) fn check(schema: &Schema, value: &Value, findings: &mut Findings) {
    visit(schema, value, &Place::ROOT, &mut |object, at| check_type(object, at, findings));
}

fn visit<'v>(
    schema: &Schema,
    value: &'v Value,
    at: &Place<'_>,
    found: &mut impl FnMut(&'v Map<String, Value>, &Place<'_>),
) {
    if !schema.constraints.below.embedded {
        return;
    }
    match value {
        Value::Object(fields) => {
            if schema.embedded_resource {
                found(fields, at);
            }
            for (name, field) in fields {
                if let Some(child) = schema.declared(name) {
                    let declared = schema.properties.contains_key(name);
                    let at = if declared { at.field(name) } else { at.key(name) };
                    visit(child, field, &at, found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    visit(child, item, &at.index(index), found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `apiVersion` and `kind` are there and well-formed. Values that are no strings are told as such by validation.
fn check_type(object: &Map<String, Value>, at: &Place<'_>, findings: &mut Findings) {
    for name in ["apiVersion", "kind"] {
        let at = at.field(name);
        let complaint = match object.get(name) {
            None => {
                findings.add(|| FieldError::required(at.bracketed(), ""));
                continue;
            }
            Some(Value::String(text)) if text.is_empty() => Some("must not be empty".to_owned()),
            Some(Value::String(text)) if name == "apiVersion" => api_version_complaint(text),
            Some(Value::String(text)) => kind_complaint(text),
            Some(_) => None,
        };
        if let Some(words) = complaint {
            let value = object.get(name).cloned().unwrap_or_default();
            findings.add(|| FieldError::invalid(at.bracketed(), value, words));
        }
    }
}

fn api_version_complaint(text: &str) -> Option<String> {
    (text.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {text}"))
}

fn kind_complaint(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let inner = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.chars().all(inner)
        && !lower.ends_with('-');
    let mut complaints = Vec::new();
    if lower.len() > 63 {
        complaints.push("must be no more than 63 bytes");
    }
    if !is_label {
        complaints.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        );
    }
    let words = || format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
    (!complaints.is_empty()).then(words)
}
