//! The document of v2 as gnostic's protobuf, part by part.

use super::messages as pb;
use crate::gnostic::{any, extensions, field, flag, list, number, text, texts, whole};
use prost::Message;
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
    let (place, name, kind) = (text(parameter, "in"), text(parameter, "name"), text(parameter, "type"));
    let (required, unique_items) = (flag(parameter, "required"), flag(parameter, "uniqueItems"));
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
    let kind = text(schema, "type");
    pb::Schema {
        reference: text(schema, "$ref"),
        format: text(schema, "format"),
        title: text(schema, "title"),
        description: text(schema, "description"),
        default: schema.get("default").map(any),
        multiple_of: number(schema, "multipleOf"),
        maximum: number(schema, "maximum"),
        exclusive_maximum: flag(schema, "exclusiveMaximum"),
        minimum: number(schema, "minimum"),
        exclusive_minimum: flag(schema, "exclusiveMinimum"),
        max_length: whole(schema, "maxLength"),
        min_length: whole(schema, "minLength"),
        pattern: text(schema, "pattern"),
        max_items: whole(schema, "maxItems"),
        min_items: whole(schema, "minItems"),
        unique_items: flag(schema, "uniqueItems"),
        max_properties: whole(schema, "maxProperties"),
        min_properties: whole(schema, "minProperties"),
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
