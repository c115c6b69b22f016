//! What a Kubernetes object has without saying so: its type and its ObjectMeta.
//!
//! Source: `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta` in Kubernetes' OpenAPI.

use super::build::below;
use crate::formats::Format;
use crate::schema::{JsonType, ListType, Schema};
use std::collections::BTreeMap;

/// Adds `apiVersion`, `kind` and `metadata` to the root, marked as implied. What the schema says of names stays.
pub(super) fn at_root(schema: &mut Schema) {
    for name in ["apiVersion", "kind"] {
        let property = schema
            .properties
            .entry(name.to_owned())
            .or_insert_with(|| Box::new(Schema { implied: true, ..of_type(JsonType::String) }));
        property.kind = Some(JsonType::String);
    }
    let declared = schema.properties.remove("metadata").unwrap_or_default();
    let mut metadata = object_meta(true);
    metadata.implied = true;
    metadata.constraints.restricted = !declared.properties.is_empty();
    metadata.properties.extend(declared.properties);
    schema.properties.insert("metadata".to_owned(), Box::new(metadata));
}

/// Adds `apiVersion`, `kind` and `metadata` to an embedded resource, whose ObjectMeta is validated as any field is.
pub(super) fn in_embedded(schema: &mut Schema) {
    for name in ["apiVersion", "kind"] {
        schema.properties.entry(name.to_owned()).or_insert_with(|| Box::new(of_type(JsonType::String)));
    }
    let metadata =
        schema.properties.entry("metadata".to_owned()).or_insert_with(|| Box::new(of_type(JsonType::Object)));
    for (name, property) in object_meta(false).properties {
        metadata.properties.entry(name).or_insert(property);
    }
    metadata.constraints.below = below(metadata);
}

fn of_type(kind: JsonType) -> Schema {
    Schema { kind: Some(kind), ..Schema::default() }
}

fn of_format(kind: JsonType, format: Format) -> Schema {
    let mut schema = of_type(kind);
    schema.constraints.format = Some(format);
    schema
}

/// A time that clients may leave null.
fn time() -> Schema {
    Schema { nullable: true, ..of_format(JsonType::String, Format::DateTime) }
}

fn object(properties: impl IntoIterator<Item = (&'static str, Schema)>) -> Schema {
    let properties = properties.into_iter().map(|(name, schema)| (name.to_owned(), Box::new(schema)));
    Schema { properties: properties.collect(), ..of_type(JsonType::Object) }
}

fn strings_by_key() -> Schema {
    Schema { additional: Some(Box::new(of_type(JsonType::String))), ..of_type(JsonType::Object) }
}

fn list(items: Schema, list_type: ListType) -> Schema {
    let mut schema = Schema { items: Some(Box::new(items)), list_type, ..of_type(JsonType::Array) };
    schema.constraints.below = below(&schema);
    schema
}

/// ObjectMeta, as `meta/v1` declares it.
pub fn whole() -> Schema {
    object_meta(false)
}

fn object_meta(implied: bool) -> Schema {
    use JsonType::{Boolean, Integer, Object, String as Text};
    let owner = object([
        ("apiVersion", of_type(Text)),
        ("blockOwnerDeletion", of_type(Boolean)),
        ("controller", of_type(Boolean)),
        ("kind", of_type(Text)),
        ("name", of_type(Text)),
        ("uid", of_type(Text)),
    ]);
    let owner = Schema { atomic_map: true, ..owner };
    let fields = Schema { preserve_unknown: true, ..of_type(Object) };
    let manager = object([
        ("apiVersion", of_type(Text)),
        ("fieldsType", of_type(Text)),
        ("fieldsV1", fields),
        ("manager", of_type(Text)),
        ("operation", of_type(Text)),
        ("subresource", of_type(Text)),
        ("time", time()),
    ]);
    let merged = |schema: Schema, key: Option<&str>| Schema {
        patch_strategy: Some("merge".to_owned()),
        patch_merge_key: key.map(str::to_owned),
        ..schema
    };
    let mut metadata = object([
        ("annotations", strings_by_key()),
        ("creationTimestamp", time()),
        ("deletionGracePeriodSeconds", of_format(Integer, Format::Int64)),
        ("deletionTimestamp", time()),
        ("finalizers", merged(list(of_type(Text), ListType::Set), None)),
        ("generateName", of_type(Text)),
        ("generation", of_format(Integer, Format::Int64)),
        ("labels", strings_by_key()),
        ("managedFields", list(manager, ListType::Atomic)),
        ("name", of_type(Text)),
        ("namespace", of_type(Text)),
        ("ownerReferences", merged(list(owner, ListType::Map(vec!["uid".to_owned()])), Some("uid"))),
        ("resourceVersion", of_type(Text)),
        ("selfLink", of_type(Text)),
        ("uid", of_type(Text)),
    ]);
    if implied {
        mark(&mut metadata.properties);
    }
    metadata
}

fn mark(properties: &mut BTreeMap<String, Box<Schema>>) {
    for property in properties.values_mut() {
        property.implied = true;
        mark(&mut property.properties);
    }
}
