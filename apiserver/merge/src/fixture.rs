//! Schemas and objects for tests.

use crate::Context;
use hypermesh_structural::{JsonType, ListType, Schema};
use serde_json::{Value, json};

/// A schema from the OpenAPI form, for the words that merging reads.
pub(crate) fn schema(value: &Value) -> Schema {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or_default();
    let keys = || value["x-kubernetes-list-map-keys"].as_array().unwrap().iter();
    Schema {
        kind: text("type").map(|kind| match kind {
            "object" => JsonType::Object,
            "array" => JsonType::Array,
            "string" => JsonType::String,
            "integer" => JsonType::Integer,
            "number" => JsonType::Number,
            "boolean" => JsonType::Boolean,
            other => panic!("{other}"),
        }),
        default: value.get("default").cloned(),
        properties: value["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), Box::new(schema(value))))
            .collect(),
        additional: value.get("additionalProperties").map(|v| Box::new(schema(v))),
        items: value.get("items").map(|v| Box::new(schema(v))),
        list_type: match text("x-kubernetes-list-type") {
            None | Some("atomic") => ListType::Atomic,
            Some("set") => ListType::Set,
            Some(_) => ListType::Map(keys().map(|k| k.as_str().unwrap().to_owned()).collect()),
        },
        atomic_map: text("x-kubernetes-map-type") == Some("atomic"),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded_resource: flag("x-kubernetes-embedded-resource"),
        patch_merge_key: text("x-kubernetes-patch-merge-key").map(str::to_owned),
        patch_strategy: text("x-kubernetes-patch-strategy").map(str::to_owned),
        ..Schema::default()
    }
}

/// A kind with one of everything.
pub(crate) fn asset() -> Schema {
    let string = json!({"type": "string"});
    let port = json!({
        "type": "object",
        "properties": {
            "containerPort": {"type": "integer"},
            "protocol": {"type": "string", "default": "TCP"},
            "name": string,
        },
    });
    let container = json!({
        "type": "object",
        "properties": {
            "name": string,
            "image": string,
            "args": {"type": "array", "items": string},
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
                "x-kubernetes-patch-merge-key": "containerPort",
                "x-kubernetes-patch-strategy": "merge",
                "items": port,
            },
        },
    });
    schema(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "color": string,
                    "replicas": {"type": "integer"},
                    "tags": {
                        "type": "array",
                        "x-kubernetes-list-type": "set",
                        "x-kubernetes-patch-strategy": "merge",
                        "items": string,
                    },
                    "steps": {"type": "array", "items": string},
                    "limits": {"type": "object", "additionalProperties": string},
                    "position": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                    },
                    "strategy": {
                        "type": "object",
                        "x-kubernetes-patch-strategy": "retainKeys",
                        "properties": {"type": string, "rolling": {"type": "object"}},
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "template": {
                        "type": "object",
                        "x-kubernetes-embedded-resource": true,
                        "x-kubernetes-preserve-unknown-fields": true,
                    },
                    "containers": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "x-kubernetes-patch-merge-key": "name",
                        "x-kubernetes-patch-strategy": "merge",
                        "items": container,
                    },
                },
            },
            "status": {"type": "object", "properties": {"phase": string}},
        },
    }))
}

/// An asset with this spec.
pub(crate) fn object(spec: Value) -> Value {
    json!({"apiVersion": "hm.example.com/v1", "kind": "Asset", "metadata": {"name": "a1"}, "spec": spec})
}

/// The block time of tests, `second` seconds into a minute.
pub(crate) fn at(second: u8) -> String {
    format!("2026-11-21T09:18:{second:02}Z")
}

/// A write by `manager`.
pub(crate) fn by<'a>(schema: &'a Schema, manager: &'a str, time: &'a str) -> Context<'a> {
    Context {
        schema,
        manager,
        api_version: "hm.example.com/v1",
        subresource: "",
        time,
        force: false,
        reset: &[&["status"]],
    }
}

/// `manager/operation[/subresource] @time: fields`, a line for each entry.
pub(crate) fn entries(object: &Value) -> String {
    let line = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        let subresource = entry["subresource"].as_str().map(|s| format!("/{s}")).unwrap_or_default();
        let time = text("time");
        let second = time.get(17..19).unwrap_or("-");
        format!("{}/{}{subresource} @{second} {}", text("manager"), text("operation"), entry["fieldsV1"])
    };
    let list = object["metadata"]["managedFields"].as_array();
    list.map(|list| list.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap_or_default()
}
