use super::*;
use crate::fixtures::{asset, namespace, token};
use std::collections::BTreeSet;

fn built(catalog: &Catalog<'_>, group: &str) -> Value {
    serde_json::from_slice(&document(catalog, group, "v1", Form::Json).unwrap()).unwrap()
}

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.insert(target.clone());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves_and_every_operation_is_unique() {
    let (mut kinds, virtuals) = (hypermesh_schemas::definitions(), [token()]);
    kinds.push(asset());
    let catalog = Catalog::new(&kinds, &virtuals);
    let groups = catalog.groups();
    assert!(groups.len() > 4);
    for (group, _) in groups {
        let document = built(&catalog, group);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for target in found {
            let name = target.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{target}");
        }
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters")
            {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{path} {method}: {id}");
            }
        }
    }
}

#[test]
fn paths_of_a_kind() {
    let kinds = [asset()];
    let document = built(&Catalog::new(&kinds, []), "hm.example.com");
    let mut shown = String::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
        let methods: Vec<String> =
            methods.map(|(m, op)| format!("{m}={}", op["operationId"].as_str().unwrap())).collect();
        shown.push_str(&format!("{path} {}\n", methods.join(" ")));
    }
    insta::assert_snapshot!(shown, @r"
    /apis/hm.example.com/v1/assets get=listHmExampleComV1ForAllNamespacesAsset
    /apis/hm.example.com/v1/namespaces/{namespace}/assets delete=deleteCollectionHmExampleComV1NamespacedAsset get=listHmExampleComV1NamespacedAsset post=createHmExampleComV1NamespacedAsset
    /apis/hm.example.com/v1/namespaces/{namespace}/assets/{name} delete=deleteHmExampleComV1NamespacedAsset get=readHmExampleComV1NamespacedAsset patch=patchHmExampleComV1NamespacedAsset put=replaceHmExampleComV1NamespacedAsset
    /apis/hm.example.com/v1/namespaces/{namespace}/assets/{name}/scale get=readAutoscalingV1NamespacedAssetScaleScale patch=patchAutoscalingV1NamespacedAssetScaleScale put=replaceAutoscalingV1NamespacedAssetScaleScale
    /apis/hm.example.com/v1/namespaces/{namespace}/assets/{name}/status get=readHmExampleComV1NamespacedAssetStatusAsset patch=patchHmExampleComV1NamespacedAssetStatusAsset put=replaceHmExampleComV1NamespacedAssetStatusAsset
    ");
}

#[test]
fn what_kubectl_looks_for() {
    let kinds = [asset()];
    let document = built(&Catalog::new(&kinds, []), "hm.example.com");
    let gvk = json!({"group": "hm.example.com", "version": "v1", "kind": "Asset"});

    // `kubectl create|apply --validate` looks for fieldValidation among the parameters of the kind's PATCH.
    let patch = &document["paths"]["/apis/hm.example.com/v1/namespaces/{namespace}/assets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], gvk);
    let names: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);

    // `kubectl explain` looks for the component that carries the kind.
    let schema = &document["components"]["schemas"]["com.example.hm.v1.Asset"];
    assert_eq!(schema["x-kubernetes-group-version-kind"], json!([gvk]));
    assert_eq!(schema["properties"]["spec"]["properties"]["color"]["type"], "string");
    assert_eq!(
        schema["properties"]["metadata"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    let options = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"];
    assert_eq!(options["x-kubernetes-group-version-kind"].as_array().unwrap().len(), 2);
}

#[test]
fn a_virtual_kind_is_described() {
    let mut review = token();
    review.group = "authorization.k8s.io".into();
    review.plural = "selfsubjectaccessreviews".into();
    review.singular = "selfsubjectaccessreview".into();
    review.subresource = None;
    review.kind = "SelfSubjectAccessReview".into();
    review.kind_group_version = None;
    review.scope = hypermesh_schemas::definition::Scope::Cluster;
    let virtuals = [review];
    let document = built(&Catalog::new([], &virtuals), "authorization.k8s.io");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"]);
    assert!(
        document["components"]["schemas"].get("io.k8s.authorization.v1.SelfSubjectAccessReview").is_some()
    );
}

#[test]
fn the_index_follows_the_content() {
    let mut kinds = [asset(), namespace()];
    let index_of =
        |kinds: &[_; 2]| -> Value { serde_json::from_slice(&index(&Catalog::new(kinds, []))).unwrap() };
    let before = index_of(&kinds);
    let url =
        |index: &Value, path: &str| index["paths"][path]["serverRelativeURL"].as_str().unwrap().to_owned();
    let asset_url = url(&before, "apis/hm.example.com/v1");
    let (path, hash) = asset_url.split_once("?hash=").unwrap();
    assert_eq!(path, "/openapi/v3/apis/hm.example.com/v1");
    assert!(hash.len() == 128 && hash.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()));
    kinds[0].schema["description"] = "changed".into();
    let after = index_of(&kinds);
    assert_ne!(url(&after, "apis/hm.example.com/v1"), asset_url);
    assert_eq!(url(&after, "api/v1"), url(&before, "api/v1"));
    assert!(document(&Catalog::new(&kinds, []), "none", "v1", Form::Json).is_none());
}

#[test]
fn any_schema_is_carried() {
    for schema in [json!(null), json!(true), json!({"properties": 3}), json!({"properties": {"metadata": 1}})]
    {
        let mut kind = asset();
        kind.schema = schema;
        let kinds = [kind];
        assert!(built(&Catalog::new(&kinds, []), "hm.example.com")["paths"].is_object());
    }
}
