use super::*;
use serde_json::json;

#[track_caller]
fn assert_refused(raw: Value, expected: &[&str]) {
    let errors = Schema::compile(&raw).err().unwrap_or_default();
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

/// A schema with this one for `spec`.
fn with_spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}})
}

#[test]
fn every_value_has_a_type() {
    assert_refused(json!({}), &["type: Required value: must not be empty at the root"]);
    assert_refused(
        json!({"type": "array"}),
        &[
            "items: Required value: must be specified",
            "type: Invalid value: \"array\": must be object at the root",
        ],
    );
    assert_refused(
        with_spec(json!({})),
        &["properties[spec].type: Required value: must not be empty for specified object fields"],
    );
    assert_refused(
        with_spec(json!({"type": "array", "items": {}})),
        &["properties[spec].items.type: Required value: must not be empty for specified array items"],
    );
    assert_refused(
        with_spec(json!({"type": "text"})),
        &[
            "properties[spec].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ],
    );
    assert!(Schema::compile(&with_spec(json!({"x-kubernetes-preserve-unknown-fields": true}))).is_ok());
    assert!(Schema::compile(&with_spec(json!({"x-kubernetes-int-or-string": true}))).is_ok());
}

#[test]
fn combined_schemas_say_nothing_of_structure() {
    assert_refused(
        json!({
            "type": "object", "properties": {"a": {"type": "string"}},
            "anyOf": [
                {"type": "object", "description": "x", "nullable": true, "default": {}},
                {"properties": {"b": {"minLength": 1}, "metadata": {}}},
                {"additionalProperties": true, "x-kubernetes-validations": [{"rule": "true"}]},
            ],
        }),
        &[
            "anyOf[0].default: Forbidden: must be undefined to be structural",
            "anyOf[0].description: Forbidden: must be empty to be structural",
            "anyOf[0].nullable: Forbidden: must be false to be structural",
            "anyOf[0].type: Forbidden: must be empty to be structural",
            "anyOf[1].properties[metadata]: Forbidden: must not be specified in a nested context",
            "anyOf[2].additionalProperties: Forbidden: must be undefined to be structural",
            "anyOf[2].x-kubernetes-validations: Forbidden: must be empty to be structural",
            "properties[b]: Required value: because it is defined in anyOf[1].properties[b]",
            "properties[metadata]: Required value: because it is defined in anyOf[1].properties[metadata]",
        ],
    );
}

#[test]
fn int_or_string_may_name_its_types() {
    let any_of = json!([{"type": "integer"}, {"type": "string"}]);
    for spec in [
        json!({"x-kubernetes-int-or-string": true, "anyOf": any_of}),
        json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": any_of}, {"pattern": "a"}]}),
    ] {
        assert!(Schema::compile(&with_spec(spec)).is_ok());
    }
    assert_refused(
        with_spec(
            json!({"x-kubernetes-int-or-string": true, "allOf": [{"pattern": "a"}, {"anyOf": any_of}]}),
        ),
        &[
            "properties[spec].allOf[1].anyOf[0].type: Forbidden: must be empty to be structural",
            "properties[spec].allOf[1].anyOf[1].type: Forbidden: must be empty to be structural",
        ],
    );
    assert_refused(
        with_spec(json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true})),
        &[
            "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ],
    );
}

#[test]
fn what_every_object_has_is_not_redefined() {
    assert_refused(
        json!({"type": "object", "additionalProperties": {"type": "string"}, "properties": {
            "kind": {"type": "integer"},
            "metadata": {"type": "object", "properties": {"labels": {"type": "object"}}},
        }}),
        &[
            "additionalProperties: Forbidden: must not be used at the root",
            "properties[kind].type: Invalid value: \"integer\": must be string",
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ],
    );
    assert_refused(
        with_spec(json!({"type": "string", "x-kubernetes-embedded-resource": true})),
        &[
            "properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            "properties[spec].type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
        ],
    );
    assert_refused(
        json!({"type": "object", "nullable": true, "properties": {"kind": {"type": "string", "default": "x"}}}),
        &[
            "nullable: Forbidden: nullable cannot be true at the root",
            "properties[kind].default: Forbidden: must not be set in top-level kind",
        ],
    );
}

#[test]
fn keywords_that_are_not_supported_are_told() {
    assert_refused(
        with_spec(json!({
            "type": "array", "items": [{"type": "string"}], "$ref": "#/x", "id": "i", "uniqueItems": true,
            "patternProperties": {"a": {}}, "definitions": {}, "x-kubernetes-preserve-unknown-fields": false,
        })),
        &[
            "properties[spec].id: Forbidden: id is not supported",
            "properties[spec].$ref: Forbidden: $ref is not supported",
            "properties[spec].patternProperties: Forbidden: patternProperties is not supported",
            "properties[spec].items: Forbidden: items must be a schema object and not an array",
            "properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ],
    );
    assert_refused(
        with_spec(json!({"type": "string", "pattern": "+"})),
        &[
            "properties[spec].pattern: Invalid value: \"+\": must be a valid regular expression, but isn't: error parsing regexp: missing argument to repetition operator: `+`",
        ],
    );
}

#[test]
fn keywords_of_the_wrong_type_are_told() {
    assert_refused(
        json!({"type": 5, "properties": [], "required": "a", "maxLength": 1.5, "nullable": "yes", "allOf": [1]}),
        &[
            "type: Invalid value: \"number\": must be of type string: \"number\"",
            "nullable: Invalid value: \"string\": must be of type boolean: \"string\"",
            "maxLength: Invalid value: \"number\": must be of type integer: \"number\"",
            "required: Invalid value: \"string\": must be of type array: \"string\"",
            "properties: Invalid value: \"array\": must be of type object: \"array\"",
            "allOf[0]: Invalid value: \"number\": must be of type object: \"number\"",
        ],
    );
    assert_refused(json!(true), &["<nil>: Invalid value: \"boolean\": must be of type object: \"boolean\""]);
}

#[test]
fn lists_of_type_set_and_map_have_items_that_can_be_told_apart() {
    assert_refused(
        with_spec(json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "a", "b", "c"],
            "items": {"type": "object", "nullable": true, "properties": {
                "a": {"type": "string"}, "b": {"type": "object", "default": {}, "nullable": true},
            }},
        })),
        &[
            "properties[spec].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            "properties[spec].x-kubernetes-list-map-keys: Invalid value: [\"a\",\"a\",\"b\",\"c\"]: must not contain duplicate entries",
            "properties[spec].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            "properties[spec].items.properties[b].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
            "properties[spec].items.properties[b].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            "properties[spec].x-kubernetes-list-map-keys: Invalid value: [\"a\",\"a\",\"b\",\"c\"]: entries must all be names of item properties",
            "properties[spec].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
        ],
    );
    assert_refused(
        with_spec(json!({
            "type": "array", "x-kubernetes-list-type": "set", "x-kubernetes-list-map-keys": ["a"],
            "items": {"type": "object"},
        })),
        &[
            "properties[spec].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            "properties[spec].x-kubernetes-list-type: Invalid value: \"set\": must be map if x-kubernetes-list-map-keys is non-empty",
        ],
    );
    assert_refused(
        with_spec(json!({"type": "string", "x-kubernetes-list-type": "x", "x-kubernetes-map-type": "y"})),
        &[
            "properties[spec].type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
            "properties[spec].x-kubernetes-map-type: Unsupported value: \"y\": supported values: \"atomic\", \"granular\"",
            "properties[spec].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            "properties[spec].x-kubernetes-list-type: Unsupported value: \"x\": supported values: \"atomic\", \"set\", \"map\"",
        ],
    );
}

#[test]
fn rules_are_well_formed() {
    let with_rules = |rules: Value| with_spec(json!({"type": "integer", "x-kubernetes-validations": rules}));
    assert_refused(
        with_rules(json!([
            {"rule": " "},
            {"rule": "true", "message": " "},
            {"rule": "true", "message": "a\nb", "messageExpression": " "},
            {"rule": "true\n", "reason": "Because", "fieldPath": " "},
            {"rule": "true ||\ntrue"},
        ])),
        &[
            "properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified",
            "properties[spec].x-kubernetes-validations[1].message: Invalid value: \" \": must be non-empty if specified",
            "properties[spec].x-kubernetes-validations[2].message: Invalid value: \"a\\nb\": must not contain line breaks",
            "properties[spec].x-kubernetes-validations[2].messageExpression: Required value: messageExpression must be non-empty if specified",
            "properties[spec].x-kubernetes-validations[3].reason: Unsupported value: \"Because\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            "properties[spec].x-kubernetes-validations[3].fieldPath: Invalid value: \" \": must be non-empty if specified",
            "properties[spec].x-kubernetes-validations[4].message: Required value: message must be specified if rule contains line breaks",
        ],
    );
    let errors = Schema::compile(&with_rules(json!([
        {"rule": "self <"},
        {"rule": "nope > 1"},
        {"rule": "true", "messageExpression": "1 +"},
        {"rule": "true", "fieldPath": ".x"},
        {"rule": "true", "optionalOldSelf": true},
    ])))
    .err()
    .unwrap_or_default();
    let fields: Vec<_> = errors.iter().map(|error| error.field_error().field.as_str()).collect();
    let at = |index: usize, part: &str| format!("properties[spec].x-kubernetes-validations[{index}].{part}");
    assert_eq!(
        fields,
        [
            at(0, "rule"),
            at(1, "rule"),
            at(2, "messageExpression"),
            at(3, "fieldPath"),
            at(4, "optionalOldSelf")
        ]
    );
}

#[test]
fn transition_rules_stand_where_old_values_can_be_found() {
    let size = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]});
    let items =
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}, "size": size}});
    assert_refused(
        with_spec(json!({"type": "array", "items": items})),
        &[
            "properties[spec].items.properties[size].x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within properties[spec]",
        ],
    );
    let map = json!({
        "type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
    });
    assert!(Schema::compile(&with_spec(map)).is_ok());
}

#[test]
fn defaults_are_valid() {
    assert_refused(
        with_spec(json!({"type": "object", "default": {"a": 5, "b": "x", "c": 1}, "properties": {
            "a": {"type": "string", "default": 1},
            "b": {"type": "integer", "default": 9, "x-kubernetes-validations": [{"rule": "self < 5"}]},
        }})),
        &[
            "properties[spec].default: Invalid value: {\"a\":5,\"b\":\"x\",\"c\":1}: must not have unknown fields",
            "properties[spec].default.a: Invalid value: \"integer\": a in body must be of type string: \"integer\"",
            "properties[spec].default.b: Invalid value: \"string\": b in body must be of type integer: \"string\"",
            "properties[spec].default: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            "properties[spec].properties[a].default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
            "properties[spec].properties[b].default: Invalid value: 9: failed rule: self < 5",
        ],
    );
    assert!(Schema::compile(&with_spec(json!({"type": "object", "default": null}))).is_ok());
}

#[test]
fn hostile_schemas_are_refused_in_time() {
    let mut deep = json!({"type": "string"});
    for _ in 0..200 {
        deep = json!({"type": "object", "additionalProperties": deep});
    }
    let errors = Schema::compile(&with_spec(deep)).err().unwrap_or_default();
    assert!(
        errors.iter().any(|error| error.to_string().ends_with("must not be nested deeper than 64 schemas"))
    );

    let wide: serde_json::Map<_, _> =
        (0..MOST_NODES).map(|i| (format!("p{i}"), json!({"type": "string"}))).collect();
    assert_refused(
        with_spec(json!({"type": "object", "properties": wide})),
        &["<nil>: Forbidden: must not have more than 50000 schemas"],
    );

    let untyped: serde_json::Map<_, _> = (0..1000).map(|i| (format!("p{i}"), json!({}))).collect();
    let errors = Schema::compile(&json!({"type": "object", "properties": untyped})).err().unwrap_or_default();
    assert_eq!(errors.len(), MOST_ERRORS + 1);
}

#[test]
fn the_deepest_schema_works() {
    let mut raw = json!({"type": "string", "default": "x"});
    let mut value = json!({});
    for _ in 0..DEEPEST - 2 {
        raw = json!({"type": "object", "properties": {"p": raw}});
        value = json!({"p": value});
    }
    let schema = Schema::compile(&raw).unwrap();
    schema.apply_defaults(&mut value);
    assert_eq!(schema.prune(&mut value).len(), 0);
    assert_eq!(schema.validate(&value, None, &mut hypermesh_cel::Budget::default()).len(), 1);
}

#[test]
fn errors_can_be_put_under_a_path() {
    let error = || Schema::compile(&json!({})).err().unwrap_or_default().remove(0);
    assert_eq!(error().under("spec.schema").field, "spec.schema.type");
    assert_eq!(error().under("").field, "type");
    let root = Schema::compile(&json!(1)).err().unwrap_or_default().remove(0);
    assert_eq!(root.under("spec.schema").field, "spec.schema");
}

#[test]
fn object_meta_is_implied() {
    let raw = json!({"type": "object", "properties": {"template": {
        "type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}},
    }}});
    let schema = Schema::compile(&raw).unwrap();
    let finalizers = schema.at(["metadata", "finalizers"]).unwrap();
    assert_eq!(finalizers.list_type, crate::ListType::Set);
    assert!(finalizers.implied);
    assert!(!schema.at(["template", "metadata", "name"]).unwrap().implied);
    assert!(schema.at(["template", "metadata", "ownerReferences", "[]", "uid"]).is_some());
}
