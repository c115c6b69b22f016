//! The document of a group-version as gnostic's protobuf, part by part: the whole is never held as messages.
//!
//! Two things that JSON says have no place in the messages, as in kube-apiserver's: a default that is no scalar, and a bound
//! of zero, which is not told from none.

use super::document::{head, parts, security_schemes};
use super::messages as pb;
use crate::catalog::Catalog;
use crate::gnostic::{any, extensions, field, flag, list, number, text, texts, whole};
use prost::Message;
use serde_json::{Map, Value};

/// The OpenAPI v3 document of a group-version as gnostic's `openapi.v3.Document`, or `None` where it is not served.
pub(super) fn document(catalog: &Catalog<'_>, group: &str, version: &str) -> Option<Vec<u8>> {
    let (from, schemas) = parts(catalog, group, version)?;
    let mut paths = Vec::new();
    for (name, item) in &from {
        let named = pb::NamedPathItem { name: name.clone(), value: Some(path_item(item)) };
        field(pb::PATHS_PATH, &named.encode_to_vec(), &mut paths);
    }
    let mut components = Vec::new();
    {
        let mut all = Vec::new();
        for (name, schema) in &schemas {
            let named =
                pb::NamedSchemaOrReference { name: name.clone(), value: Some(schema_or_reference(schema)) };
            field(pb::SCHEMAS_SCHEMA, &named.encode_to_vec(), &mut all);
        }
        field(pb::COMPONENTS_SCHEMAS, &all, &mut components);
    }
    let security = security().encode_to_vec();
    field(pb::COMPONENTS_SECURITY_SCHEMES, &security, &mut components);
    let head = head(version);
    let info = head.get("info").unwrap_or(&Value::Null);
    let head = pb::Head {
        openapi: text(&head, "openapi"),
        info: Some(pb::Info { title: text(info, "title"), version: text(info, "version") }),
    };
    let mut out = Vec::with_capacity(paths.len() + components.len() + 64);
    // Fields may come in any order.
    out.extend_from_slice(&head.encode_to_vec());
    field(pb::PATHS, &paths, &mut out);
    field(pb::COMPONENTS, &components, &mut out);
    Some(out)
}

fn security() -> pb::SecuritySchemes {
    let schemes = security_schemes();
    let scheme = |(name, scheme): (&String, &Value)| pb::NamedSecurityScheme {
        name: name.clone(),
        value: Some(pb::SecuritySchemeOrReference {
            security_scheme: Some(pb::SecurityScheme {
                kind: text(scheme, "type"),
                description: text(scheme, "description"),
                name: text(scheme, "name"),
                place: text(scheme, "in"),
            }),
        }),
    };
    let all = schemes.as_object().into_iter().flatten().map(scheme).collect();
    pb::SecuritySchemes { additional_properties: all }
}

fn path_item(item: &Value) -> pb::PathItem {
    let operation = |method: &str| item.get(method).map(operation);
    pb::PathItem {
        get: operation("get"),
        put: operation("put"),
        post: operation("post"),
        delete: operation("delete"),
        options: operation("options"),
        head: operation("head"),
        patch: operation("patch"),
        parameters: list(item, "parameters").iter().map(parameter).collect(),
    }
}

fn operation(operation: &Value) -> pb::Operation {
    let body = |body: &Value| pb::RequestBodyOrReference {
        request_body: Some(pb::RequestBody { content: content(body), required: flag(body, "required") }),
    };
    let response = |(code, response): (&String, &Value)| pb::NamedResponse {
        name: code.clone(),
        value: Some(pb::ResponseOrReference {
            response: Some(pb::Response {
                description: text(response, "description"),
                content: content(response),
            }),
        }),
    };
    let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
    pb::Operation {
        tags: texts(operation, "tags"),
        description: text(operation, "description"),
        operation_id: text(operation, "operationId"),
        parameters: list(operation, "parameters").iter().map(parameter).collect(),
        request_body: operation.get("requestBody").map(body),
        responses: Some(pb::Responses { responses: responses.map(response).collect() }),
        extensions: extensions(operation),
    }
}

fn parameter(parameter: &Value) -> pb::ParameterOrReference {
    pb::ParameterOrReference {
        parameter: Some(pb::Parameter {
            name: text(parameter, "name"),
            place: text(parameter, "in"),
            description: text(parameter, "description"),
            required: flag(parameter, "required"),
            schema: parameter.get("schema").map(schema_or_reference),
        }),
    }
}

/// What a body or a reply holds, by media type.
fn content(of: &Value) -> Option<pb::MediaTypes> {
    let named = |(name, media): (&String, &Value)| pb::NamedMediaType {
        name: name.clone(),
        value: Some(pb::MediaType { schema: media.get("schema").map(schema_or_reference) }),
    };
    let content = of.get("content").and_then(Value::as_object)?;
    Some(pb::MediaTypes { additional_properties: content.iter().map(named).collect() })
}

fn schema_or_reference(value: &Value) -> pb::SchemaOrReference {
    match value.get("$ref").and_then(Value::as_str) {
        Some(target) => pb::SchemaOrReference {
            schema: None,
            reference: Some(pb::Reference { target: target.to_owned() }),
        },
        None => pb::SchemaOrReference { schema: Some(schema(value)), reference: None },
    }
}

fn schema(schema: &Value) -> pb::Schema {
    let all = |name: &str| list(schema, name).iter().map(schema_or_reference).collect();
    pb::Schema {
        nullable: flag(schema, "nullable"),
        read_only: flag(schema, "readOnly"),
        write_only: flag(schema, "writeOnly"),
        example: schema.get("example").map(any),
        deprecated: flag(schema, "deprecated"),
        title: text(schema, "title"),
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
        kind: text(schema, "type"),
        all_of: all("allOf"),
        one_of: all("oneOf"),
        any_of: all("anyOf"),
        not: schema.get("not").map(|not| Box::new(self::schema(not))),
        items: schema.get("items").map(|items| pb::ItemsItem { schemas: vec![schema_or_reference(items)] }),
        properties: schema.get("properties").and_then(Value::as_object).map(properties),
        additional_properties: schema.get("additionalProperties").map(additional),
        default: schema.get("default").and_then(default),
        description: text(schema, "description"),
        format: text(schema, "format"),
        extensions: extensions(schema),
    }
}

fn properties(map: &Map<String, Value>) -> pb::Properties {
    let named = |(name, value): (&String, &Value)| pb::NamedSchemaOrReference {
        name: name.clone(),
        value: Some(schema_or_reference(value)),
    };
    pb::Properties { additional_properties: map.iter().map(named).collect() }
}

fn additional(value: &Value) -> pb::AdditionalPropertiesItem {
    match value.as_bool() {
        Some(boolean) => pb::AdditionalPropertiesItem { schema: None, boolean: Some(boolean) },
        None => {
            let schema = Some(Box::new(schema_or_reference(value)));
            pb::AdditionalPropertiesItem { schema, boolean: None }
        }
    }
}

fn default(value: &Value) -> Option<pb::DefaultType> {
    let mut default = pb::DefaultType::default();
    match value {
        Value::Number(number) => default.number = number.as_f64(),
        Value::Bool(boolean) => default.boolean = Some(*boolean),
        Value::String(text) => default.text = Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    }
    Some(default)
}

#[cfg(test)]
mod tests;
