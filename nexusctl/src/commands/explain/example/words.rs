//! What people write in fields, by the names and the types of these. Pure.

use serde_json::{Value, json};

/// What people write in fields of these names.
const BY_NAME: [(&str, &str); 26] = [
    ("cron", "30 3 * * 1-5"),
    ("timeZone", "Europe/Zurich"),
    ("image", "registry.example/web:1.0"),
    ("cpu", "500m"),
    ("memory", "512Mi"),
    ("ephemeral-storage", "1Gi"),
    ("storage", "1Gi"),
    ("size", "1Gi"),
    ("sizeLimit", "1Gi"),
    ("mountPath", "/data"),
    ("hostPath", "/srv/data"),
    ("path", "/healthz"),
    ("command", "sh"),
    ("args", "-c"),
    ("zone", "acme."),
    ("operator", "Exists"),
    ("dnsNames", "www.example.com"),
    ("commonName", "www.example.com"),
    // What names a namespace names that of the example.
    ("namespace", "default"),
    ("ipv4", "10.20.0.0/16"),
    ("signerName", "kubernetes.io/kube-apiserver-client"),
    ("apiGroup", "rbac.authorization.k8s.io"),
    ("apiGroups", "hypermesh.online"),
    ("resources", "workloads"),
    ("verbs", "get"),
    ("nonResourceURLs", "/metrics"),
];
/// What people write in fields of these names within others.
const BY_PLACE: [(&str, &str, &str); 3] = [
    // Beside `containers`, whose names are the others.
    ("initContainers", "name", "prepare"),
    ("subjects", "kind", "User"),
    ("subjects", "kind", "ServiceAccount"),
];
/// What fields of any name may hold.
const BY_FORM: [&str; 22] = [
    "example",
    "example.com",
    "1",
    "5m",
    "10%",
    "/example",
    "acme.",
    "2001:db8::/32",
    "192.0.2.0/24",
    "192.0.2.1",
    "https://example.com",
    "spiffe://cluster/ns/default/sa/web",
    "Example",
    "EXAMPLE",
    "metadata.name",
    "example.com/example",
    "aGVsbG8=",
    "0000000000000000000000000000000000000000000000000000000000000001",
    "2026-11-21T09:30:00Z",
    "a",
    "True",
    "system:serviceaccount:default:default",
];
/// Keys of maps.
pub(super) const KEYS: [&str; 5] = ["app", "key", "cpu", "memory", "example.com/key"];
/// Maps whose keys are resources.
pub(super) const OF_RESOURCES: [&str; 4] = ["limits", "requests", "capacity", "allocatable"];
/// Names of objects: what anybody may choose, and the key of an Ed25519 pair (RFC 8032), where the name is one.
pub(super) const NAMES: [&str; 2] =
    ["example", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"];
/// What holds more than a schema says, and cannot be guessed: a request for a certificate (RFC 2986).
pub(super) const NOT_GUESSED: [&str; 1] = ["request"];

/// Whether only what is there in a cluster can stand in a field: the uid of the account whose key an Identity is.
pub(super) fn is_of_state(kind: &str, fields: &[String]) -> bool {
    kind == "Identity" && fields == ["spec", "uid"]
}

/// A field of `metadata` that people write; `None` for what a server does.
pub(super) fn of_metadata(field: &str, below: &[String], namespaced: bool) -> Option<Value> {
    let mut owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "example", "uid": "0b4b3d0c-6d52-4c6e-9d7a-5f0a3f9a8b11",
    });
    match (field, below) {
        // It is filled in later.
        ("name", []) => Some(json!("")),
        ("namespace", []) if namespaced => Some(json!("default")),
        ("labels", []) => Some(json!({"app": "example"})),
        ("annotations", []) => Some(json!({"example.com/contact": "platform@example.com"})),
        ("finalizers", []) => Some(json!(["example.com/cleanup"])),
        ("ownerReferences", []) => Some(json!([owner])),
        ("ownerReferences", [field]) if matches!(&**field, "apiVersion" | "kind" | "name" | "uid") => {
            Some(json!([owner]))
        }
        ("ownerReferences", [field]) if matches!(&**field, "controller" | "blockOwnerDeletion") => {
            owner[field.as_str()] = json!(true);
            Some(json!([owner]))
        }
        _ => None,
    }
}

/// Values without members that may be meant, likeliest first.
pub(super) fn leaf(schema: &Value, name: &str, within: &str) -> Vec<Value> {
    if NOT_GUESSED.contains(&name) {
        return Vec::new();
    }
    let texts = || {
        let here = BY_PLACE.iter().filter(|(around, field, _)| (*around, *field) == (within, name));
        let named = here.map(|(.., text)| *text);
        let named = named.chain(BY_NAME.iter().filter(|(field, _)| *field == name).map(|(_, text)| *text));
        let format = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
            "date-time" => Some("2026-11-21T09:30:00Z"),
            "date" => Some("2026-11-21"),
            "ipv4" => Some("192.0.2.1"),
            "ipv6" => Some("2001:db8::1"),
            "cidr" => Some("2001:db8::/32"),
            "duration" => Some("5m"),
            "uri" => Some("https://example.com"),
            "byte" => Some("aGVsbG8="),
            _ => None,
        };
        format.into_iter().chain(named).chain(BY_FORM).map(Value::from).collect::<Vec<Value>>()
    };
    let bounds: Vec<Value> =
        ["minimum", "maximum"].iter().filter_map(|key| schema.get(key).cloned()).collect();
    let lowered = name.to_ascii_lowercase();
    let usual = match lowered.as_str() {
        _ if lowered.ends_with("port") => Some(json!(8080)),
        "runasuser" | "runasgroup" | "fsgroup" | "supplementalgroups" => Some(json!(1000)),
        _ => None,
    };
    let numbers = || {
        usual.clone().into_iter().chain([json!(1), json!(8080)]).chain(bounds.clone()).collect::<Vec<Value>>()
    };
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return [numbers(), texts()].concat();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => numbers(),
        Some("boolean") => vec![json!(true), json!(false)],
        Some("object") => vec![json!({})],
        Some("array") => vec![json!([])],
        _ => texts(),
    }
}
