use super::*;
use crate::fixtures::{asset, token};
use crate::gnostic::{Any, Form, NamedAny};
use serde_json::json;

/// A whole `Document`, to read what was written in parts.
#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    openapi: String,
    #[prost(message, optional, tag = "2")]
    info: Option<pb::Info>,
    #[prost(message, optional, tag = "4")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "5")]
    components: Option<Components>,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "1")]
    path: Vec<pb::NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Components {
    #[prost(message, optional, tag = "1")]
    schemas: Option<pb::Properties>,
    #[prost(message, optional, tag = "7")]
    security_schemes: Option<pb::SecuritySchemes>,
}

/// An object of what says something: nothing that is false, empty or zero.
struct Said(Map<String, Value>);

impl Said {
    fn new() -> Self {
        Self(Map::new())
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let silent = match &value {
            Value::Null => true,
            Value::Bool(boolean) => !boolean,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(_) => false,
        };
        if !silent {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    fn and(mut self, extensions: &[NamedAny]) -> Value {
        for extension in extensions {
            self.0.insert(extension.name.clone(), value_of(extension.value.as_ref().unwrap()));
        }
        Value::Object(self.0)
    }
}

fn value_of(any: &Any) -> Value {
    serde_json::from_str(&any.yaml).unwrap()
}

fn json_of_schema(schema: &pb::Schema) -> Value {
    let all = |of: &[pb::SchemaOrReference]| of.iter().map(json_of).collect::<Vec<_>>();
    let default = schema.default.as_ref().map(|default| {
        let scalars = [
            default.number.map(Value::from),
            default.boolean.map(Value::from),
            default.text.clone().map(Value::from),
        ];
        let mut set = scalars.into_iter().flatten();
        let only = set.next().unwrap();
        assert_eq!(set.next(), None);
        only
    });
    let mut said = Said::new()
        .with("nullable", schema.nullable)
        .with("readOnly", schema.read_only)
        .with("writeOnly", schema.write_only)
        .with("deprecated", schema.deprecated)
        .with("title", schema.title.clone())
        .with("multipleOf", schema.multiple_of)
        .with("maximum", schema.maximum)
        .with("exclusiveMaximum", schema.exclusive_maximum)
        .with("minimum", schema.minimum)
        .with("exclusiveMinimum", schema.exclusive_minimum)
        .with("maxLength", schema.max_length)
        .with("minLength", schema.min_length)
        .with("pattern", schema.pattern.clone())
        .with("maxItems", schema.max_items)
        .with("minItems", schema.min_items)
        .with("uniqueItems", schema.unique_items)
        .with("maxProperties", schema.max_properties)
        .with("minProperties", schema.min_properties)
        .with("required", schema.required.clone())
        .with("enum", schema.allowed.iter().map(value_of).collect::<Vec<_>>())
        .with("type", schema.kind.clone())
        .with("allOf", all(&schema.all_of))
        .with("oneOf", all(&schema.one_of))
        .with("anyOf", all(&schema.any_of))
        .with("description", schema.description.clone())
        .with("format", schema.format.clone());
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            said.0.insert(name.to_owned(), value);
        }
    };
    put("default", default);
    put("example", schema.example.as_ref().map(value_of));
    put("not", schema.not.as_ref().map(|not| json_of_schema(not)));
    put("items", schema.items.as_ref().map(|items| json_of(&items.schemas[0])));
    put("properties", schema.properties.as_ref().map(json_of_properties));
    put(
        "additionalProperties",
        schema.additional_properties.as_ref().map(|item| match (&item.schema, item.boolean) {
            (Some(schema), None) => json_of(schema),
            (None, Some(boolean)) => boolean.into(),
            other => panic!("{other:?}"),
        }),
    );
    said.and(&schema.extensions)
}

fn json_of_properties(properties: &pb::Properties) -> Value {
    let all = properties.additional_properties.iter();
    all.map(|named| (named.name.clone(), json_of(named.value.as_ref().unwrap())))
        .collect::<Map<_, _>>()
        .into()
}

fn json_of(schema: &pb::SchemaOrReference) -> Value {
    match (&schema.schema, &schema.reference) {
        (Some(schema), None) => json_of_schema(schema),
        (None, Some(reference)) => json!({"$ref": reference.target}),
        other => panic!("{other:?}"),
    }
}

fn json_of_parameter(parameter: &pb::ParameterOrReference) -> Value {
    let parameter = parameter.parameter.as_ref().unwrap();
    Said::new()
        .with("name", parameter.name.clone())
        .with("in", parameter.place.clone())
        .with("description", parameter.description.clone())
        .with("required", parameter.required)
        .with("schema", parameter.schema.as_ref().map_or(Value::Null, json_of))
        .and(&[])
}

fn json_of_content(content: Option<&pb::MediaTypes>) -> Value {
    let Some(content) = content else { return Value::Null };
    let media = |named: &pb::NamedMediaType| {
        let schema = named.value.as_ref().unwrap().schema.as_ref();
        (named.name.clone(), json!({"schema": json_of(schema.unwrap())}))
    };
    content.additional_properties.iter().map(media).collect::<Map<_, _>>().into()
}

fn json_of_operation(operation: &pb::Operation) -> Value {
    let body = operation.request_body.as_ref().map(|body| {
        let body = body.request_body.as_ref().unwrap();
        let content = json_of_content(body.content.as_ref());
        Said::new().with("content", content).with("required", body.required).and(&[])
    });
    let responses = operation.responses.as_ref().unwrap().responses.iter().map(|named| {
        let response = named.value.as_ref().unwrap().response.as_ref().unwrap();
        let content = json_of_content(response.content.as_ref());
        let said = Said::new().with("description", response.description.clone()).with("content", content);
        (named.name.clone(), said.and(&[]))
    });
    Said::new()
        .with("tags", operation.tags.clone())
        .with("description", operation.description.clone())
        .with("operationId", operation.operation_id.clone())
        .with("parameters", operation.parameters.iter().map(json_of_parameter).collect::<Vec<_>>())
        .with("requestBody", body.unwrap_or_default())
        .with("responses", responses.collect::<Map<_, _>>())
        .and(&operation.extensions)
}

fn json_of_item(item: &pb::PathItem) -> Value {
    let of = |operation: &Option<pb::Operation>| operation.as_ref().map_or(Value::Null, json_of_operation);
    Said::new()
        .with("get", of(&item.get))
        .with("put", of(&item.put))
        .with("post", of(&item.post))
        .with("delete", of(&item.delete))
        .with("options", of(&item.options))
        .with("head", of(&item.head))
        .with("patch", of(&item.patch))
        .with("parameters", item.parameters.iter().map(json_of_parameter).collect::<Vec<_>>())
        .and(&[])
}

fn json_of_document(document: &Document) -> Value {
    let info = document.info.clone().unwrap();
    let components = document.components.clone().unwrap();
    let paths = document.paths.clone().unwrap().path;
    let paths = paths.iter().map(|named| (named.name.clone(), json_of_item(named.value.as_ref().unwrap())));
    let security = components.security_schemes.unwrap().additional_properties.into_iter().map(|named| {
        let scheme = named.value.unwrap().security_scheme.unwrap();
        let said = json!({
            "type": scheme.kind, "name": scheme.name, "in": scheme.place, "description": scheme.description,
        });
        (named.name, said)
    });
    json!({
        "openapi": document.openapi,
        "info": {"title": info.title, "version": info.version},
        "paths": paths.collect::<Map<_, _>>(),
        "components": {
            "schemas": json_of_properties(&components.schemas.unwrap()),
            "securitySchemes": security.collect::<Map<_, _>>(),
        },
    })
}

/// Keywords whose value is a map of names, not a schema.
const NAMED: [&str; 4] = ["properties", "schemas", "content", "responses"];

/// What the messages have no place for, and one form for numbers.
fn as_protobuf_says_it(value: &mut Value, names: bool) {
    match value {
        Value::Object(map) => {
            if !names {
                map.retain(|key, value| match key.as_str() {
                    "default" => !(value.is_object() || value.is_array() || value.is_null()),
                    "minimum" | "maximum" | "minLength" | "minItems" | "minProperties" => {
                        value.as_f64() != Some(0.0)
                    }
                    "required" | "nullable" | "uniqueItems" => *value != json!(false) && *value != json!([]),
                    _ => true,
                });
            }
            for (key, value) in map {
                as_protobuf_says_it(value, !names && NAMED.contains(&key.as_str()));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| as_protobuf_says_it(item, false)),
        Value::Number(number) => *value = json!(number.as_f64().unwrap()),
        _ => {}
    }
}

#[track_caller]
fn both_forms_say_the_same(catalog: &Catalog<'_>, group: &str) -> Value {
    let form = |form| crate::openapi::document(catalog, group, "v1", form).unwrap();
    let mut json: Value = serde_json::from_slice(&form(Form::Json)).unwrap();
    as_protobuf_says_it(&mut json, false);
    let mut decoded = json_of_document(&Document::decode(form(Form::Protobuf).as_slice()).unwrap());
    as_protobuf_says_it(&mut decoded, false);
    for part in ["paths", "components"] {
        for (name, value) in json[part].as_object().unwrap() {
            assert_eq!(&decoded[part][name], value, "{group}: {name}");
        }
    }
    assert_eq!(decoded, json, "{group}");
    json
}

#[test]
fn both_forms_of_everything_that_is_served_say_the_same() {
    let (mut kinds, virtuals) = (hypermesh_schemas::definitions(), [token()]);
    kinds.push(asset());
    let catalog = Catalog::new(&kinds, &virtuals);
    for (group, _) in catalog.groups() {
        both_forms_say_the_same(&catalog, group);
    }
}

#[test]
fn every_keyword_of_a_schema_is_carried() {
    let mut kind = asset();
    kind.schema = json!({
        "type": "object", "required": ["a"], "minProperties": 1, "maxProperties": 9,
        "properties": {
            "a": {
                "type": "string", "title": "t", "format": "date-time", "pattern": "^a", "minLength": 2,
                "maxLength": 8, "default": "x", "enum": ["x", "y\u{85}"], "nullable": true, "example": {"b": 1},
            },
            "n": {
                "type": "number", "multipleOf": 0.5, "minimum": -1, "maximum": 2.5, "exclusiveMinimum": true,
                "exclusiveMaximum": true, "default": 1,
            },
            "flag": {"type": "boolean", "default": true, "readOnly": true, "deprecated": true},
            "off": {"type": "boolean", "default": false, "writeOnly": true},
            "list": {
                "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3, "uniqueItems": true,
                "default": [], "x-kubernetes-list-type": "set",
            },
            "map": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
            "open": {"type": "object", "additionalProperties": true},
            "either": {
                "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}],
                "oneOf": [{"not": {"required": ["z"]}}], "allOf": [{"$ref": "#/components/schemas/x"}],
            },
            "default": {"type": "string"},
            "required": {"type": "string"},
        },
        "x-kubernetes-validations": [{"rule": "self.a != 'b'", "message": "m"}],
    });
    let kinds = [kind];
    let json = both_forms_say_the_same(&Catalog::new(&kinds, []), "hm.example.com");
    let properties = &json["components"]["schemas"]["com.example.hm.v1.Asset"]["properties"];
    assert_eq!(properties["a"]["enum"], json!(["x", "y\u{85}"]));
    assert_eq!(properties["default"], json!({"type": "string"}));
}

#[test]
fn any_schema_is_carried() {
    for schema in [
        json!(null),
        json!(true),
        json!({"properties": 3}),
        json!({"required": 1, "type": ["a"], "items": [], "not": 2, "allOf": [1], "additionalProperties": 3}),
    ] {
        let mut kind = asset();
        kind.schema = schema;
        let kinds = [kind];
        let catalog = Catalog::new(&kinds, []);
        let bytes = crate::openapi::document(&catalog, "hm.example.com", "v1", Form::Protobuf).unwrap();
        let decoded = Document::decode(bytes.as_slice()).unwrap();
        // Every schema is a schema or a reference: readers panic at one that is neither.
        json_of_document(&decoded);
    }
}
