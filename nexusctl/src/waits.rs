//! What an object waits for, as far as it and its references say so themselves. Pure.
//!
//! Knows no kind: deletion, generations and conditions are the same for all of them, and a reference is a field whose
//! name ends with the name of a kind that the server serves.

use crate::{
    discovery::{Discovery, Resource},
    output::escape,
};
use serde_json::Value;

/// References that are looked for in one object.
const MOST_REFERENCES: usize = 50;
/// How deep they are looked for.
const DEEPEST: usize = 24;
/// Words in the type of a condition that is bad when it is true.
const NEGATIVE: [&str; 10] = [
    "Fail",
    "Stalled",
    "Degraded",
    "Pressure",
    "Conflict",
    "Remaining",
    "Unavailable",
    "Error",
    "Terminating",
    "Invalid",
];

/// What an object names, and where it does so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field: `spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef`.
    pub path: String,
    /// The kind that it names.
    pub resource: Resource,
    /// The namespace; empty for kinds without.
    pub namespace: String,
    /// The name.
    pub name: String,
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What an object waits for, a line each.
pub fn reasons(object: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    deletion(object, &mut reasons);
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let seen = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(seen)) = (generation, seen)
        && seen < generation
    {
        reasons.push(format!("its controller: it has seen generation {seen}, not yet {generation}"));
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    // What has failed for good ends no more, and nothing else comes of it.
    let failed =
        |condition: &&Value| text(condition, "type") == "Failed" && text(condition, "status") == "True";
    let over = conditions.is_some_and(|conditions| conditions.iter().any(|condition| failed(&condition)));
    for condition in conditions.into_iter().flatten().filter(|_| !over) {
        reasons.extend(unmet(condition));
    }
    reasons
}

fn deletion(object: &Value, reasons: &mut Vec<String>) {
    let Some(since) = object.pointer("/metadata/deletionTimestamp").and_then(Value::as_str) else { return };
    let finalizers: Vec<&str> = ["/metadata/finalizers", "/spec/finalizers"]
        .iter()
        .filter_map(|pointer| object.pointer(pointer)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let what = if finalizers.is_empty() {
        "its end: nothing holds it any more".to_owned()
    } else {
        format!("whoever removes its finalizers: {}", finalizers.join(", "))
    };
    reasons.push(escape(&format!("{what} (being deleted since {since})")));
}

/// A condition that is not as it should be, in words.
fn unmet(condition: &Value) -> Option<String> {
    let (kind, status, reason) =
        (text(condition, "type"), text(condition, "status"), text(condition, "reason"));
    let negative = NEGATIVE.iter().any(|word| kind.contains(word));
    let well = if negative { status == "False" || status == "Unknown" } else { status == "True" };
    if well {
        return None;
    }
    if reason == "NoController" {
        return Some(format!("a controller: none acts on this kind yet ({kind}={status})"));
    }
    let mut words = if negative { format!("{kind} to end") } else { format!("{kind}, which is {status}") };
    for part in [reason, text(condition, "message")].iter().filter(|part| !part.is_empty()) {
        words.push_str(": ");
        words.push_str(part);
    }
    Some(escape(&words).replace('\n', " "))
}

/// What an object names outside its metadata and status. What may be missing (`optional: true`) is not among it.
pub fn references(object: &Value, discovery: &Discovery) -> Vec<Reference> {
    let own = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let mut search = Search { discovery, own, found: Vec::new() };
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind") {
            search.field(key, value, key, 0);
        }
    }
    search.found
}

struct Search<'a> {
    discovery: &'a Discovery,
    own: &'a str,
    found: Vec<Reference>,
}

impl Search<'_> {
    fn field(&mut self, key: &str, value: &Value, path: &str, depth: usize) {
        if depth > DEEPEST || self.found.len() >= MOST_REFERENCES {
            return;
        }
        self.reference(key, value, path);
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.field(name, member, &format!("{path}.{name}"), depth + 1);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.field("", item, &format!("{path}[{index}]"), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn reference(&mut self, key: &str, value: &Value, path: &str) {
        let stem = ["KeyRef", "Ref", "Name"].iter().find_map(|end| key.strip_suffix(end)).unwrap_or(key);
        if stem.is_empty() || stem == "namespace" || value.get("optional") == Some(&Value::Bool(true)) {
            return;
        }
        let name = match value {
            Value::String(name) => name.as_str(),
            object => text(object, "name"),
        };
        // A name is spelt as names are; anything else only looks like a reference.
        let spelt = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
        if name.is_empty() || !name.chars().all(spelt) {
            return;
        }
        let kind = Some(text(value, "kind")).filter(|kind| !kind.is_empty()).unwrap_or(stem).to_lowercase();
        let Some(resource) = self.discovery.resources.iter().find(|r| r.kind.to_lowercase() == kind) else {
            return;
        };
        let elsewhere = Some(text(value, "namespace")).filter(|namespace| !namespace.is_empty());
        let namespace = if resource.namespaced { elsewhere.unwrap_or(self.own) } else { "" };
        let reference = Reference {
            path: path.to_owned(),
            resource: resource.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let known = |other: &Reference| other.resource == reference.resource && other.name == reference.name;
        if !self.found.iter().any(known) {
            self.found.push(reference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_object_says_of_itself() {
        let object = json!({
            "metadata": {"generation": 3, "deletionTimestamp": "2026-11-21T09:00:00Z", "finalizers": ["a.io/x", "b\u{7}"]},
            "status": {"observedGeneration": 2, "conditions": [
                {"type": "Ready", "status": "Unknown", "reason": "NoController"},
                {"type": "Available", "status": "False", "reason": "ImagePull", "message": "no such\nimage"},
                {"type": "Progressing", "status": "True"},
                {"type": "ReplicaFailure", "status": "True", "reason": "Quota"},
                {"type": "DiskPressure", "status": "False"},
            ]},
        });
        insta::assert_snapshot!(reasons(&object).join("\n"), @r"
        whoever removes its finalizers: a.io/x, b\u{7} (being deleted since 2026-11-21T09:00:00Z)
        its controller: it has seen generation 2, not yet 3
        a controller: none acts on this kind yet (Ready=Unknown)
        Available, which is False: ImagePull: no such image
        ReplicaFailure to end: Quota
        ");
        assert_eq!(reasons(&json!({"metadata": {}, "data": {}})), Vec::<String>::new());
        // A job that has failed waits for nothing.
        let failed = json!({"status": {"conditions": [
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "0 of 1"},
            {"type": "Ready", "status": "False", "reason": "BackoffLimitExceeded", "message": "0 of 1"},
        ]}});
        assert_eq!(reasons(&failed), Vec::<String>::new());
    }

    #[test]
    fn references_are_found_by_the_names_of_kinds() {
        let resource = |kind: &str, namespaced| Resource {
            kind: kind.into(),
            plural: format!("{}s", kind.to_lowercase()),
            namespaced,
            ..Resource::default()
        };
        let discovery = Discovery {
            resources: vec![
                resource("Secret", true),
                resource("ConfigMap", true),
                resource("Issuer", false),
                resource("ServiceAccount", true),
                resource("ClusterRole", false),
                resource("Workload", true),
                resource("Namespace", false),
            ],
        };
        let object = json!({
            "metadata": {"namespace": "shop", "secretName": "no"},
            "spec": {
                "serviceAccountName": "builder", "issuerRef": {"name": "cluster"}, "secretName": "web-tls", "className": "x",
                "containers": [{"env": [
                    {"valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}},
                    {"valueFrom": {"configMapKeyRef": {"name": "maybe", "key": "a", "optional": true}}},
                    {"valueFrom": {"secretKeyRef": {"name": "keys", "key": "b"}}},
                ], "envFrom": [{"configMapRef": {"name": "settings"}}]}],
                "from": {"workload": "web", "namespace": "other"},
                "volumes": [{"configMap": {"name": "files"}}, {"secret": {"secretName": "web-tls"}}],
            },
            "roleRef": {"kind": "ClusterRole", "name": "system:view"},
        });
        let found: Vec<String> = references(&object, &discovery)
            .iter()
            .map(|r| format!("{} -> {} {}/{}", r.path, r.resource.kind, r.namespace, r.name))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @"
        roleRef -> ClusterRole /system:view
        spec.containers[0].env[0].valueFrom.secretKeyRef -> Secret shop/keys
        spec.containers[0].envFrom[0].configMapRef -> ConfigMap shop/settings
        spec.from.workload -> Workload shop/web
        spec.issuerRef -> Issuer /cluster
        spec.secretName -> Secret shop/web-tls
        spec.serviceAccountName -> ServiceAccount shop/builder
        spec.volumes[0].configMap -> ConfigMap shop/files
        ");
    }
}
