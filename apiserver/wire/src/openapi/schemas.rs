//! Components of a document: the schemas of its kinds, and those of meta.

use crate::catalog::{Catalog, Gvk, Resource, SCALE};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The schemas that every kind leans on, as a literal document.
const META: &str = include_str!("meta.json");
const META_PREFIX: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// `{"$ref": …}` to a component.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The component of a meta kind, such as `ObjectMeta`.
pub(super) fn meta_name(kind: &str) -> String {
    format!("{META_PREFIX}{kind}")
}

/// The component of a kind: its group's labels in reverse, version and kind.
pub(super) fn component_name(gvk: Gvk<'_>) -> String {
    if gvk.group.is_empty() {
        return format!("io.k8s.api.core.{}.{}", gvk.version, gvk.kind);
    }
    let group: Vec<&str> = gvk.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), gvk.version, gvk.kind)
}

/// `x-kubernetes-group-version-kind` of a component; operations hold the one entry without the list.
pub(super) fn gvk_value(gvk: Gvk<'_>) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

/// All the components of a group-version.
pub(super) fn components(group: &str, version: &str, resources: &[Resource<'_>]) -> Map<String, Value> {
    let core = ("", "v1");
    let homes = if group.is_empty() { vec![core] } else { vec![core, (group, version)] };
    let mut schemas = meta_components(&homes);
    for resource in resources {
        schemas.insert(component_name(resource.gvk), object(resource.schema, resource.gvk));
        if resource.verbs.contains(&"list") {
            let list = Gvk { kind: &resource.list_kind, ..resource.gvk };
            schemas.insert(component_name(list), list_object(resource.gvk, list));
        }
        for subresource in &resource.subresources {
            if subresource.gvk == SCALE {
                schemas.insert(component_name(SCALE), object(&scale(), SCALE));
            } else if let Some(schema) = subresource.schema {
                schemas
                    .entry(component_name(subresource.gvk))
                    .or_insert_with(|| object(schema, subresource.gvk));
            }
        }
    }
    schemas
}

/// The components of kinds that Kubernetes has.
pub(crate) fn built_in_components(catalog: &Catalog<'_>, group: &str, version: &str) -> BTreeSet<String> {
    let resources = catalog.resources(group, version);
    let built_in = resources.iter().filter(|resource| resource.strategic);
    built_in.map(|resource| component_name(resource.gvk)).collect()
}

/// Whether a component is one of meta's.
pub(crate) fn is_meta(name: &str) -> bool {
    name.starts_with(META_PREFIX)
}

/// Meta's own components. Each of `homes`, group and version, has DeleteOptions and WatchEvent of its own, by name alone.
pub(crate) fn meta_components(homes: &[(&str, &str)]) -> Map<String, Value> {
    let mut schemas: Map<String, Value> = serde_json::from_str(META).unwrap_or_default();
    for kind in ["DeleteOptions", "WatchEvent"] {
        let kinds: Vec<Value> = homes
            .iter()
            .map(|(group, version)| json!({"group": group, "version": version, "kind": kind}))
            .collect();
        if let Some(schema) = schemas.get_mut(&meta_name(kind)) {
            schema["x-kubernetes-group-version-kind"] = kinds.into();
        }
    }
    schemas
}

/// The schema of a kind with what is implied in its definition.
fn object(schema: &Value, gvk: Gvk<'_>) -> Value {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.insert("type".into(), "object".into());
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        type_meta(properties);
        properties.insert(
            "metadata".into(),
            json!({
                "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
                "default": {},
                "allOf": [reference(&meta_name("ObjectMeta"))],
            }),
        );
    }
    schema.insert("x-kubernetes-group-version-kind".into(), json!([gvk_value(gvk)]));
    Value::Object(schema)
}

fn type_meta(properties: &mut Map<String, Value>) {
    properties.insert(
        "apiVersion".into(),
        json!({
            "type": "string",
            "description": "APIVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
        }),
    );
    properties.insert(
        "kind".into(),
        json!({
            "type": "string",
            "description": "Kind is a string value representing the REST resource this object represents. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
        }),
    );
}

fn list_object(item: Gvk<'_>, list: Gvk<'_>) -> Value {
    let mut properties = Map::new();
    type_meta(&mut properties);
    properties.insert(
        "items".into(),
        json!({
            "type": "array",
            "description": format!("The objects of kind {}.", item.kind),
            "items": {"default": {}, "allOf": [reference(&component_name(item))]},
        }),
    );
    properties.insert(
        "metadata".into(),
        json!({
            "description": "Standard list metadata.",
            "default": {},
            "allOf": [reference(&meta_name("ListMeta"))],
        }),
    );
    json!({
        "type": "object",
        "description": format!("{} is a list of {}", list.kind, item.kind),
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [gvk_value(list)],
    })
}

/// `autoscaling/v1` Scale.
fn scale() -> Value {
    json!({
        "type": "object",
        "description": "Scale represents a scaling request for a resource.",
        "properties": {
            "spec": {
                "type": "object",
                "description": "The desired state.",
                "properties": {
                    "replicas": {"type": "integer", "format": "int32", "description": "The desired number of replicas."},
                },
            },
            "status": {
                "type": "object",
                "description": "The observed state. Read-only.",
                "required": ["replicas"],
                "properties": {
                    "replicas": {"type": "integer", "format": "int32", "description": "The observed number of replicas."},
                    "selector": {"type": "string", "description": "The label selector of the replicas, as text."},
                },
            },
        },
    })
}
