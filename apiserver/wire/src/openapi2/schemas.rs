//! Schemas of v3 in the form of v2.
//!
//! Source: `k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2/conversion.go` for custom kinds. Built-in kinds keep
//! the shape of what may be null, as they do there: v2 just does not say that it may.

use serde_json::{Map, Value};

const V3: &str = "#/components/schemas/";
const V2: &str = "#/definitions/";

/// Keywords of a schema whose values are handed on as they are. Those that begin with `x-` are as well.
const KEPT: [&str; 18] = [
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "title",
    "type",
    "uniqueItems",
];

/// A reference, with what it says of itself.
pub(super) fn reference(target: &str) -> Value {
    let target = target.strip_prefix(V3).map_or_else(|| target.to_owned(), |name| format!("{V2}{name}"));
    Value::Object(Map::from_iter([("$ref".to_owned(), target.into())]))
}

/// A schema. What is no object describes nothing.
pub(super) fn schema(schema: Value, built_in: bool) -> Value {
    let Value::Object(mut from) = schema else { return Value::Object(Map::new()) };
    if let Some(target) = target(&from) {
        let mut to = reference(&target);
        if let Some(description) = from.remove("description") {
            to["description"] = description;
        }
        return to;
    }
    let flag = |name: &str| from.get(name).and_then(Value::as_bool) == Some(true);
    let untyped = !built_in && flag("nullable");
    let open = !built_in && flag("x-kubernetes-preserve-unknown-fields");
    let mut to = Map::new();
    let required = required(&from, built_in);
    for (keyword, value) in from {
        match keyword.as_str() {
            "properties" if !untyped && !open => {
                to.insert(keyword, properties(value, built_in));
            }
            "items" if !untyped && !open => {
                to.insert(keyword, self::schema(value, built_in));
            }
            "additionalProperties" if value.is_boolean() => {
                to.insert(keyword, value);
            }
            "additionalProperties" => {
                to.insert(keyword, self::schema(value, built_in));
            }
            // An empty object by default is what a struct of Go is: nothing that its readers could use.
            "default" if !value.as_object().is_some_and(Map::is_empty) && !value.is_null() => {
                to.insert(keyword, value);
            }
            name if KEPT.contains(&name) || name.starts_with("x-") => {
                to.insert(keyword, value);
            }
            _ => {}
        }
    }
    if !required.is_empty() {
        to.insert("required".into(), required.into());
    }
    let listless = to.get("type").is_some_and(|kind| kind == "array") && !to.contains_key("items");
    let openly = open && to.get("type").is_some_and(|kind| kind == "object");
    if untyped || listless || openly {
        to.remove("type");
    }
    Value::Object(to)
}

fn properties(properties: Value, built_in: bool) -> Value {
    let Value::Object(properties) = properties else { return Value::Object(Map::new()) };
    properties.into_iter().map(|(name, property)| (name, schema(property, built_in))).collect()
}

/// What a schema refers to, directly or by the one alternative that gives a reference a description in v3.
fn target(schema: &Map<String, Value>) -> Option<String> {
    let all = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let reference = match all {
        [one] => schema.get("$ref").or_else(|| one.get("$ref")),
        _ => schema.get("$ref"),
    };
    reference?.as_str().map(str::to_owned)
}

/// Fields that must be there; what may be null need not be, for v2 has no null.
fn required(schema: &Map<String, Value>, built_in: bool) -> Vec<Value> {
    let names = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let nullable = |name: &Value| {
        let field = name.as_str().and_then(|name| schema.get("properties")?.get(name));
        field.and_then(|field| field.get("nullable")).and_then(Value::as_bool) == Some(true)
    };
    names.into_iter().filter(|name| built_in || !nullable(name)).collect()
}
