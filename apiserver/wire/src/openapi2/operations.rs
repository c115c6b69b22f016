//! Paths and operations of v3 in the form of v2: bodies are parameters, and media types stand beside schemas.

use super::schemas::reference;
use serde_json::{Map, Value, json};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// A path with its operations.
pub(super) fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return Value::Object(Map::new()) };
    let mut out = Map::new();
    for (key, value) in item {
        let value = match key.as_str() {
            "parameters" => parameters(&value).into(),
            method if METHODS.contains(&method) => operation(value),
            _ => continue,
        };
        out.insert(key, value);
    }
    Value::Object(out)
}

fn operation(operation: Value) -> Value {
    let Value::Object(from) = operation else { return Value::Object(Map::new()) };
    let mut parameters = parameters(from.get("parameters").unwrap_or(&Value::Null));
    let mut consumes = vec!["*/*".to_owned()];
    if let Some(body) = from.get("requestBody") {
        let content = body.get("content").and_then(Value::as_object);
        consumes = content.into_iter().flatten().map(|(media, _)| media.clone()).collect();
        let mut parameter = json!({"name": "body", "in": "body", "schema": content_schema(body)});
        if body.get("required").and_then(Value::as_bool) == Some(true) {
            parameter["required"] = true.into();
        }
        parameters.push(parameter);
    }
    let mut produces = vec!["application/json", "application/yaml"];
    if from.get("x-kubernetes-action").is_some_and(|action| action == "list") {
        produces.push("application/json;stream=watch");
    }
    let responses: Map<String, Value> = from
        .get("responses")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(code, response)| (code.clone(), self::response(response)))
        .collect();
    let mut out = json!({
        "consumes": consumes, "produces": produces, "schemes": ["https"], "parameters": parameters,
        "responses": responses,
    });
    for (key, value) in from {
        if matches!(key.as_str(), "tags" | "description" | "operationId") || key.starts_with("x-") {
            out[key] = value;
        }
    }
    out
}

/// Parameters with their schema beside their name.
fn parameters(list: &Value) -> Vec<Value> {
    let flat = |parameter: &Value| {
        let mut out = parameter.as_object().cloned().unwrap_or_default();
        if let Some(Value::Object(schema)) = out.remove("schema") {
            out.extend(schema);
        }
        Value::Object(out)
    };
    list.as_array().into_iter().flatten().map(flat).collect()
}

fn response(response: &Value) -> Value {
    let mut out = json!({"description": response.get("description").cloned().unwrap_or_default()});
    if response.get("content").is_some() {
        out["schema"] = content_schema(response);
    }
    out
}

/// The schema of a body: the same for each of its media types.
fn content_schema(body: &Value) -> Value {
    let content = body.get("content").and_then(Value::as_object);
    let schema = content.into_iter().flatten().find_map(|(_, media)| media.get("schema"));
    match schema.and_then(|schema| schema.get("$ref")).and_then(Value::as_str) {
        Some(target) => reference(target),
        None => Value::Object(Map::new()),
    }
}
