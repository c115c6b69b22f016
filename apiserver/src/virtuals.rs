//! What is served but not stored.

use hypermesh_schemas::definition::Scope;
use hypermesh_wire::VirtualResource;
use serde_json::{Value, json};

/// The reviews, token requests and transactions, as discovery and OpenAPI describe them.
pub(crate) fn resources() -> Vec<VirtualResource> {
    const AUTHN: &str = "authentication.k8s.io";
    const AUTHZ: &str = "authorization.k8s.io";
    let cluster = Scope::Cluster;
    let mut token = resource(AUTHN, "serviceaccounts", "TokenRequest", Scope::Namespaced, token_request());
    token.group = String::new();
    token.subresource = Some("token".into());
    token.kind_group_version = Some((AUTHN.into(), "v1".into()));
    let mut transaction = resource(
        "hypermesh.online",
        "transactions",
        "Transaction",
        cluster,
        json!({"type": "object",
            "properties": {"items": {"type": "array", "items": {"type": "object",
                "x-kubernetes-preserve-unknown-fields": true}}}}),
    );
    transaction.singular = "transaction".into();
    vec![
        resource(AUTHN, "tokenreviews", "TokenReview", cluster, token_review()),
        resource(AUTHN, "selfsubjectreviews", "SelfSubjectReview", cluster, self_review()),
        resource(AUTHZ, "subjectaccessreviews", "SubjectAccessReview", cluster, access_review()),
        resource(
            AUTHZ,
            "localsubjectaccessreviews",
            "LocalSubjectAccessReview",
            Scope::Namespaced,
            access_review(),
        ),
        resource(AUTHZ, "selfsubjectaccessreviews", "SelfSubjectAccessReview", cluster, access_review()),
        resource(AUTHZ, "selfsubjectrulesreviews", "SelfSubjectRulesReview", cluster, rules_review()),
        token,
        transaction,
    ]
}

fn resource(group: &str, plural: &str, kind: &str, scope: Scope, schema: Value) -> VirtualResource {
    VirtualResource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        subresource: None,
        kind: kind.into(),
        kind_group_version: None,
        scope,
        verbs: vec!["create".into()],
        short_names: Vec::new(),
        categories: Vec::new(),
        schema,
    }
}

fn strings() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn user() -> Value {
    json!({"type": "object", "properties": {
        "username": {"type": "string"}, "uid": {"type": "string"}, "groups": strings(),
        "extra": {"type": "object", "additionalProperties": strings()},
    }})
}

fn token_review() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"token": {"type": "string"}, "audiences": strings()}},
        "status": {"type": "object", "properties": {
            "authenticated": {"type": "boolean"}, "user": user(), "audiences": strings(),
            "error": {"type": "string"},
        }},
    }})
}

fn token_request() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "audiences": strings(), "expirationSeconds": {"type": "integer", "format": "int64"},
            "boundObjectRef": {"type": "object", "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "name": {"type": "string"},
                "uid": {"type": "string"},
            }},
        }},
        "status": {"type": "object", "properties": {
            "token": {"type": "string"}, "expirationTimestamp": {"type": "string", "format": "date-time"},
        }},
    }})
}

fn self_review() -> Value {
    json!({"type": "object", "properties": {
        "status": {"type": "object", "properties": {"userInfo": user()}},
    }})
}

fn access_review() -> Value {
    let attributes = json!({"type": "object", "properties": {
        "namespace": {"type": "string"}, "verb": {"type": "string"}, "group": {"type": "string"},
        "version": {"type": "string"}, "resource": {"type": "string"}, "subresource": {"type": "string"},
        "name": {"type": "string"},
    }});
    let paths =
        json!({"type": "object", "properties": {"path": {"type": "string"}, "verb": {"type": "string"}}});
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "resourceAttributes": attributes, "nonResourceAttributes": paths, "user": {"type": "string"},
            "groups": strings(), "uid": {"type": "string"},
            "extra": {"type": "object", "additionalProperties": strings()},
        }},
        "status": {"type": "object", "properties": {
            "allowed": {"type": "boolean"}, "denied": {"type": "boolean"}, "reason": {"type": "string"},
            "evaluationError": {"type": "string"},
        }},
    }})
}

fn rules_review() -> Value {
    let rule = json!({"type": "object", "properties": {
        "verbs": strings(), "apiGroups": strings(), "resources": strings(), "resourceNames": strings(),
    }});
    let paths = json!({"type": "object", "properties": {"verbs": strings(), "nonResourceURLs": strings()}});
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"namespace": {"type": "string"}}},
        "status": {"type": "object", "properties": {
            "resourceRules": {"type": "array", "items": rule},
            "nonResourceRules": {"type": "array", "items": paths},
            "incomplete": {"type": "boolean"}, "evaluationError": {"type": "string"},
        }},
    }})
}
