//! From a Rust type to a structural OpenAPI v3 schema, in one place.
//!
//! schemars describes what serde reads in today's JSON Schema. An API server wants the structural subset: every node
//! has one type, nothing is referred to, unions are spelled out in validations. This module turns the one into the
//! other, and knows no kind.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The structural schema of `T`.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        settings.transforms.clear();
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    normalize(&mut schema);
    if let Value::Object(map) = &mut schema {
        map.remove("title");
    }
    schema
}

/// Brings a node and all below it into the structural form.
fn normalize(node: &mut Value) {
    let Value::Object(map) = node else { return };
    drop_null(map);
    merge_enumeration(map);
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if let Some(format) = map.get("format").and_then(Value::as_str) {
        let signed = match format {
            "uint8" | "uint16" | "uint32" | "int8" | "int16" => Some("int32"),
            "uint" | "uint64" | "int" => Some("int64"),
            _ => None,
        };
        if let Some(signed) = signed {
            map.insert("format".to_owned(), signed.into());
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(keyword) {
            normalize(child);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(normalize);
    }
}

/// `Option<T>` reads null as absence; on the wire of Kubernetes a field is either there or not.
fn drop_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
    let Some(Value::Array(branches)) = map.get_mut("anyOf") else { return };
    branches.retain(|branch| *branch != json!({"type": "null"}));
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        for (keyword, value) in only {
            map.entry(keyword).or_insert(value);
        }
    }
}

/// A Rust enum with documented variants comes as `oneOf` constants: here it is an `enum`, and the description lists
/// what each value means.
fn merge_enumeration(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get("oneOf") else { return };
    let mut values = Vec::new();
    let mut meanings = Vec::new();
    for branch in branches {
        match (branch.get("const"), branch.get("enum")) {
            (Some(value), _) => {
                if let (Some(value), Some(meaning)) =
                    (value.as_str(), branch.get("description").and_then(Value::as_str))
                {
                    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
                    meanings.push(format!("{value}: {}", meaning.trim_end_matches('.')));
                }
                values.push(value.clone());
            }
            (None, Some(Value::Array(plain))) => values.extend(plain.iter().cloned()),
            _ => return,
        }
    }
    map.remove("oneOf");
    map.insert("type".to_owned(), "string".into());
    map.insert("enum".to_owned(), Value::Array(values));
    let own = map.get("description").and_then(Value::as_str).unwrap_or_default();
    let description =
        if meanings.is_empty() { own.to_owned() } else { format!("{own} {}.", meanings.join("; ")) };
    map.insert("description".to_owned(), description.trim().into());
}

/// Calls `visit` with every node of a structural schema and its path from the root (`.spec.records[].name`).
pub(crate) fn walk<'s>(schema: &'s Value, visit: &mut impl FnMut(&str, &'s Map<String, Value>)) {
    fn descend<'s>(node: &'s Value, path: &str, visit: &mut impl FnMut(&str, &'s Map<String, Value>)) {
        let Value::Object(map) = node else { return };
        visit(path, map);
        if let Some(Value::Object(properties)) = map.get("properties") {
            for (name, child) in properties {
                descend(child, &format!("{path}.{name}"), visit);
            }
        }
        if let Some(items) = map.get("items") {
            descend(items, &format!("{path}[]"), visit);
        }
        if let Some(values) = map.get("additionalProperties") {
            descend(values, &format!("{path}{{}}"), visit);
        }
    }
    descend(schema, "", visit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    /// A thing.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Thing {
        /// Of two
        /// lines.
        text: String,
        small: Option<u16>,
        choice: Option<Choice>,
        map: BTreeMap<String, Option<Choice>>,
        #[serde(default)]
        list: Vec<Plain>,
    }

    /// A choice.
    #[derive(Deserialize, Serialize, JsonSchema)]
    enum Choice {
        /// The one.
        One,
        /// The other.
        Two,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    enum Plain {
        A,
        B,
    }

    #[test]
    fn a_type_becomes_structural() {
        let choice = json!({"description": "A choice. One: The one; Two: The other.", "type": "string", "enum": ["One", "Two"]});
        assert_eq!(
            schema_of::<Thing>(),
            json!({
                "type": "object",
                "description": "A thing.",
                "required": ["text", "map"],
                "properties": {
                    "text": {"type": "string", "description": "Of two lines."},
                    "small": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 65535},
                    "choice": choice,
                    "map": {"type": "object", "additionalProperties": choice},
                    "list": {"type": "array", "default": [], "items": {"type": "string", "enum": ["A", "B"]}},
                },
            })
        );
    }

    #[test]
    fn every_node_is_visited_with_its_path() {
        let mut paths = Vec::new();
        walk(&schema_of::<Thing>(), &mut |path, _| paths.push(path.to_owned()));
        assert_eq!(paths, ["", ".choice", ".list", ".list[]", ".map", ".map{}", ".small", ".text"]);
    }
}
