use super::*;
use hypermesh_api::FieldErrorKind;
use serde_json::json;

fn compiled(spec: Value) -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn told(schema: &Schema, new: Value, old: Option<Value>) -> Vec<String> {
    let wrap =
        |spec: Value| json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": 5}, "spec": spec});
    let old = old.map(wrap);
    let errors = schema.validate(&wrap(new), old.as_ref(), &mut Budget::default());
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_told(spec: Value, value: Value, expected: &[&str]) {
    assert_eq!(told(&compiled(spec), value, None), expected);
}

#[test]
fn types_are_told_as_upstream_tells_them() {
    let kind = |kind: &str| json!({"type": "object", "properties": {"x": {"type": kind}}});
    for (schema, value, found) in [
        ("integer", json!("foo"), "string"),
        ("object", json!(42), "integer"),
        ("object", json!(true), "boolean"),
        ("object", json!(1.2), "number"),
        ("boolean", json!({}), "object"),
        ("string", json!(null), "null"),
        ("number", json!("1"), "string"),
    ] {
        let schema_kind = schema;
        assert_told(
            kind(schema_kind),
            json!({"x": value}),
            &[&format!(
                "spec.x: Invalid value: \"{found}\": spec.x in body must be of type {schema}: \"{found}\""
            )],
        );
    }
    assert_told(kind("integer"), json!({"x": 1.0}), &[]);
    assert_told(kind("number"), json!({"x": 1}), &[]);
    assert_told(
        kind("integer"),
        json!({"x": 1.5}),
        &[
            "spec.x: Invalid value: \"number\": spec.x in body must be of type integer: \"number\"",
            "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.x",
        ],
    );
    assert_told(json!({"type": "string", "nullable": true}), json!(null), &[]);
    assert_told(
        json!({"type": "string", "format": "date-time"}),
        json!(5),
        &["spec: Invalid value: \"int64\": spec in body must be of type date-time: \"int64\""],
    );
}

#[test]
fn wrong_types_are_of_their_own_kind_and_stop_rules() {
    let spec = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self < 10"}]});
    let errors = compiled(spec).validate(&json!({"spec": "x"}), None, &mut Budget::default());
    assert_eq!(errors[0].kind, FieldErrorKind::TypeInvalid);
    assert_eq!(
        errors[1].to_string(),
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct \
         the existing errors to complete validation"
    );
    assert_eq!(errors.len(), 2);
}

#[test]
fn numbers() {
    let spec = json!({"type": "integer", "minimum": 0, "maximum": 10, "multipleOf": 5});
    assert_told(spec.clone(), json!(5), &[]);
    assert_told(
        spec.clone(),
        json!(-1),
        &[
            "spec: Invalid value: -1: spec in body should be a multiple of 5",
            "spec: Invalid value: -1: spec in body should be greater than or equal to 0",
        ],
    );
    assert_told(
        spec,
        json!(11),
        &[
            "spec: Invalid value: 11: spec in body should be a multiple of 5",
            "spec: Invalid value: 11: spec in body should be less than or equal to 10",
        ],
    );
    let spec = json!({"type": "number", "minimum": 0.5, "exclusiveMinimum": true, "maximum": 1e6, "exclusiveMaximum": true});
    assert_told(
        spec.clone(),
        json!(0.5),
        &["spec: Invalid value: 0.5: spec in body should be greater than 0.5"],
    );
    assert_told(
        spec.clone(),
        json!(1e6),
        &["spec: Invalid value: 1e+06: spec in body should be less than 1e+06"],
    );
    assert_told(
        spec,
        json!(1_000_000),
        &["spec: Invalid value: 1000000: spec in body should be less than 1000000"],
    );
    assert_told(json!({"type": "number", "multipleOf": 0.01}), json!(0.29), &[]);
    assert_told(
        json!({"type": "number", "multipleOf": 0.01}),
        json!(0.295),
        &["spec: Invalid value: 0.295: spec in body should be a multiple of 0.01"],
    );
    assert_told(
        json!({"type": "number", "multipleOf": -1}),
        json!(1),
        &["spec: Invalid value: 1: factor MultipleOf declared for spec must be positive: -1"],
    );
}

#[test]
fn widths_of_numbers() {
    let int32 = json!({"type": "integer", "format": "int32"});
    assert_told(int32.clone(), json!(i32::MIN), &[]);
    assert_told(
        int32,
        json!(2_147_483_648_i64),
        &["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec"],
    );
    assert_told(json!({"type": "integer", "format": "int64"}), json!(i64::MAX), &[]);
    assert_told(
        json!({"type": "integer"}),
        json!(u64::MAX),
        &[
            "spec: Invalid value: \"number\": spec in body must be of type integer: \"number\"",
            "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec",
        ],
    );
    assert_told(
        json!({"type": "number", "format": "float"}),
        json!(1e39),
        &["<nil>: Invalid value: \"\": Checked value must be of type number with format float in spec"],
    );
    assert_told(
        json!({"type": "integer", "maximum": 1.5}),
        json!(1),
        &[
            "<nil>: Invalid value: \"\": Maximum boundary value must be of type integer (default format) in spec",
        ],
    );
}

#[test]
fn strings() {
    let spec = json!({"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"});
    assert_told(spec.clone(), json!("abc"), &[]);
    assert_told(
        spec.clone(),
        json!("äöüäö"),
        &["spec: Invalid value: \"äöüäö\": spec in body should match '^[a-z]+$'"],
    );
    assert_told(spec.clone(), json!("abcdef"), &["spec: Too long: may not be more than 5 bytes"]);
    assert_told(
        spec.clone(),
        json!("ä"),
        &["spec: Invalid value: \"ä\": spec in body should be at least 2 chars long"],
    );
    assert_told(spec, json!("A\n"), &["spec: Invalid value: \"A\\n\": spec in body should match '^[a-z]+$'"]);
    assert_told(
        json!({"type": "string", "maxLength": 1}),
        json!("ab"),
        &["spec: Too long: may not be more than 1 byte"],
    );
    assert_told(
        json!({"type": "string", "format": "ipv4"}),
        json!("x"),
        &["spec: Invalid value: \"x\": spec in body must be of type ipv4: \"x\""],
    );
    assert_told(json!({"type": "string", "format": "made-up"}), json!("x"), &[]);
}

#[test]
fn enumerations() {
    let spec = json!({"type": "string", "enum": ["a", "b\"c"]});
    assert_told(spec.clone(), json!("a"), &[]);
    assert_told(spec, json!("x"), &[r#"spec: Unsupported value: "x": supported values: "a", "b\"c""#]);
    let spec = json!({"type": "number", "enum": [1, 2.5]});
    assert_told(spec.clone(), json!(1.0), &[]);
    assert_told(spec, json!(1.5), &[r#"spec: Unsupported value: 1.5: supported values: "1", "2.5""#]);
    let nullable = |allowed: Value| json!({"type": "string", "nullable": true, "enum": allowed});
    assert_told(
        nullable(json!(["a"])),
        json!(null),
        &[r#"spec: Unsupported value: null: supported values: "a""#],
    );
    assert_told(nullable(json!(["a", null])), json!(null), &[]);
}

#[test]
fn objects_and_lists() {
    let spec = json!({
        "type": "object", "required": ["b", "a"], "minProperties": 2, "maxProperties": 3,
        "additionalProperties": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer"}},
    });
    assert_told(spec.clone(), json!({"a": [1], "b": [1, 2]}), &[]);
    assert_told(
        spec.clone(),
        json!({"x": ["y"]}),
        &[
            "spec: Invalid value: 1: spec in body should have at least 2 properties",
            "spec.x[0]: Invalid value: \"string\": spec.x[0] in body must be of type integer: \"string\"",
            "spec.b: Required value",
            "spec.a: Required value",
        ],
    );
    assert_told(
        spec,
        json!({"a": [], "b": [1, 2, 3], "c": [1], "d": [1]}),
        &[
            "spec: Too many: 4: must have at most 3 items",
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 items",
            "spec.b: Too many: 3: must have at most 2 items",
        ],
    );
    assert_told(
        json!({"type": "object", "additionalProperties": false}),
        json!({"foo": 1}),
        &["spec: Invalid value: \"foo\": spec.foo in body is a forbidden property"],
    );
}

#[test]
fn combined_schemas_tell_the_closest_alternative() {
    let port =
        json!({"type": "object", "properties": {"name": {"type": "string"}, "number": {"type": "integer"}}});
    let with = |extra: Value| {
        let mut spec = port.clone();
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec
    };
    let either = json!([{"required": ["name"]}, {"required": ["number"]}]);
    assert_told(with(json!({"oneOf": either})), json!({"name": "a"}), &[]);
    assert_told(
        with(json!({"oneOf": either})),
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
            "spec.name: Required value",
        ],
    );
    assert_told(
        with(json!({"oneOf": either})),
        json!({"name": "a", "number": 1}),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    );
    assert_told(
        with(json!({"anyOf": [
            {"required": ["name"], "properties": {"name": {"minLength": 3}}},
            {"required": ["number"], "properties": {"number": {"minimum": 5}, "name": {"maxLength": 1}}},
        ]})),
        json!({"name": "ab", "number": 4}),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)",
            "spec.name: Too long: may not be more than 1 byte",
            "spec.number: Invalid value: 4: spec.number in body should be greater than or equal to 5",
        ],
    );
    assert_told(
        with(json!({"allOf": [{"required": ["name"]}, {"minProperties": 1}]})),
        json!({"number": 1}),
        &[
            "spec.name: Required value",
            "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
        ],
    );
    assert_told(
        with(json!({"allOf": [{"required": ["name"]}]})),
        json!({}),
        &[
            "spec.name: Required value",
            "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf). None validated",
        ],
    );
    assert_told(
        with(json!({"not": {"required": ["name"]}})),
        json!({"name": "a"}),
        &["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
    );
}

#[test]
fn int_or_string() {
    let plain = json!({"x-kubernetes-int-or-string": true});
    assert_told(plain.clone(), json!(42), &[]);
    assert_told(plain.clone(), json!("50%"), &[]);
    assert_told(
        plain.clone(),
        json!(1.2),
        &["spec: Invalid value: \"number\": spec in body must be of type integer,string: \"number\""],
    );
    assert_told(
        plain,
        json!(null),
        &["spec: Invalid value: \"null\": spec in body must be of type integer,string: \"null\""],
    );
    let any_of = json!([{"type": "integer"}, {"type": "string"}]);
    assert_told(
        json!({"x-kubernetes-int-or-string": true, "anyOf": any_of}),
        json!(true),
        &[
            "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
            "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)",
            "spec: Invalid value: \"boolean\": spec in body must be of type integer: \"boolean\"",
        ],
    );
    assert_told(
        json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": any_of}, {"pattern": "^[0-9]+%$"}]}),
        json!("50%"),
        &[],
    );
}

#[test]
fn lists_of_type_set_and_map() {
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    assert_told(
        set.clone(),
        json!(["b", "a", "b", "b", "a"]),
        &["spec[2]: Duplicate value: \"b\"", "spec[4]: Duplicate value: \"a\""],
    );
    let map = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"},
            "tags": {"type": "object", "additionalProperties": set},
        }},
    });
    assert_told(
        map,
        json!([{"name": "a"}, {"name": "a", "tags": {"x.y": ["t", "t"]}}, {"name": "b"}]),
        &["spec[1]: Duplicate value: {\"name\":\"a\"}", "spec[1].tags[x.y][1]: Duplicate value: \"t\""],
    );
    let two = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "required": ["port"], "properties": {
            "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
        }},
    });
    assert_told(
        two.clone(),
        json!([{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}]),
        &["spec[2]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"],
    );
    assert_told(
        two,
        json!([1]),
        &[
            "spec[0]: Invalid value: \"integer\": spec[0] in body must be of type object: \"integer\"",
            "spec[0]: Invalid value: 1: must be an object for an array of list-type map",
        ],
    );
}

#[test]
fn what_is_unchanged_is_not_held_against_an_update() {
    let spec = json!({"type": "object", "properties": {
        "a": {"type": "integer", "maximum": 5},
        "b": {"type": "integer", "maximum": 5},
        "atomic": {"type": "array", "items": {"type": "integer", "maximum": 5}},
        "map": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
            "items": {"type": "object", "required": ["n"], "properties": {
                "n": {"type": "string"}, "v": {"type": "integer", "maximum": 5},
            }},
        },
    }, "required": ["c"]});
    let schema = compiled(spec);
    let bad = json!({"a": 6, "b": 6, "atomic": [6, 7], "map": [{"n": "x", "v": 6}, {"n": "y", "v": 6}]});
    assert_eq!(told(&schema, bad.clone(), Some(bad.clone())), [""; 0]);
    let mut new = bad.clone();
    new["a"] = json!(7);
    assert_eq!(
        told(&schema, new, Some(bad.clone())),
        [
            "spec.a: Invalid value: 7: spec.a in body should be less than or equal to 5",
            "spec.c: Required value"
        ]
    );
    let mut new = bad.clone();
    new["atomic"] = json!([6]);
    new["map"] = json!([{"n": "y", "v": 6}, {"n": "z", "v": 6}, {"n": "x", "v": 8}]);
    assert_eq!(
        told(&schema, new, Some(bad)),
        [
            "spec.atomic[0]: Invalid value: 6: spec.atomic[0] in body should be less than or equal to 5",
            "spec.map[1].v: Invalid value: 6: spec.map[1].v in body should be less than or equal to 5",
            "spec.map[2].v: Invalid value: 8: spec.map[2].v in body should be less than or equal to 5",
            "spec.c: Required value",
        ]
    );
}

#[test]
fn duplicates_are_held_against_an_update_only_if_there_were_none() {
    let schema = compiled(json!({"type": "object", "properties": {
        "a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "b": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    }}));
    let new = json!({"a": ["x", "x"], "b": ["y", "y"]});
    assert_eq!(told(&schema, new.clone(), Some(json!({"a": ["x", "x"]}))), [""; 0]);
    assert_eq!(told(&schema, new, Some(json!({"a": ["x"]}))).len(), 2);
}

#[test]
fn alternatives_see_unchanged_fields_as_valid() {
    let schema = compiled(json!({
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "allOf": [{"properties": {"a": {"maximum": 5}}}],
    }));
    assert_eq!(told(&schema, json!({"a": 6, "b": 1}), Some(json!({"a": 6}))), [""; 0]);
    assert_eq!(told(&schema, json!({"a": 7}), Some(json!({"a": 6}))).len(), 2);
}

#[test]
fn what_a_schema_says_of_names_holds_and_the_rest_of_metadata_is_left_alone() {
    let raw = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}},
    }});
    let schema = Schema::compile(&raw).unwrap();
    let mut object = json!({"metadata": {"name": "abcd", "labels": 5, "bogus": null}});
    let errors = schema.validate(&object, None, &mut Budget::default());
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["metadata.name: Too long: may not be more than 3 bytes"]);
    let before = object.clone();
    schema.apply_defaults(&mut object);
    assert_eq!(schema.prune(&mut object), [""; 0]);
    assert_eq!(object, before);
}

#[test]
fn embedded_resources() {
    let schema = compiled(json!({
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
    }));
    assert_eq!(
        told(&schema, json!({"metadata": {"labels": {"a": 1}}}), None),
        [
            "spec.metadata.labels.a: Invalid value: \"integer\": spec.metadata.labels.a in body must be of type string: \"integer\"",
            "spec.apiVersion: Required value",
            "spec.kind: Required value",
        ]
    );
    assert_eq!(
        told(&schema, json!({"apiVersion": "a/b/c", "kind": "-Pod"}), None),
        [
            "spec.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.kind: Invalid value: \"-Pod\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ]
    );
    let object = json!({"spec": {"apiVersion": "v1", "kind": "Pod", "data": 1}});
    let found = schema.embedded_resources(&object);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].object.len()), ("spec", 3));
}

#[test]
fn errors_are_bounded_and_said_to_be() {
    let schema = compiled(json!({"type": "array", "items": {"type": "integer"}}));
    let many = json!(vec!["x"; 1000]);
    let errors = told(&schema, many.clone(), None);
    assert_eq!(errors.len(), MOST_ERRORS + 1);
    assert_eq!(errors[MOST_ERRORS], "<nil>: Invalid value: too many errors: only the first 64 are listed");
    assert_eq!(told(&schema, many.clone(), Some(many)), [""; 0]);
}

#[test]
fn hostile_values_do_not_inflate_messages() {
    let schema =
        compiled(json!({"type": "object", "additionalProperties": {"type": "string", "format": "ipv4"}}));
    let key = "k".repeat(1 << 20);
    let errors = told(&schema, json!({key: "v".repeat(1 << 20)}), None);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].len() < 8192, "{}", errors[0].len());
}

#[test]
fn within_one_of_and_not_nothing_is_excused() {
    let schema = compiled(json!({
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "not": {"properties": {"a": {"minimum": 5}}},
        "oneOf": [{"properties": {"a": {"maximum": 1}}}, {"properties": {"a": {"minimum": 2}}}],
    }));
    assert_eq!(told(&schema, json!({"a": 3, "b": 1}), Some(json!({"a": 3}))), [""; 0]);
    assert_eq!(
        told(&schema, json!({"a": 6, "b": 1}), Some(json!({"a": 6}))),
        ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]
    );
}

#[test]
fn work_is_bounded() {
    let alternatives: Vec<_> = (0..20).map(|n| json!({"minLength": n + 10})).collect();
    let schema = compiled(json!({"type": "array", "items": {"type": "string", "anyOf": alternatives}}));
    let object = json!({"spec": vec!["x"; 1000]});
    let errors = schema.check_shape(&object, None, 10_000).into_errors();
    let words = "<nil>: Too many: takes more than 10000 steps to validate";
    assert!(errors.iter().any(|error| error.to_string() == words), "{errors:?}");
    let valid = json!({"spec": vec!["x".repeat(10); 1000]});
    assert!(schema.check_shape(&valid, None, 10_000).is_empty());
}

#[test]
fn rules_of_sound_parts_run_beside_unsound_ones() {
    let part = json!({
        "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too large", "fieldPath": ".size"}],
    });
    let spec = json!({
        "type": "object",
        "properties": {"parts": {"type": "array", "items": part}, "one": {"type": "string", "maxLength": 3}},
        "x-kubernetes-validations": [{"rule": "size(self.parts) > 5", "message": "too few"}],
    });
    let parts = json!([{"size": 11}, {"name": "b", "size": 12}, {"name": "c", "size": 1}]);
    assert_told(
        spec.clone(),
        json!({"parts": parts}),
        &[
            "spec.parts[0].name: Required value",
            "spec.parts[1].size: Invalid value: too large",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ],
    );
    // A path is no other that begins like it.
    assert_told(
        spec,
        json!({"one": "long", "parts": [{"name": "b", "size": 12}]}),
        &[
            "spec.one: Too long: may not be more than 3 bytes",
            "spec.parts[0].size: Invalid value: too large",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ],
    );
}

#[test]
fn a_part_of_an_object_is_mistyped_or_not() {
    let schema = compiled(json!({
        "type": "object", "required": ["a", "b"],
        "properties": {"a": {"type": "string"}, "b": {"type": "integer", "maximum": 3}},
    }));
    let told = |spec: Value| {
        schema.mistyped(&json!({"spec": spec})).iter().map(|e| e.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(json!({"b": 4})), Vec::<String>::new(), "what else is wrong is not asked");
    assert_eq!(told(json!({"a": 1, "b": "x"})), ["spec.a", "spec.b"]);
}
