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
    let mut transaction = resource("hypermesh.online", "transactions", "Transaction", cluster, transaction());
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
    .into_iter()
    .chain(streams())
    .chain(usage())
    .collect()
}

/// Subresources of our kinds that are asked of agents.
fn streams() -> Vec<VirtualResource> {
    const OURS: &str = "hypermesh.online";
    let both: &[&str] = &["create", "get"];
    let below = |plural: &str, name: &str, kind: &str, verbs: &[&str], description: &str| {
        let scope = if plural == "nodes" { Scope::Cluster } else { Scope::Namespaced };
        let mut found = resource(OURS, plural, kind, scope, object(description, json!({})));
        found.singular = String::new();
        found.subresource = Some(name.to_owned());
        found.verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        found
    };
    vec![
        below(
            "instances",
            "attach",
            "InstanceAttachOptions",
            both,
            "What a container reads and writes, as a stream.",
        ),
        below("instances", "exec", "InstanceExecOptions", both, "A command in a container, as a stream."),
        below("instances", "log", "InstanceLog", &["get"], "The log of a container."),
        below(
            "instances",
            "portforward",
            "InstancePortForwardOptions",
            both,
            "Connections to ports, as streams.",
        ),
        below("nodes", "images", "NodeImages", &["create", "delete", "get"], "The images that a node has."),
        below(
            "nodes",
            "liveness",
            "NodeLiveness",
            both,
            "Whether the agent of a node is heard of, and since when.",
        ),
        below("nodes", "metrics", "NodeMetrics", &["get"], "What a node counts, as Prometheus scrapes it."),
        below("nodes", "stats", "NodeStats", &["get"], "What a node and its instances use."),
    ]
}

/// What nodes and pods use, in the form that `kubectl top` knows.
fn usage() -> [VirtualResource; 2] {
    let quantities = json!({"type": "object", "additionalProperties": {"type": "string"},
        "description": "Usage by resource: cpu, memory."});
    let container =
        object("What one container uses.", json!({"name": string("Its name."), "usage": quantities.clone()}));
    let with = |description: &str, name: &str, value: Value| {
        let time = json!({"type": "string", "format": "date-time", "description": "When it was measured."});
        let mut schema = object(
            description,
            json!({"timestamp": time, "window": string("Over which time it was measured.")}),
        );
        schema["properties"][name] = value;
        schema
    };
    let metrics = |plural: &str, kind: &str, scope: Scope, schema: Value| {
        let mut found = resource("metrics.k8s.io", plural, kind, scope, schema);
        found.version = "v1beta1".to_owned();
        found.singular = String::new();
        found.verbs = vec!["get".to_owned(), "list".to_owned()];
        found
    };
    let containers = list("Its containers.", container);
    [
        metrics("nodes", "NodeMetrics", Scope::Cluster, with("What a node uses.", "usage", quantities)),
        metrics("pods", "PodMetrics", Scope::Namespaced, with("What a pod uses.", "containers", containers)),
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
        schema: schema.into(),
    }
}

/// An object with a description and properties.
fn object(description: &str, properties: Value) -> Value {
    json!({"type": "object", "description": description, "properties": properties})
}

fn string(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn strings(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

fn list(description: &str, items: Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

/// What is said of a user beside its name, uid and groups.
fn extra() -> Value {
    let values = json!({"type": "array", "items": {"type": "string"}});
    json!({"type": "object", "additionalProperties": values,
        "description": "What else the authenticator says of the user, by key."})
}

fn transaction() -> Value {
    let items =
        "The objects, at most 1000, complete with apiVersion and kind. They are applied in this order.";
    let object = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "description": "An object to apply, as a PATCH of type application/apply-patch+yaml takes it."});
    self::object(
        "Several objects that are applied together, all or none. It is created by POSTing a v1 List, and never stored: the \
         reply is a List of the objects as they are then, at one resourceVersion. Each item takes the rights that applying \
         it alone would take; the first that is refused undoes everything and is named.",
        json!({"items": list(items, object)}),
    )
}

fn user() -> Value {
    object(
        "The user.",
        json!({"username": string("Its name."), "uid": string("Its uid."), "groups": strings("Its groups."), "extra": extra()}),
    )
}

fn token_review() -> Value {
    object(
        "Asks whom a bearer token stands for. It is answered and not stored.",
        json!({
            "spec": object("The question.", json!({
                "token": string("The token."),
                "audiences": strings("Whom the token has to be meant for; the API server where this is empty."),
            })),
            "status": object("The answer.", json!({
                "authenticated": boolean("Whether the token stands for a user."),
                "user": user(),
                "audiences": strings("Those of the audiences asked for that the token is meant for."),
                "error": string("Why the token could not be judged."),
            })),
        }),
    )
}

fn token_request() -> Value {
    let bound = object(
        "An object that the token lives no longer than.",
        json!({
            "apiVersion": string("Its apiVersion."), "kind": string("Its kind."), "name": string("Its name."),
            "uid": string("Its uid."),
        }),
    );
    object(
        "Asks for a token of a ServiceAccount. It is answered and not stored.",
        json!({
            "spec": object("What the token shall be.", json!({
                "audiences": strings("Whom it is meant for; the API server where this is empty."),
                "expirationSeconds": {"type": "integer", "format": "int64",
                    "description": "For how long it shall be valid, in seconds."},
                "boundObjectRef": bound,
            })),
            "status": object("The token.", json!({
                "token": string("The token."),
                "expirationTimestamp": {"type": "string", "format": "date-time", "description": "Until when it is valid."},
            })),
        }),
    )
}

fn self_review() -> Value {
    object(
        "Asks who the caller is to the server. It is answered and not stored.",
        json!({"status": object("The answer.", json!({"userInfo": user()}))}),
    )
}

fn access_review() -> Value {
    let attributes = object(
        "A request for objects.",
        json!({
            "namespace": string("Their namespace; empty for all, and for what has none."),
            "verb": string("get, list, watch, create, update, patch, delete or deletecollection; * for all."),
            "group": string("Their API group; * for all."),
            "version": string("Their version; * for all."),
            "resource": string("Their resource; * for all."),
            "subresource": string("The subresource, if one is meant."),
            "name": string("The object's name; empty for all."),
        }),
    );
    let paths = object(
        "A request for a path that is no object's.",
        json!({"path": string("The path."), "verb": string("The method, in lower case.")}),
    );
    object(
        "Asks whether a user may do something. It is answered and not stored.",
        json!({
            "spec": object("The question: one of resourceAttributes and nonResourceAttributes.", json!({
                "resourceAttributes": attributes, "nonResourceAttributes": paths,
                "user": string("Who asks; the caller in a SelfSubjectAccessReview, which has no such field."),
                "groups": strings("The groups of who asks."),
                "uid": string("The uid of who asks."),
                "extra": extra(),
            })),
            "status": object("The answer.", json!({
                "allowed": boolean("Whether it is allowed."),
                "denied": boolean("Whether it is forbidden, whatever else would allow it."),
                "reason": string("Which rule allows it, or that none does."),
                "evaluationError": string("What could not be looked at on the way."),
            })),
        }),
    )
}

fn rules_review() -> Value {
    let rule = object(
        "A rule for objects.",
        json!({
            "verbs": strings("The verbs."), "apiGroups": strings("The API groups."),
            "resources": strings("The resources."),
            "resourceNames": strings("The names; all where this is empty."),
        }),
    );
    let paths = object(
        "A rule for paths that are no object's.",
        json!({"verbs": strings("The methods, in lower case."), "nonResourceURLs": strings("The paths.")}),
    );
    object(
        "Asks what the caller may do in a namespace. It is answered and not stored.",
        json!({
            "spec": object("The question.", json!({"namespace": string("The namespace.")})),
            "status": object("The answer.", json!({
                "resourceRules": list("What it may do with objects.", rule),
                "nonResourceRules": list("What it may do with other paths.", paths),
                "incomplete": boolean("Whether there may be more than is listed."),
                "evaluationError": string("What could not be looked at on the way."),
            })),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field of `schema` that says nothing of itself.
    fn silent(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema["description"].as_str().is_none_or(str::is_empty) {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            silent(property, &format!("{path}.{name}"), found);
        }
        if let Some(items) = schema.get("items").filter(|items| items["type"] == "object") {
            silent(items, &format!("{path}[]"), found);
        }
    }

    #[test]
    fn every_kind_and_field_is_explained() {
        let mut found = Vec::new();
        for resource in resources() {
            silent(&resource.schema, &resource.kind, &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
