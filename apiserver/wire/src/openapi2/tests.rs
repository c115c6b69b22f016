use super::messages as pb;
use super::*;
use crate::fixtures::{asset, namespace, token};
use prost::Message;
use std::collections::BTreeSet;

/// A whole `Document`, to read what was written in parts.
#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<pb::Properties>,
    #[prost(message, optional, tag = "13")]
    security_definitions: Option<pb::SecurityDefinitions>,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<pb::NamedPathItem>,
}

fn json_of(catalog: &Catalog<'_>) -> Value {
    serde_json::from_slice(&document(catalog, Form::Json)).unwrap()
}

/// What kube-openapi's `proto.NewOpenAPIData` refuses, and with it the whole document.
fn understood(schema: &Value, names: &BTreeSet<String>, at: &str) {
    if let Some(target) = schema.get("$ref") {
        let name = target.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
        assert!(names.contains(name), "{at}: {name}");
        assert!(schema.get("type").is_none() && schema.get("properties").is_none(), "{at}: {schema}");
        return;
    }
    for junctor in ["allOf", "anyOf", "oneOf", "not", "nullable"] {
        assert!(schema.get(junctor).is_none(), "{at}: {junctor}");
    }
    let kind = schema.get("type").map(|kind| kind.as_str().unwrap());
    match kind {
        Some("array") => understood(&schema["items"], names, &format!("{at}[]")),
        Some("object" | "string" | "integer" | "number" | "boolean") | None => {}
        Some(other) => panic!("{at}: {other}"),
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        assert!(matches!(kind, Some("object") | None), "{at}: {schema}");
        understood(property, names, &format!("{at}.{name}"));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        understood(values, names, &format!("{at}{{}}"));
    }
}

#[test]
fn every_schema_is_one_that_clients_understand() {
    let (mut kinds, virtuals) = (hypermesh_schemas::definitions(), [token()]);
    kinds.push(asset());
    let document = json_of(&Catalog::new(&kinds, &virtuals));
    let definitions = document["definitions"].as_object().unwrap();
    let names: BTreeSet<String> = definitions.keys().cloned().collect();
    for (name, schema) in definitions {
        understood(schema, &names, name);
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{path} {method}: {id}");
            let bodies = operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "body");
            assert!(bodies.count() <= 1, "{path} {method}");
        }
    }
    assert!(ids.len() > 100);
}

#[test]
fn what_clients_merge_by_is_there() {
    let kinds = hypermesh_schemas::definitions();
    let document = json_of(&Catalog::new(&kinds, []));
    let of = |name: &str| document["definitions"][name].clone();
    let meta = of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let owners = &meta["properties"]["ownerReferences"];
    assert_eq!(owners["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(owners["x-kubernetes-patch-merge-key"], "uid");
    assert_eq!(owners["x-kubernetes-list-map-keys"], json!(["uid"]));
    let map = of("io.k8s.api.core.v1.ConfigMap");
    let gvk = json!([{"group": "", "version": "v1", "kind": "ConfigMap"}]);
    assert_eq!(map["x-kubernetes-group-version-kind"], gvk);
    assert_eq!(
        map["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    let namespace = of("io.k8s.api.core.v1.Namespace");
    let conditions = &namespace["properties"]["status"]["properties"]["conditions"];
    assert_eq!(
        (&conditions["type"], &conditions["x-kubernetes-list-type"]),
        (&json!("array"), &json!("map"))
    );
    // What may be null keeps its shape in a built-in kind.
    let binding = of("io.k8s.authorization.rbac.v1.RoleBinding");
    assert_eq!(binding["properties"]["subjects"]["type"], "array");
    let options = of("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let homes = options["x-kubernetes-group-version-kind"].as_array().unwrap();
    assert!(homes.len() >= 4 && homes.iter().all(|home| home["kind"] == "DeleteOptions"), "{homes:?}");
}

#[test]
fn what_v2_cannot_say_is_left_out_of_custom_kinds() {
    let from = json!({
        "type": "object", "required": ["a", "n"],
        "properties": {
            "a": {"type": "string", "default": "x", "pattern": "^a"},
            "n": {"type": "object", "nullable": true, "properties": {"b": {"type": "string"}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"b": {"type": "string"}}},
            "either": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "list": {"type": "array", "nullable": true, "items": {"type": "string"}},
            "map": {"type": "object", "default": {}, "additionalProperties": {"type": "integer", "nullable": true}},
        },
        "oneOf": [{"required": ["a"]}],
    });
    insta::assert_snapshot!(serde_json::to_string_pretty(&schemas::schema(from, false)).unwrap(), @r#"
{
  "properties": {
    "a": {
      "default": "x",
      "pattern": "^a",
      "type": "string"
    },
    "either": {
      "x-kubernetes-int-or-string": true
    },
    "list": {},
    "map": {
      "additionalProperties": {},
      "type": "object"
    },
    "n": {},
    "open": {
      "x-kubernetes-preserve-unknown-fields": true
    }
  },
  "required": [
    "a"
  ],
  "type": "object"
}
"#);
}

#[test]
fn an_operation_in_both_forms() {
    let kinds = [asset(), namespace()];
    let catalog = Catalog::new(&kinds, []);
    let path = "/apis/hm.example.com/v1/namespaces/{namespace}/assets/{name}";
    let patch = &json_of(&catalog)["paths"][path]["patch"];
    insta::assert_snapshot!(serde_json::to_string_pretty(patch).unwrap(), @r##"
{
  "consumes": [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json"
  ],
  "description": "patch Asset",
  "operationId": "patchHmExampleComV1NamespacedAsset",
  "parameters": [
    {
      "description": "'All': everything is processed, and nothing is stored.",
      "in": "query",
      "name": "dryRun",
      "type": "string",
      "uniqueItems": true
    },
    {
      "description": "Name of the actor that makes these changes: at most 128 printable characters. Required for apply patches.",
      "in": "query",
      "name": "fieldManager",
      "type": "string",
      "uniqueItems": true
    },
    {
      "description": "What becomes of unknown and duplicate fields. Ignore: they are dropped. Warn (the default): they are dropped, with a warning each. Strict: the request is refused.",
      "in": "query",
      "name": "fieldValidation",
      "type": "string",
      "uniqueItems": true
    },
    {
      "description": "Apply takes over fields that others own. Apply patches alone may set it.",
      "in": "query",
      "name": "force",
      "type": "boolean",
      "uniqueItems": true
    },
    {
      "in": "body",
      "name": "body",
      "required": true,
      "schema": {
        "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
      }
    }
  ],
  "produces": [
    "application/json",
    "application/yaml"
  ],
  "responses": {
    "200": {
      "description": "OK",
      "schema": {
        "$ref": "#/definitions/com.example.hm.v1.Asset"
      }
    },
    "201": {
      "description": "OK",
      "schema": {
        "$ref": "#/definitions/com.example.hm.v1.Asset"
      }
    },
    "401": {
      "description": "Unauthorized"
    }
  },
  "schemes": [
    "https"
  ],
  "tags": [
    "hmExampleCom_v1"
  ],
  "x-kubernetes-action": "patch",
  "x-kubernetes-group-version-kind": {
    "group": "hm.example.com",
    "kind": "Asset",
    "version": "v1"
  }
}
"##);
    let bytes = document(&catalog, Form::Protobuf);
    let decoded = Document::decode(bytes.as_slice()).unwrap();
    assert_eq!(decoded.swagger, "2.0");
    let paths = decoded.paths.unwrap().path;
    let item = paths.iter().find(|item| item.name == path).unwrap().value.clone().unwrap();
    let operation = item.patch.unwrap();
    assert_eq!(operation.operation_id, patch["operationId"].as_str().unwrap());
    assert_eq!(operation.parameters.len(), patch["parameters"].as_array().unwrap().len());
    let gvk =
        operation.vendor_extension.iter().find(|x| x.name == "x-kubernetes-group-version-kind").unwrap();
    let yaml = &gvk.value.as_ref().unwrap().yaml;
    assert_eq!(yaml, "{\"group\":\"hm.example.com\",\"kind\":\"Asset\",\"version\":\"v1\"}\n");
    let place = item.parameters[0].parameter.clone().unwrap().other.unwrap().path.unwrap();
    assert_eq!((place.name.as_str(), place.kind.as_str(), place.required), ("name", "string", true));
}

#[test]
fn both_forms_hold_the_same_definitions() {
    let kinds = hypermesh_schemas::definitions();
    let catalog = Catalog::new(&kinds, []);
    let json = json_of(&catalog);
    let decoded = Document::decode(document(&catalog, Form::Protobuf).as_slice()).unwrap();
    let definitions = decoded.definitions.unwrap().additional_properties;
    let names: Vec<&str> = definitions.iter().map(|d| d.name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, json["definitions"].as_object().unwrap().keys().collect::<Vec<_>>());
    let secret =
        definitions.iter().find(|d| d.name == "io.k8s.api.core.v1.Secret").unwrap().value.clone().unwrap();
    let data =
        secret.properties.unwrap().additional_properties.into_iter().find(|p| p.name == "data").unwrap();
    let values = data.value.unwrap().additional_properties.unwrap().schema.unwrap();
    assert_eq!((values.format.as_str(), values.kind.unwrap().value), ("byte", vec!["string".to_owned()]));
}

#[test]
fn the_hash_follows_the_content() {
    let mut kinds = [asset(), namespace()];
    let before = hash(&Catalog::new(&kinds, []));
    assert_eq!(before.len(), 128);
    assert_eq!(before, hash(&Catalog::new(&kinds, [])));
    kinds[0].schema["description"] = "changed".into();
    assert_ne!(before, hash(&Catalog::new(&kinds, [])));
}

#[test]
fn any_schema_is_carried() {
    for schema in [
        json!(null),
        json!(true),
        json!({"properties": 3}),
        json!({"required": 1, "type": ["a"], "items": []}),
    ] {
        let mut kind = asset();
        kind.schema = schema;
        let kinds = [kind];
        let catalog = Catalog::new(&kinds, []);
        assert!(json_of(&catalog)["paths"].is_object());
        assert!(Document::decode(document(&catalog, Form::Protobuf).as_slice()).is_ok());
    }
}
