//! The kind of the golden replies.

use hypermesh_schemas::KindDefinition;
use serde_json::{Value, json};

/// `assets.hm.example.com`, as in `golden/crd.json`.
pub(crate) fn asset() -> KindDefinition {
    definition(json!({
        "group": "hm.example.com", "version": "v1", "scope": "Namespaced",
        "names": {"plural": "assets", "singular": "asset", "kind": "Asset", "listKind": "AssetList"},
        "subresources": {
            "status": true,
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "selectableFields": [".spec.color"],
        "printerColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
        "schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "color": {"type": "string"},
                "replicas": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 10", "message": "too many"}]},
            }},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
        }},
    }))
}

/// The core Namespace.
pub(crate) fn namespace() -> KindDefinition {
    definition(json!({
        "group": "", "version": "v1", "scope": "Cluster",
        "names": {"plural": "namespaces", "singular": "namespace", "kind": "Namespace", "listKind": "NamespaceList", "shortNames": ["ns"]},
        "subresources": {"status": true},
        "schema": {"type": "object", "properties": {"spec": {"type": "object"}}},
        "strategy": {"builtIn": true, "hooks": ["Namespace"]},
    }))
}

pub(crate) fn definition(value: Value) -> KindDefinition {
    serde_json::from_value(value).unwrap()
}

/// `serviceaccounts/token`.
pub(crate) fn token() -> crate::catalog::VirtualResource {
    crate::catalog::VirtualResource {
        group: String::new(),
        version: "v1".into(),
        plural: "serviceaccounts".into(),
        singular: String::new(),
        subresource: Some("token".into()),
        kind: "TokenRequest".into(),
        kind_group_version: Some(("authentication.k8s.io".into(), "v1".into())),
        scope: hypermesh_schemas::definition::Scope::Namespaced,
        verbs: vec!["create".into()],
        short_names: Vec::new(),
        categories: Vec::new(),
        schema: json!({"type": "object", "properties": {"spec": {"type": "object"}}}).into(),
    }
}
