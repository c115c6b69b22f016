//! A value that a schema takes: as far as its own words tell, and as the code that servers judge by confirms. Pure.
//!
//! What the schema gives as example, default or choice goes first; then what people write in such fields. What does not
//! hold, by pattern, bounds, format or rule, is never shown: rather no example than one that a server refuses.

use crate::offline::{self, Kinds};
use hypermesh_structural::{Budget, RULE_BUDGET, Schema};
use serde_json::{Map, Value, json};

/// Levels of a value that are filled in.
const DEEPEST: usize = 16;

/// What people write in fields of these names.
const BY_NAME: [(&str, &str); 18] = [
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
];
/// What fields of any name may hold.
const BY_FORM: [&str; 20] = [
    "example",
    "example.com",
    "1",
    "5m",
    "10%",
    "/example",
    "acme.",
    "2001:db8::/32",
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
];
/// Keys of maps.
const KEYS: [&str; 5] = ["app", "key", "cpu", "memory", "example.com/key"];
/// Maps whose keys are resources.
const OF_RESOURCES: [&str; 4] = ["limits", "requests", "capacity", "allocatable"];
/// Names of objects: what anybody may choose, and the key of an Ed25519 pair (RFC 8032), where the name is one.
const NAMES: [&str; 2] = ["example", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"];
/// What holds more than a schema says, and cannot be guessed: a request for a certificate (RFC 2986).
const NOT_GUESSED: [&str; 1] = ["request"];

/// A value of the field `name`, whose schema refers to nothing. `None` where none is known that would be taken.
pub(super) fn example(schema: &Value, name: &str) -> Option<Value> {
    value(schema, name, 0)
}

/// A manifest of a kind that its schema takes, or as much of one as is known to be needed.
pub(super) fn manifest(schema: &Value, api_version: &str, kind: &str) -> Option<Value> {
    let mut kinds = Kinds::default();
    let known = kinds.get(api_version, kind);
    let bare = |name: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    let is_name = |name: &&&str| known.is_none_or(|known| offline::takes_name(known, bare(name)));
    named(schema, api_version, kind, NAMES.iter().find(is_name)?)
}

fn named(schema: &Value, api_version: &str, kind: &str, name: &str) -> Option<Value> {
    let head =
        [("apiVersion", json!(api_version)), ("kind", json!(kind)), ("metadata", json!({"name": name}))];
    let head = head.map(|(name, value)| (name.to_owned(), value));
    // What every object has, a schema does not define; in a server's document it is there all the same.
    let mut schema = schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| name != "status" && head.iter().all(|(implied, _)| implied != name));
    }
    if let Some(keywords) = schema.as_object_mut() {
        keywords.remove("x-kubernetes-group-version-kind");
    }
    let judge = Schema::compile(&schema).ok();
    let taken = |object: &Value| judge.as_ref().is_none_or(|judge| takes(judge, object));
    object(&schema, Map::from_iter(head), 0, &taken)
}

fn value(schema: &Value, name: &str, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let judge = Schema::compile(&json!({"type": "object", "properties": {"value": schema}})).ok();
    let taken = |value: &Value| judge.as_ref().is_none_or(|judge| takes(judge, &json!({"value": value})));
    let given = ["example", "default"].iter().filter_map(|key| schema.get(key));
    let listed = ["examples", "enum"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let known =
        given.chain(listed).filter(|value| !value.is_null() && **value != json!({}) && **value != json!([]));
    if let Some(value) = known.into_iter().find(|value| taken(value)) {
        return Some(value.clone());
    }
    if let Some(items) = schema.get("items") {
        let found = value(items, name, depth + 1).map(|item| Value::Array(vec![item]));
        return found.filter(|list| taken(list)).or_else(|| Some(json!([])).filter(|list| taken(list)));
    }
    if schema.get("properties").is_some() {
        return object(schema, Map::new(), depth, &taken);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return entry(values, name, depth, &taken).or_else(|| Some(json!({})).filter(|map| taken(map)));
    }
    leaf(schema, name).into_iter().find(|value| taken(value))
}

/// An object with what is required of it. Where its rules ask for more, members are added, one and then two.
fn object(
    schema: &Value,
    head: Map<String, Value>,
    depth: usize,
    taken: &dyn Fn(&Value) -> bool,
) -> Option<Value> {
    let properties = schema.get("properties").and_then(Value::as_object)?;
    let member = |name: &str| value(properties.get(name)?, name, depth + 1);
    let mut members = head;
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !members.contains_key(name) {
            members.insert(name.to_owned(), member(name)?);
        }
    }
    let with = |more: &[&(String, Value)]| {
        let mut members = members.clone();
        members.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        Some(Value::Object(members)).filter(|object| taken(object))
    };
    let bare = with(&[]);
    // An empty object says nothing about what may stand in it.
    if bare.as_ref().is_some_and(|object| *object != json!({})) {
        return bare;
    }
    let optional = || properties.keys().filter(|name| !members.contains_key(*name));
    let one = optional().find_map(|name| with(&[&(name.clone(), member(name)?)]));
    let two = || {
        let optional: Vec<(String, Value)> =
            optional().filter_map(|name| Some((name.clone(), member(name)?))).collect();
        let pairs = optional.iter().enumerate();
        let mut pairs = pairs.flat_map(|(at, a)| optional.iter().skip(at + 1).map(move |b| [a, b]));
        pairs.find_map(|pair| with(&pair))
    };
    one.or(bare).or_else(two)
}

/// A map of one entry.
fn entry(values: &Value, name: &str, depth: usize, taken: &dyn Fn(&Value) -> bool) -> Option<Value> {
    let usual = if OF_RESOURCES.contains(&name) { Some("cpu") } else { None };
    usual.iter().chain(&KEYS).find_map(|key| {
        let map = Value::Object(Map::from_iter([((*key).to_owned(), value(values, key, depth + 1)?)]));
        Some(map).filter(|map| taken(map))
    })
}

/// Values without members that may be meant, likeliest first.
fn leaf(schema: &Value, name: &str) -> Vec<Value> {
    if NOT_GUESSED.contains(&name) {
        return Vec::new();
    }
    let texts = || {
        let named = BY_NAME.iter().filter(|(field, _)| *field == name).map(|(_, text)| *text);
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
    let bounds = ["minimum", "maximum"].iter().filter_map(|key| schema.get(key).cloned());
    let numbers = || [json!(1), json!(8080)].into_iter().chain(bounds).collect::<Vec<Value>>();
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

/// Whether a value holds; rules see it with its defaults, as a server runs them.
fn takes(judge: &Schema, value: &Value) -> bool {
    let mut value = value.clone();
    judge.apply_defaults(&mut value);
    judge.validate(&value, None, &mut Budget::new(RULE_BUDGET)).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// The fields below a schema, by their paths.
    fn fields<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, String, &'s Value)>) {
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if path.is_empty() && matches!(name.as_str(), "status" | "metadata" | "apiVersion" | "kind") {
                continue;
            }
            let path = format!("{path}.{name}");
            fields(member, &path, found);
            found.push((path, name.clone(), member));
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
                fields(inner, path, found);
            }
        }
    }

    #[test]
    fn every_field_of_every_kind_has_an_example_that_holds() {
        let mut faults = Vec::new();
        for definition in hypermesh_schemas::definitions() {
            let (kind, schema) = (&definition.names.kind, &definition.schema);
            let version = match definition.group.as_str() {
                "" => definition.version.clone(),
                group => format!("{group}/{}", definition.version),
            };
            let judge = Schema::compile(schema).unwrap();
            match manifest(schema, &version, kind) {
                Some(object) if takes(&judge, &object) => {}
                // What it holds cannot be guessed.
                None if kind == "CertificateSigningRequest" => {}
                found => faults.push(format!("{kind}: {found:?}")),
            }
            let mut below = Vec::new();
            fields(schema, "", &mut below);
            for (path, name, field) in below {
                let unknown = NOT_GUESSED.contains(&name.as_str()) || kind == "CertificateSigningRequest";
                if example(field, &name).is_none() && !unknown {
                    faults.push(format!("{kind}{path}: no example: {field}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn an_example_is_what_people_write_there() {
        let workload = schema::Schema::built_in(&crate::discovery::Resource {
            group: "hypermesh.online".into(),
            version: "v1".into(),
            kind: "Workload".into(),
            ..Default::default()
        });
        let root = workload.unwrap().root().clone();
        let mut all = Vec::new();
        fields(&root, "", &mut all);
        let at = |path: &str| {
            let (_, name, field) = all.iter().find(|(known, ..)| known == path).unwrap();
            example(field, name).unwrap()
        };
        assert_eq!(at(".spec.schedule.cron"), "30 3 * * 1-5");
        assert_eq!(at(".spec.schedule.timeZone"), "Etc/UTC");
        assert_eq!(at(".spec.template.spec.containers.image"), "registry.example/web:1.0");
    }

    #[test]
    fn what_would_be_refused_is_not_shown() {
        assert_eq!(example(&json!({"type": "string", "pattern": "^never-guessed$"}), "x"), None);
        assert_eq!(example(&json!({"type": "integer", "minimum": 5}), "x"), Some(json!(8080)));
        assert_eq!(example(&json!({"type": "string", "maxLength": 3}), "x"), Some(json!("1")));
        let one_of_two = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "has(self.b)", "message": "b"}]});
        assert_eq!(example(&one_of_two, "x"), Some(json!({"b": 1})));
        let refers = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "pattern": "^never$"}}});
        assert_eq!(example(&refers, "x"), None);
    }
}
