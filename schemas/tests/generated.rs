//! The generated files are those that the kinds give.

use hypermesh_schemas::{definitions, generated};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const HOW: &str = "run `cargo run -p hypermesh-schemas --bin generate-schemas` and commit what it writes";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn generated_files_are_up_to_date() {
    let files = generated::files(&definitions()).unwrap();
    for file in &files {
        let found = std::fs::read_to_string(root().join(&file.path)).unwrap_or_default();
        assert!(found == file.content, "schemas/{} is stale: {HOW}", file.path);
    }
    let expected: BTreeSet<String> = files.into_iter().map(|file| file.path).collect();
    let mut found = BTreeSet::new();
    for folder in ["crds", "json"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            found.insert(format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    assert_eq!(found, expected, "{HOW}");
}

/// A manifest that is read back is the value that it was written from: no text turned into a number or a boolean.
#[test]
fn manifests_are_read_back_as_they_were_meant() {
    for definition in definitions().iter().filter(|definition| !definition.strategy.built_in) {
        let text =
            std::fs::read_to_string(root().join(format!("crds/{}.yaml", definition.names.plural))).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, definition.to_crd(), "{}", definition.names.kind);
    }
}

/// What a Kubernetes API server would refuse with `fieldValidation=Strict`.
#[test]
fn custom_resource_definitions_have_nothing_of_our_own() {
    for definition in definitions().iter().filter(|definition| !definition.strategy.built_in) {
        let text = definition.to_crd().to_string();
        assert!(!text.contains("x-hypermesh-"), "{}", definition.names.kind);
        assert!(!text.contains("\"uniqueItems\""), "{}", definition.names.kind);
        assert!(text.contains("x-kubernetes-list-type"), "{}", definition.names.kind);
    }
    let domain = definitions().into_iter().find(|definition| definition.names.kind == "Domain").unwrap();
    assert_eq!(domain.to_crd()["metadata"]["annotations"]["hypermesh.online/unique-fields"], ".spec.name");
}

#[test]
fn editors_find_misspelt_fields() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("json/workload.json")).unwrap()).unwrap();
    let mut open = Vec::new();
    closed(&schema, "", &mut open);
    assert_eq!(open, Vec::<String>::new());
    assert_eq!(schema["properties"]["kind"]["const"], "Workload");
    assert_eq!(schema["required"], serde_json::json!(["apiVersion", "kind", "metadata", "spec"]));
    let port = &schema["properties"]["spec"]["properties"]["publish"]["items"]["properties"]["targetPort"];
    assert_eq!(port["type"], serde_json::json!(["integer", "string"]));
}

fn closed(node: &Value, path: &str, open: &mut Vec<String>) {
    if node.get("type") == Some(&"object".into()) && node.get("additionalProperties").is_none() {
        open.push(path.to_owned());
    }
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        closed(child, &format!("{path}.{name}"), open);
    }
    if let Some(items) = node.get("items") {
        closed(items, &format!("{path}[]"), open);
    }
}

#[test]
fn one_schema_leads_to_every_kind() {
    let all: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("json/all.json")).unwrap()).unwrap();
    for definition in definitions() {
        let branch = all["allOf"].as_array().unwrap().iter().find(|branch| {
            branch["if"]["properties"]["kind"]["const"] == definition.names.kind.as_str()
                && branch["if"]["properties"]["apiVersion"]["const"] == definition.api_version()
        });
        let file = branch.unwrap()["then"]["$ref"].as_str().unwrap();
        assert!(root().join("json").join(file).is_file(), "{file}");
    }
}
