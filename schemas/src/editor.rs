//! JSON Schemas for editors, in draft 7, which every YAML language server reads.
//!
//! They are stricter than the API server in one thing: an unknown field is an error in every object of known fields,
//! which is how an editor finds a misspelt one. They are laxer in one: CEL rules have no counterpart.

use crate::crd::strip;
use crate::definition::{KindDefinition, Scope};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

impl KindDefinition {
    /// `group/version`, or the version alone in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The JSON Schema of a manifest of this kind.
    pub fn to_json_schema(&self) -> Value {
        let mut schema = self.schema.clone();
        translate(&mut schema);
        let Value::Object(map) = &mut schema else { return schema };
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), self.names.kind.clone().into());
        let mut required = vec![json!("apiVersion"), json!("kind"), json!("metadata")];
        if let Some(Value::Array(own)) = map.remove("required") {
            required.extend(own);
        }
        map.insert("required".to_owned(), Value::Array(required));
        if let Some(Value::Object(properties)) = map.get_mut("properties") {
            properties.insert(
                "apiVersion".to_owned(),
                json!({"const": self.api_version(), "description": "Group and version of the kind."}),
            );
            properties
                .insert("kind".to_owned(), json!({"const": self.names.kind, "description": "The kind."}));
            properties.insert("metadata".to_owned(), metadata(self.scope));
        }
        schema
    }
}

/// One schema for every manifest: it looks at `apiVersion` and `kind` and refers to the kind's own schema beside it.
/// Manifests of other groups pass; within a group that is served, an unknown kind does not.
pub fn dispatching_schema(definitions: &[KindDefinition]) -> Value {
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut branches = Vec::new();
    for definition in definitions {
        let api_version = definition.api_version();
        branches.push(json!({
            "if": {
                "required": ["apiVersion", "kind"],
                "properties": {"apiVersion": {"const": api_version}, "kind": {"const": definition.names.kind}},
            },
            "then": {"$ref": file_name(definition)},
        }));
        kinds.entry(api_version).or_default().push(&definition.names.kind);
    }
    for (api_version, kinds) in &kinds {
        branches.push(json!({
            "if": {"required": ["apiVersion"], "properties": {"apiVersion": {"const": api_version}}},
            "then": {"properties": {"kind": {"enum": kinds}}},
        }));
    }
    let versions: Vec<&String> = kinds.keys().collect();
    let names: Vec<&str> = kinds.values().flatten().copied().collect();
    json!({
        "$schema": DRAFT,
        "title": "HyperMesh",
        "description": "A manifest of any kind that HyperMesh serves.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"anyOf": [{"enum": versions}, {"type": "string"}], "description": "Group and version of the kind."},
            "kind": {"anyOf": [{"enum": names}, {"type": "string"}], "description": "The kind."},
        },
        "allOf": branches,
    })
}

/// The file of a kind's schema, in one folder with all others.
pub(crate) fn file_name(definition: &KindDefinition) -> String {
    format!("{}.json", definition.names.singular)
}

/// From the structural subset to draft 7.
fn translate(schema: &mut Value) {
    each_node(schema, &mut |map| {
        if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            map.insert("type".to_owned(), json!(["integer", "string"]));
        }
        if map.remove("nullable") == Some(Value::Bool(true))
            && let Some(kind @ Value::String(_)) = map.get("type").cloned()
        {
            map.insert("type".to_owned(), json!([kind, "null"]));
        }
        if matches!(map.get("format").and_then(Value::as_str), Some("int32" | "int64" | "byte")) {
            map.remove("format");
        }
        if map.get("x-kubernetes-list-type") == Some(&json!("set")) {
            map.insert("uniqueItems".to_owned(), true.into());
        }
        let closed = map.contains_key("properties") || map.get("type") == Some(&json!("object"));
        if closed
            && !map.contains_key("additionalProperties")
            && !map.contains_key("x-kubernetes-preserve-unknown-fields")
        {
            map.insert("additionalProperties".to_owned(), false.into());
        }
    });
    strip(schema, &|keyword| keyword.starts_with("x-"));
}

fn each_node(node: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(map) = node else { return };
    visit(map);
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(keyword) {
            each_node(child, visit);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(|child| each_node(child, visit));
    }
}

/// What people write of `metadata`, and what they may leave in a manifest that they have read from the server.
fn metadata(scope: Scope) -> Value {
    let texts = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    let mut properties = json!({
        "name": {"type": "string", "description": "Name, unique among the objects of the kind."},
        "generateName": {"type": "string", "description": "Start of a name that the server completes."},
        "labels": texts("Labels, by which objects are chosen."),
        "annotations": texts("Notes of tools and people."),
        "finalizers": {
            "type": "array",
            "description": "What must be done before the deleted object goes.",
            "items": {"type": "string"},
        },
        "ownerReferences": {
            "type": "array",
            "description": "Objects with which this one goes.",
            "items": {
                "type": "object",
                "required": ["apiVersion", "kind", "name", "uid"],
                "additionalProperties": false,
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "name": {"type": "string"},
                    "uid": {"type": "string"},
                    "controller": {"type": "boolean"},
                    "blockOwnerDeletion": {"type": "boolean"},
                },
            },
        },
    });
    for kept in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "selfLink"] {
        properties[kept] =
            json!({"type": ["string", "null"], "readOnly": true, "description": "Kept by the server."});
    }
    for kept in ["generation", "deletionGracePeriodSeconds"] {
        properties[kept] = json!({"type": "integer", "readOnly": true, "description": "Kept by the server."});
    }
    properties["managedFields"] =
        json!({"type": "array", "readOnly": true, "description": "Kept by the server."});
    if scope == Scope::Namespaced {
        properties["namespace"] =
            json!({"type": "string", "description": "Namespace in which the object lives."});
    }
    json!({
        "type": "object",
        "description": "What every object has.",
        "additionalProperties": false,
        "anyOf": [{"required": ["name"]}, {"required": ["generateName"]}],
        "properties": properties,
    })
}
