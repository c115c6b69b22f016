//! A small structural-schema checker for tests: defaulting, validation, and CEL rules by the `cel` crate's own
//! evaluator. It shares no code with the API server's, so that the two can only agree by being right.

use cel::extractors::This;
use cel::{Context, Program};
use hypermesh_schemas::value::Duration;
use hypermesh_schemas::{KindDefinition, definitions};
use regex::Regex;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

/// The definition of a kind.
pub fn kind(name: &str) -> &'static KindDefinition {
    static KINDS: LazyLock<Vec<KindDefinition>> = LazyLock::new(definitions);
    KINDS.iter().find(|definition| definition.names.kind == name).unwrap()
}

/// Fills in defaults, as `apiextensions` does: from the outside in, into what is there.
pub fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in fields(schema) {
                if let (Some(default), false) = (child.get("default"), map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, member) in map {
                if let Some(child) = child_of(schema, name) {
                    default(child, member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| default(&schema["items"], item)),
        _ => {}
    }
}

/// Everything that is wrong with an object of a kind, `path: problem`, once defaults are filled in.
pub fn problems(definition: &KindDefinition, object: &Value, old: Option<&Value>) -> Vec<String> {
    let prepare = |object: &Value| {
        let mut object = object.clone();
        let map = object.as_object_mut().unwrap();
        for implied in ["apiVersion", "kind", "metadata"] {
            map.remove(implied);
        }
        default(&definition.schema, &mut object);
        object
    };
    let old = old.map(prepare);
    let mut found = Vec::new();
    check(&definition.schema, &prepare(object), old.as_ref(), "", &mut found);
    found
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn child_of<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema
        .get("properties")
        .and_then(|fields| fields.get(name))
        .or_else(|| schema.get("additionalProperties"))
}

fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str, found: &mut Vec<String>) {
    let before = found.len();
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    check_type(schema, value, path, found);
    if found.len() > before {
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        found.push(format!("{path}: {value} is not allowed"));
    }
    match value {
        Value::String(text) => check_text(schema, text, path, found),
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_i64);
            if bound("minimum").is_some_and(|min| number < min)
                || bound("maximum").is_some_and(|max| number > max)
            {
                found.push(format!("{path}: {number} is out of range"));
            }
        }
        Value::Array(items) => check_list(schema, items, path, found),
        Value::Object(map) => check_map(schema, map, old, path, found),
        _ => {}
    }
    if found.len() == before {
        check_rules(schema, value, old, path, found);
    }
}

fn check_type(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let expected = schema.get("type").and_then(Value::as_str).unwrap_or("integer or string");
    let right = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => value.is_i64() || value.is_string(),
    };
    if !right {
        found.push(format!("{path}: {value} is not of type {expected}"));
    }
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let bound =
        |keyword: &str| schema.get(keyword).and_then(Value::as_u64).map(|n| usize::try_from(n).unwrap());
    let length = text.chars().count();
    if bound("minLength").is_some_and(|min| length < min)
        || bound("maxLength").is_some_and(|max| length > max)
    {
        found.push(format!("{path}: {length} characters"));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        found.push(format!("{path}: {text:?} does not match {pattern}"));
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<String>) {
    let bound =
        |keyword: &str| schema.get(keyword).and_then(Value::as_u64).map(|n| usize::try_from(n).unwrap());
    if bound("minItems").is_some_and(|min| items.len() < min)
        || bound("maxItems").is_some_and(|max| items.len() > max)
    {
        found.push(format!("{path}: {} items", items.len()));
    }
    let keys: Vec<&str> = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let unique = schema.get("x-kubernetes-list-type").is_some_and(|kind| kind == "map" || kind == "set");
    let identity = |item: &Value| -> Vec<Value> {
        if keys.is_empty() { vec![item.clone()] } else { keys.iter().map(|key| item[*key].clone()).collect() }
    };
    for (at, item) in items.iter().enumerate() {
        if unique && items[..at].iter().any(|other| identity(other) == identity(item)) {
            found.push(format!("{path}[{at}]: duplicate"));
        }
        check(&schema["items"], item, None, &format!("{path}[{at}]"), found);
    }
}

fn check_map(
    schema: &Value,
    map: &Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    let bound =
        |keyword: &str| schema.get(keyword).and_then(Value::as_u64).map(|n| usize::try_from(n).unwrap());
    if bound("minProperties").is_some_and(|min| map.len() < min)
        || bound("maxProperties").is_some_and(|max| map.len() > max)
    {
        found.push(format!("{path}: {} fields", map.len()));
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = required.as_str().unwrap();
        if !map.contains_key(name) {
            found.push(format!("{path}.{name}: required"));
        }
    }
    for (name, member) in map {
        match child_of(schema, name) {
            Some(child) => {
                check(child, member, old.and_then(|old| old.get(name)), &format!("{path}.{name}"), found);
            }
            None if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) => {}
            None => found.push(format!("{path}.{name}: unknown field")),
        }
    }
}

fn check_rules(schema: &Value, value: &Value, old: Option<&Value>, path: &str, found: &mut Vec<String>) {
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let source = rule["rule"].as_str().unwrap();
        if source.contains("oldSelf") && old.is_none() {
            continue;
        }
        if !holds(source, value, old) {
            let field = rule.get("fieldPath").and_then(Value::as_str).unwrap_or_default();
            found.push(format!("{path}{field}: {}", rule["message"].as_str().unwrap()));
        }
    }
}

/// Evaluates a rule. What the `cel` crate leaves to features (durations, regular expressions) is added here, and the
/// names that Kubernetes escapes because CEL reserves them are unescaped.
fn holds(source: &str, value: &Value, old: Option<&Value>) -> bool {
    let source = &source.replace("__namespace__", "namespace");
    let program = Program::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let mut context = Context::default();
    context.add_variable("self", Signed(value)).unwrap();
    context.add_variable("oldSelf", old.map(Signed)).unwrap();
    context.add_function("duration", |text: Arc<String>| millis(&text)).unwrap();
    context
        .add_function("matches", |This(text): This<Arc<String>>, pattern: Arc<String>| {
            Regex::new(&pattern).unwrap().is_match(&text)
        })
        .unwrap();
    match program.execute(&context) {
        Ok(cel::Value::Bool(verdict)) => verdict,
        other => panic!("{source} on {value}: {other:?}"),
    }
}

/// A JSON value whose numbers are CEL's `int`: serde_json offers those that are not negative as unsigned.
struct Signed<'v>(&'v Value);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => serializer.serialize_i64(number.as_i64().unwrap()),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Signed)),
            Value::Object(map) => {
                serializer.collect_map(map.iter().map(|(name, member)| (name, Signed(member))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn millis(text: &str) -> i64 {
    i64::try_from(Duration::parse(text).unwrap().as_millis()).unwrap()
}
