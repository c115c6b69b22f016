//! Every schema is structural, bounded, and serves what the rest of its definition names.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use hypermesh_schemas::definition::{Cell, KindDefinition, Scope};
use hypermesh_schemas::definitions;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const KEYWORDS: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "default",
    "nullable",
    "description",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-preserve-unknown-fields",
    "x-hypermesh-unique",
];

fn walk(node: &Value, path: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let map = node.as_object().unwrap_or_else(|| panic!("{path} is not a schema: {node}"));
    visit(path, map);
    for (name, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(child, &format!("{path}.{name}"), visit);
    }
    for (keyword, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = map.get(keyword) {
            walk(child, &format!("{path}{step}"), visit);
        }
    }
}

/// Runs `visit` over every node of every definition, with a path that starts with the kind.
fn every_node(mut visit: impl FnMut(&KindDefinition, &str, &Map<String, Value>)) {
    for definition in definitions() {
        walk(&definition.schema, &definition.names.kind, &mut |path, node| visit(&definition, path, node));
    }
}

#[test]
fn schemas_are_structural() {
    every_node(|_, path, node| {
        for keyword in node.keys() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: {keyword}");
        }
        let either = node.contains_key("x-kubernetes-int-or-string");
        let kind = node.get("type").and_then(Value::as_str);
        assert_ne!(either, kind.is_some(), "{path}: a node has a type or is an int-or-string");
        let object = kind == Some("object");
        assert!(object || !node.contains_key("properties"), "{path}: properties of what is not an object");
        assert!(
            !(node.contains_key("properties") && node.contains_key("additionalProperties")),
            "{path}: properties and additionalProperties"
        );
        assert_eq!(kind == Some("array"), node.contains_key("items"), "{path}: items");
        if let Some(required) = node.get("required").and_then(Value::as_array) {
            for name in required {
                assert!(node["properties"].get(name.as_str().unwrap()).is_some(), "{path}: required {name}");
            }
        }
    });
}

#[test]
fn every_field_is_described() {
    every_node(|_, path, node| {
        if path.rsplit_once('.').is_some_and(|(_, last)| !last.ends_with(['}', ']'])) {
            let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(text.ends_with('.') && text.len() > 5, "{path}: {text:?}");
            assert!(!text.contains('\n'), "{path}: {text:?}");
        }
    });
}

#[test]
fn lists_say_how_they_merge() {
    every_node(|_, path, node| {
        if node.get("type") != Some(&"array".into()) {
            return;
        }
        let items = &node["items"];
        match node.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("atomic") => {}
            Some("set") => assert!(items.get("properties").is_none(), "{path}: a set of objects"),
            Some("map") => {
                for key in node["x-kubernetes-list-map-keys"].as_array().unwrap() {
                    let key = key.as_str().unwrap();
                    let required =
                        items["required"].as_array().is_some_and(|names| names.contains(&key.into()));
                    let defaulted = items["properties"][key].get("default").is_some();
                    assert!(required || defaulted, "{path}: key {key} is neither required nor defaulted");
                }
            }
            other => panic!("{path}: list type {other:?}"),
        }
    });
}

/// What our kinds hold has an end, so that the cost of a rule has one too.
#[test]
fn our_kinds_are_bounded() {
    every_node(|definition, path, node| {
        if definition.strategy.built_in {
            return;
        }
        let bounded = match node.get("type").and_then(Value::as_str) {
            Some("array") => node.contains_key("maxItems"),
            Some("object") => {
                node.contains_key("maxProperties") || !node.contains_key("additionalProperties")
            }
            Some("string") => ["maxLength", "enum", "format"].iter().any(|bound| node.contains_key(*bound)),
            None => node.contains_key("maxLength"),
            _ => true,
        };
        let free = path.ends_with(".annotations{}");
        assert!(bounded || free, "{path} has no bound");
    });
}

#[test]
fn patterns_compile_and_enumerations_are_camel_case() {
    every_node(|definition, path, node| {
        if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
            assert!(regex::Regex::new(pattern).is_ok(), "{path}: {pattern}");
            assert!(pattern.starts_with('^') && pattern.ends_with('$'), "{path}: {pattern} is not anchored");
        }
        if definition.strategy.built_in {
            return;
        }
        for value in node.get("enum").and_then(Value::as_array).into_iter().flatten() {
            let value = value.as_str().unwrap();
            assert!(value.starts_with(|c: char| c.is_ascii_uppercase()), "{path}: {value}");
            assert!(value.bytes().all(|b| b.is_ascii_alphanumeric()), "{path}: {value}");
        }
    });
}

#[test]
fn names_are_unique_where_clients_look_for_them() {
    let mut plurals = BTreeSet::new();
    let mut called = BTreeSet::new();
    let mut files = BTreeSet::new();
    for definition in definitions() {
        let names = &definition.names;
        assert!(plurals.insert((definition.group.clone(), names.plural.clone())), "{}", names.plural);
        assert_eq!(names.singular, names.kind.to_lowercase());
        assert_eq!(names.list_kind, format!("{}List", names.kind));
        assert!(files.insert(names.singular.clone()), "{}", names.singular);
        for name in names.short_names.iter().chain([&names.plural, &names.singular]) {
            assert!(called.insert(name.clone()), "{name} means two kinds");
        }
    }
}

#[test]
fn our_kinds_share_one_shape() {
    for definition in definitions().iter().filter(|definition| !definition.strategy.built_in) {
        let kind = &definition.names.kind;
        assert_eq!(definition.api_version(), "hypermesh.online/v1", "{kind}");
        assert!(definition.strategy.generation, "{kind}");
        let schema = &definition.schema;
        if kind == "Identity" {
            // What the state machine itself acts on takes effect as it is stored.
            assert!(!definition.subresources.status && definition.strategy.initial_status.is_none());
            assert!(definition.names.categories.is_empty());
            assert_eq!(schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["spec"]);
            continue;
        }
        assert!(definition.subresources.status, "{kind}");
        assert_eq!(definition.names.categories, ["hypermesh", "all"], "{kind}");
        assert_eq!(
            schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["spec", "status"],
            "{kind}"
        );
        assert_eq!(schema["required"], serde_json::json!(["spec"]), "{kind}");
        let conditions = &schema["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]), "{kind}");
        let required = serde_json::json!(["type", "status", "lastTransitionTime", "reason", "message"]);
        assert_eq!(conditions["items"]["required"], required, "{kind}");
        let initial = &definition.strategy.initial_status.as_ref().unwrap()["conditions"][0];
        assert_eq!(initial["type"], "Ready", "{kind}");
        assert_eq!(initial["status"], "Unknown", "{kind}");
        if kind == "Instance" {
            // The scheduler and its node say how it is, and its Workload made it: a controller is there.
            assert_eq!(initial["reason"], "Pending");
            continue;
        }
        assert_eq!(initial["reason"], "NoController", "{kind}");
        assert!(initial["message"].as_str().unwrap().contains(kind.as_str()), "{kind}");
        assert!(initial.get("lastTransitionTime").is_none(), "{kind}: the pipeline stamps it");
    }
}

/// The steps of a JSON path: field names, without indices, wildcards and filters.
fn steps(path: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut depth = 0usize;
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

fn exists(schema: &Value, path: &str) -> bool {
    let mut node = schema;
    for step in steps(path) {
        while let Some(items) = node.get("items") {
            node = items;
        }
        let Some(child) = node.get("properties").and_then(|fields| fields.get(&step)) else { return false };
        node = child;
    }
    true
}

#[test]
fn every_path_of_a_definition_leads_somewhere() {
    for definition in definitions() {
        let kind = &definition.names.kind;
        let present = |path: &str| path.starts_with(".metadata.") || exists(&definition.schema, path);
        for column in &definition.printer_columns {
            let cell = Cell::parse(&column.json_path).unwrap();
            // Of a list of paths a manifest names the last, and a table of Kubernetes shows that.
            assert!(
                definition.strategy.built_in || matches!(cell, Cell::Path(_) | Cell::First(_)),
                "{kind}: {}",
                column.json_path
            );
            for path in cell.paths() {
                assert!(present(path), "{kind}: {path}");
            }
            assert!(
                ["string", "integer", "boolean", "date"].contains(&column.kind.as_str()),
                "{kind}: {}",
                column.kind
            );
        }
        for path in &definition.selectable_fields {
            assert!(present(path), "{kind}: {path}");
        }
        for field in &definition.unique_fields {
            assert!(present(&field.json_path), "{kind}: {}", field.json_path);
        }
        if let Some(scale) = &definition.subresources.scale {
            for path in [
                &scale.spec_replicas_path,
                &scale.status_replicas_path,
                scale.label_selector_path.as_ref().unwrap(),
            ] {
                assert!(present(path), "{kind}: {path}");
            }
        }
    }
    assert!(!exists(&definitions()[0].schema, ".spec.nowhere"));
}

#[test]
fn definitions_survive_the_state() {
    for definition in definitions() {
        let stored = serde_json::to_vec(&definition).unwrap();
        let read: KindDefinition = serde_json::from_slice(&stored).unwrap();
        assert_eq!(read, definition);
        assert_eq!(serde_json::to_vec(&read).unwrap(), stored);
    }
}

/// One line a kind: scope, short names, unique fields, what the strategy turns on.
#[test]
fn strategies() {
    let mut lines = String::new();
    for definition in definitions() {
        let strategy = &definition.strategy;
        let mut words = vec![definition.crd_name()];
        words.push(if definition.scope == Scope::Cluster { "cluster" } else { "namespaced" }.to_owned());
        words.extend(definition.names.short_names.iter().cloned());
        words.extend(definition.unique_fields.iter().map(|field| format!("unique:{}", field.json_path)));
        words.push(format!("{:?}", strategy.name));
        for (word, on) in [
            ("generation", strategy.generation),
            ("status", definition.subresources.status),
            ("scale", definition.subresources.scale.is_some()),
            ("unconditional-update", strategy.unconditional_update),
            ("create-on-update", strategy.create_on_update),
        ] {
            words.extend(on.then(|| word.to_owned()));
        }
        words.extend(strategy.hooks.iter().map(|hook| format!("hook:{hook:?}")));
        lines.push_str(&words.join(" "));
        lines.push('\n');
    }
    insta::assert_snapshot!(lines, @"
    assets.hypermesh.online cluster as DnsSubdomain generation status
    certificates.hypermesh.online namespaced cert DnsSubdomain generation status
    domains.hypermesh.online namespaced dom unique:.spec.name DnsSubdomain generation status
    identities.hypermesh.online cluster ident DnsSubdomain generation hook:Identity
    instances.hypermesh.online namespaced inst DnsLabel generation status
    issuers.hypermesh.online cluster DnsSubdomain generation status
    networks.hypermesh.online namespaced net DnsLabel generation status
    nodes.hypermesh.online cluster unique:.spec.publicKey DnsSubdomain generation status
    workloads.hypermesh.online namespaced wl DnsLabel generation status scale
    namespaces cluster ns DnsLabel status unconditional-update hook:Namespace
    secrets namespaced DnsSubdomain unconditional-update hook:Secret
    configmaps namespaced cm DnsSubdomain unconditional-update hook:ConfigMap
    events namespaced ev DnsSubdomain unconditional-update create-on-update hook:Event
    serviceaccounts namespaced sa DnsSubdomain unconditional-update hook:ServiceAccount
    leases.coordination.k8s.io namespaced DnsSubdomain create-on-update
    controllerrevisions.apps namespaced DnsSubdomain
    roles.rbac.authorization.k8s.io namespaced PathSegment unconditional-update create-on-update hook:Role
    clusterroles.rbac.authorization.k8s.io cluster PathSegment unconditional-update create-on-update hook:Role
    rolebindings.rbac.authorization.k8s.io namespaced PathSegment unconditional-update create-on-update hook:RoleBinding
    clusterrolebindings.rbac.authorization.k8s.io cluster PathSegment unconditional-update create-on-update hook:RoleBinding
    certificatesigningrequests.certificates.k8s.io cluster csr DnsSubdomain status unconditional-update hook:CertificateSigningRequest
    ");
}
