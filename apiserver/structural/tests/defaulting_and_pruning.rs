//! What defaulting and pruning do to objects.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use hypermesh_structural::Schema;
use serde_json::{Value, json};

fn compiled(spec: Value) -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn defaulted(schema: &Schema, spec: Value) -> Value {
    let mut object = json!({"spec": spec});
    schema.apply_defaults(&mut object);
    object["spec"].take()
}

fn pruned(schema: &Schema, spec: Value) -> (Value, Vec<String>) {
    let mut object = json!({"spec": spec});
    let unknown = schema.prune(&mut object);
    (object["spec"].take(), unknown)
}

#[test]
fn what_is_absent_or_null_is_defaulted() {
    let schema = compiled(json!({"type": "object", "properties": {
        "a": {"type": "integer", "default": 1},
        "nullable": {"type": "integer", "default": 1, "nullable": true},
        "plain": {"type": "integer"},
        "nested": {"type": "object", "default": {"x": 1}, "properties": {
            "x": {"type": "integer"}, "y": {"type": "integer", "default": 2},
        }},
    }}));
    assert_eq!(defaulted(&schema, json!({})), json!({"a": 1, "nullable": 1, "nested": {"x": 1, "y": 2}}));
    assert_eq!(
        defaulted(&schema, json!({"a": null, "nullable": null, "plain": null, "nested": {}})),
        json!({"a": 1, "nullable": null, "nested": {"y": 2}})
    );
    assert_eq!(
        defaulted(&schema, json!({"a": "wrong", "unknown": null})),
        json!({"a": "wrong", "unknown": null, "nullable": 1, "nested": {"x": 1, "y": 2}})
    );
}

#[test]
fn what_is_not_an_object_is_not_made_one() {
    let schema = compiled(json!({"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}));
    assert_eq!(defaulted(&schema, json!("text")), json!("text"));
    let mut object = json!({});
    schema.apply_defaults(&mut object);
    assert_eq!(object, json!({}));
}

#[test]
fn maps_and_lists_are_defaulted_by_item() {
    let item = json!({"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}});
    let mut with_default = item.clone();
    with_default["default"] = json!({});
    let schema = compiled(json!({"type": "object", "properties": {
        "list": {"type": "array", "items": item},
        "filled": {"type": "array", "items": with_default},
        "map": {"type": "object", "additionalProperties": item},
        "filledMap": {"type": "object", "additionalProperties": with_default},
    }}));
    let spec = json!({
        "list": [{}, null], "filled": [null], "map": {"a": {}, "b": null}, "filledMap": {"b": null},
    });
    assert_eq!(
        defaulted(&schema, spec),
        json!({
            "list": [{"p": "TCP"}, null], "filled": [{"p": "TCP"}],
            "map": {"a": {"p": "TCP"}}, "filledMap": {"b": {"p": "TCP"}},
        })
    );
}

#[test]
fn unknown_fields_are_removed_and_told_in_order() {
    let schema = compiled(json!({"type": "object", "properties": {
        "containers": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "object"}},
        "closed": {"type": "object", "additionalProperties": false},
    }}));
    let (spec, unknown) = pruned(
        &schema,
        json!({
            "zeta": 1, "bogus": {"deep": 1}, "containers": [{"foo": 1, "name": "a"}, {"name": "b", "bar": 2}],
            "labels": {"a": {"x": 1}}, "closed": {"kept": 1},
        }),
    );
    assert_eq!(
        spec,
        json!({"containers": [{"name": "a"}, {"name": "b"}], "labels": {"a": {}}, "closed": {"kept": 1}})
    );
    assert_eq!(
        unknown,
        ["spec.bogus", "spec.containers[0].foo", "spec.containers[1].bar", "spec.labels.a.x", "spec.zeta"]
    );
}

#[test]
fn the_type_and_metadata_of_an_object_are_left_alone() {
    let schema = compiled(json!({"type": "object"}));
    let mut object = json!({"apiVersion": 1, "kind": null, "metadata": {"bogus": 1}, "status": {}});
    assert_eq!(schema.prune(&mut object), ["status"]);
    assert_eq!(object, json!({"apiVersion": 1, "kind": null, "metadata": {"bogus": 1}}));
}

#[test]
fn unknown_fields_are_preserved_where_asked_until_the_schema_is_specific_again() {
    let schema = compiled(json!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "strict": {"type": "object", "properties": {"a": {"type": "string"}}},
            "list": {"type": "array", "x-kubernetes-preserve-unknown-fields": true, "items": {
                "type": "object", "properties": {"strict": {"type": "object"}},
            }},
        },
    }));
    let (spec, unknown) = pruned(
        &schema,
        json!({
            "any": {"thing": [1]}, "strict": {"a": "x", "b": 1},
            "list": [{"any": 1, "strict": {"b": 1}}],
        }),
    );
    assert_eq!(
        spec,
        json!({"any": {"thing": [1]}, "strict": {"a": "x"}, "list": [{"any": 1, "strict": {}}]})
    );
    assert_eq!(unknown, ["spec.list[0].strict.b", "spec.strict.b"]);
}

#[test]
fn embedded_resources_keep_what_object_meta_has() {
    let schema = compiled(json!({
        "type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}},
    }));
    let (spec, unknown) = pruned(
        &schema,
        json!({"apiVersion": "v1", "kind": "X", "data": "d", "other": 1,
            "metadata": {"name": "n", "bogus": 1, "managedFields": [{"fieldsV1": {"f:a": {}}}]}}),
    );
    assert_eq!(
        spec,
        json!({"apiVersion": "v1", "kind": "X", "data": "d",
            "metadata": {"name": "n", "managedFields": [{"fieldsV1": {"f:a": {}}}]}})
    );
    assert_eq!(unknown, ["spec.metadata.bogus", "spec.other"]);
}

#[test]
fn hostile_objects_do_not_inflate_what_is_told() {
    let schema = compiled(json!({"type": "object", "additionalProperties": {"type": "object"}}));
    let fields: serde_json::Map<_, _> = (0..10_000).map(|i| (format!("f{i}"), json!(1))).collect();
    let (spec, unknown) = pruned(&schema, json!({"k".repeat(1 << 20): fields}));
    assert!(spec.as_object().unwrap().values().all(|map| map == &json!({})));
    assert!(unknown.iter().map(String::len).sum::<usize>() < 80 * 1024);
}
