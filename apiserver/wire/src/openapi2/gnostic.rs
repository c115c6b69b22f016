//! The document of v2 as gnostic's protobuf, part by part.

use super::messages as pb;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

/// Appends a path to the bytes of a `Paths`.
pub(super) fn path(name: &str, item: &Value, out: &mut Vec<u8>) {
    let operation = |method: &str| item.get(method).map(operation_of);
    let value = pb::PathItem {
        get: operation("get"),
        put: operation("put"),
        post: operation("post"),
        delete: operation("delete"),
        options: operation("options"),
        head: operation("head"),
        patch: operation("patch"),
        parameters: list(item, "parameters").iter().map(parameter).collect(),
    };
    let named = pb::NamedPathItem { name: name.to_owned(), value: Some(value) };
    field(pb::PATHS_PATH, &named.encode_to_vec(), out);
}

/// Appends a definition to the bytes of a `Definitions`.
pub(super) fn definition(name: &str, schema: &Value, out: &mut Vec<u8>) {
    let named = pb::NamedSchema { name: name.to_owned(), value: Some(self::schema(schema)) };
    field(pb::DEFINITIONS_SCHEMA, &named.encode_to_vec(), out);
}

/// A `Document` of the bytes of its parts.
pub(super) fn document(head: &Value, paths: &[u8], definitions: &[u8]) -> Vec<u8> {
    let keys = head.get("securityDefinitions").and_then(Value::as_object).into_iter().flatten();
    let api_key = |key: &Value| pb::ApiKeySecurity {
        kind: text(key, "type"),
        name: text(key, "name"),
        place: text(key, "in"),
        description: text(key, "description"),
    };
    let definitions_of_keys = keys
        .map(|(name, key)| pb::NamedSecurityDefinitionsItem {
            name: name.clone(),
            value: Some(pb::SecurityDefinitionsItem { api_key: Some(api_key(key)) }),
        })
        .collect();
    let requirement = |of: &Value| pb::SecurityRequirement {
        additional_properties: of
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| pb::NamedStringArray {
                name: name.clone(),
                value: Some(pb::StringArray::default()),
            })
            .collect(),
    };
    let info = head.get("info").unwrap_or(&Value::Null);
    let head = pb::Head {
        swagger: text(head, "swagger"),
        info: Some(pb::Info { title: text(info, "title"), version: text(info, "version") }),
        security: list(head, "security").iter().map(requirement).collect(),
        security_definitions: Some(pb::SecurityDefinitions { additional_properties: definitions_of_keys }),
    };
    let mut out = Vec::with_capacity(paths.len() + definitions.len() + 512);
    // Fields may come in any order.
    out.extend_from_slice(&head.encode_to_vec());
    field(pb::PATHS, paths, &mut out);
    field(pb::DEFINITIONS, definitions, &mut out);
    out
}

/// Appends a field that holds a message.
fn field(number: u32, message: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

fn operation_of(operation: &Value) -> pb::Operation {
    let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
    let response = |(code, response): (&String, &Value)| pb::NamedResponseValue {
        name: code.clone(),
        value: Some(pb::ResponseValue {
            response: Some(pb::Response {
                description: text(response, "description"),
                schema: response
                    .get("schema")
                    .map(|schema| pb::SchemaItem { schema: Some(self::schema(schema)) }),
            }),
        }),
    };
    pb::Operation {
        tags: texts(operation, "tags"),
        description: text(operation, "description"),
        operation_id: text(operation, "operationId"),
        produces: texts(operation, "produces"),
        consumes: texts(operation, "consumes"),
        parameters: list(operation, "parameters").iter().map(parameter).collect(),
        responses: Some(pb::Responses { response_code: responses.map(response).collect() }),
        schemes: texts(operation, "schemes"),
        vendor_extension: extensions(operation),
    }
}

fn parameter(parameter: &Value) -> pb::ParametersItem {
    let flag = |name: &str| parameter.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (place, name, kind) = (text(parameter, "in"), text(parameter, "name"), text(parameter, "type"));
    let (required, unique_items) = (flag("required"), flag("uniqueItems"));
    let description = text(parameter, "description");
    let mut out = pb::Parameter::default();
    match place.as_str() {
        "body" => {
            let schema = parameter.get("schema").map(schema);
            out.body = Some(pb::BodyParameter { name, place, required, schema });
        }
        "path" => {
            let path = pb::PathParameter { required, place, description, name, kind, unique_items };
            out.other = Some(pb::NonBodyParameter { query: None, path: Some(path) });
        }
        _ => {
            let query = pb::QueryParameter { required, place, description, name, kind, unique_items };
            out.other = Some(pb::NonBodyParameter { query: Some(query), path: None });
        }
    }
    pb::ParametersItem { parameter: Some(out) }
}

fn schema(schema: &Value) -> pb::Schema {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let whole = |name: &str| schema.get(name).and_then(Value::as_i64).unwrap_or(0);
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
    let kind = text(schema, "type");
    pb::Schema {
        reference: text(schema, "$ref"),
        format: text(schema, "format"),
        title: text(schema, "title"),
        description: text(schema, "description"),
        default: schema.get("default").map(any),
        multiple_of: number("multipleOf"),
        maximum: number("maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        max_length: whole("maxLength"),
        min_length: whole("minLength"),
        pattern: text(schema, "pattern"),
        max_items: whole("maxItems"),
        min_items: whole("minItems"),
        unique_items: flag("uniqueItems"),
        max_properties: whole("maxProperties"),
        min_properties: whole("minProperties"),
        required: texts(schema, "required"),
        allowed: list(schema, "enum").iter().map(any).collect(),
        additional_properties: schema.get("additionalProperties").map(additional),
        kind: (!kind.is_empty()).then(|| pb::TypeItem { value: vec![kind] }),
        items: schema.get("items").map(|items| pb::ItemsItem { schema: vec![self::schema(items)] }),
        properties: schema.get("properties").and_then(Value::as_object).map(properties),
        vendor_extension: extensions(schema),
    }
}

fn additional(value: &Value) -> pb::AdditionalPropertiesItem {
    match value.as_bool() {
        Some(boolean) => pb::AdditionalPropertiesItem { schema: None, boolean: Some(boolean) },
        None => pb::AdditionalPropertiesItem { schema: Some(Box::new(schema(value))), boolean: None },
    }
}

fn properties(map: &Map<String, Value>) -> pb::Properties {
    let named =
        |(name, value): (&String, &Value)| pb::NamedSchema { name: name.clone(), value: Some(schema(value)) };
    pb::Properties { additional_properties: map.iter().map(named).collect() }
}

/// Everything that begins with `x-`.
fn extensions(of: &Value) -> Vec<pb::NamedAny> {
    let all = of.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
    all.map(|(name, value)| pb::NamedAny { name: name.clone(), value: Some(any(value)) }).collect()
}

fn any(value: &Value) -> pb::Any {
    pb::Any { yaml: yaml(value) }
}

/// Any value as YAML, of which JSON is a part but for some characters that YAML takes for breaks, or not at all. They
/// stand in strings alone.
pub(super) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(of: &Value, name: &str) -> Vec<String> {
    list(of, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
