use super::*;
use hypermesh_cel::Budget;
use serde_json::{Value, json};

fn compiled(spec: Value) -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn with_rule(mut spec: Value, rule: Value) -> Schema {
    spec["x-kubernetes-validations"] = json!([rule]);
    compiled(spec)
}

fn told(schema: &Schema, new: Value, old: Option<Value>) -> Vec<String> {
    let old = old.map(|old| json!({"spec": old}));
    let errors = schema.validate(&json!({"spec": new}), old.as_ref(), &mut Budget::default());
    errors.iter().map(ToString::to_string).collect()
}

fn integer() -> Value {
    json!({"type": "integer"})
}

#[test]
fn a_broken_rule_is_told_with_the_value_of_a_scalar() {
    let schema = with_rule(integer(), json!({"rule": "self < 10", "message": " too many "}));
    assert_eq!(told(&schema, json!(9), None), [""; 0]);
    assert_eq!(told(&schema, json!(11), None), ["spec: Invalid value: 11: too many"]);
    let schema = with_rule(integer(), json!({"rule": " self < 10 "}));
    assert_eq!(told(&schema, json!(11), None), ["spec: Invalid value: 11: failed rule: self < 10"]);
    let object = json!({"type": "object", "properties": {"a": integer(), "b": integer()}});
    let schema = with_rule(object, json!({"rule": "self.a <= self.b"}));
    assert_eq!(
        told(&schema, json!({"a": 2, "b": 1}), None),
        ["spec: Invalid value: failed rule: self.a <= self.b"]
    );
}

#[test]
fn reasons_and_field_paths_shape_the_error() {
    let spec = json!({"type": "object", "properties": {
        "a": integer(), "b.c": integer(), "m": {"type": "object", "additionalProperties": integer()},
    }});
    for (reason, path, expected) in [
        ("FieldValueRequired", ".a", "spec.a: Required value: no"),
        ("FieldValueForbidden", "['b.c']", "spec.b.c: Forbidden: no"),
        ("FieldValueDuplicate", ".m['k']", "spec.m[k]: Duplicate value"),
        ("FieldValueInvalid", "", "spec: Invalid value: no"),
    ] {
        let rule = json!({"rule": "false", "message": "no", "reason": reason, "fieldPath": path});
        let errors =
            with_rule(spec.clone(), rule).validate(&json!({"spec": {}}), None, &mut Budget::default());
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        assert_eq!(errors[0].kind.reason(), reason);
    }
}

#[test]
fn message_expressions_fall_back_on_the_message() {
    let rule =
        |expression: &str| json!({"rule": "self < 1", "message": "plain", "messageExpression": expression});
    for (expression, expected) in [
        ("'no ' + string(self)", "no 5"),
        ("' trimmed '", "trimmed"),
        ("'two\\nlines'", "plain"),
        ("'  '", "plain"),
        ("string(1 / (self - 5))", "plain"),
    ] {
        let schema = with_rule(integer(), rule(expression));
        assert_eq!(
            told(&schema, json!(5), None),
            [format!("spec: Invalid value: 5: {expected}")],
            "{expression}"
        );
    }
}

#[test]
fn rules_that_cannot_be_evaluated_are_told() {
    let schema = with_rule(integer(), json!({"rule": "1 / self > 0"}));
    assert_eq!(
        told(&schema, json!(0), None),
        ["spec: Invalid value: \"integer\": division by zero evaluating rule: 1 / self > 0"]
    );
    let schema =
        with_rule(json!({"x-kubernetes-int-or-string": true}), json!({"rule": "self < 5", "message": "m"}));
    assert_eq!(
        told(&schema, json!("x"), None),
        [
            "spec: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: m"
        ]
    );
}

#[test]
fn a_spent_budget_ends_it() {
    let list = json!({"type": "array", "items": integer()});
    let schema =
        with_rule(list, json!({"rule": "self.all(a, self.all(b, a <= b || a > b))", "message": "m"}));
    let spec: Vec<u32> = (0..2000).collect();
    let object = json!({"spec": spec});
    let mut words = Vec::new();
    for budget in [Budget::default(), Budget::new(1000), Budget::new(0)] {
        let mut budget = budget;
        let errors = schema.validate(&object, None, &mut budget);
        words.extend(errors.iter().map(ToString::to_string));
    }
    let spent = "spec: Invalid value: \"array\": validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(
        words,
        [
            "spec: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: m",
            spent,
            spent,
        ]
    );
}

#[test]
fn transition_rules_run_where_there_was_a_value() {
    let schema = with_rule(integer(), json!({"rule": "self >= oldSelf", "message": "must not fall"}));
    assert_eq!(told(&schema, json!(1), None), [""; 0]);
    assert_eq!(told(&schema, json!(1), Some(Value::Null)), [""; 0]);
    assert_eq!(told(&schema, json!(2), Some(json!(1))), [""; 0]);
    assert_eq!(told(&schema, json!(1), Some(json!(2))), ["spec: Invalid value: 1: must not fall"]);
}

#[test]
fn an_optional_old_self_tells_creation_from_update() {
    let rule = json!({
        "rule": "oldSelf.hasValue() ? self >= oldSelf.value() : self == 0 // at first",
        "messageExpression": "oldSelf.hasValue() ? 'fell from ' + string(oldSelf.value()) : 'starts at 0'",
        "optionalOldSelf": true,
    });
    let schema = with_rule(integer(), rule);
    assert_eq!(told(&schema, json!(0), None), [""; 0]);
    assert_eq!(told(&schema, json!(1), None), ["spec: Invalid value: 1: starts at 0"]);
    assert_eq!(told(&schema, json!(1), Some(json!(1))), [""; 0]);
    assert_eq!(told(&schema, json!(1), Some(json!(2))), ["spec: Invalid value: 1: fell from 2"]);
}

#[test]
fn items_of_lists_of_type_map_belong_together_by_key() {
    let schema = compiled(json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"},
            "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]},
        }},
    }));
    let old = json!([{"name": "a", "size": 5}, {"name": "b", "size": 1}]);
    assert_eq!(
        told(&schema, json!([{"name": "b", "size": 2}, {"name": "c", "size": 0}]), Some(old.clone())),
        [""; 0]
    );
    assert_eq!(
        told(&schema, json!([{"name": "b", "size": 2}, {"name": "a", "size": 4}]), Some(old)),
        ["spec[1].size: Invalid value: 4: failed rule: self >= oldSelf"]
    );
}

#[test]
fn rules_are_not_held_against_what_is_unchanged() {
    let small = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]});
    let schema = compiled(json!({"type": "object", "properties": {
        "a": small, "list": {"type": "array", "items": small},
    }}));
    let old = json!({"a": 6, "list": [6, 7]});
    assert_eq!(told(&schema, old.clone(), Some(old.clone())), [""; 0]);
    assert_eq!(
        told(&schema, json!({"a": 7, "list": [6, 7]}), Some(old.clone())),
        ["spec.a: Invalid value: 7: failed rule: self < 5"]
    );
    assert_eq!(
        told(&schema, json!({"a": 6, "list": [6]}), Some(old)),
        ["spec.list[0]: Invalid value: 6: failed rule: self < 5"]
    );
}

#[test]
fn the_root_sees_its_name_and_typed_fields() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {
            "until": {"type": "string", "format": "date-time"},
            "ratio": {"type": "number"},
            "dashed-name": {"type": "string"},
        }}},
        "x-kubernetes-validations": [
            {"rule": "self.metadata.name.startsWith('a')"},
            {"rule": "self.spec.until > timestamp('2024-01-01T00:00:00Z')"},
            {"rule": "self.spec.ratio > 0.5"},
            {"rule": "self.spec.dashed__dash__name == 'x'"},
        ],
    }));
    let schema = schema.unwrap();
    let spec = json!({"until": "2025-01-01T00:00:00Z", "ratio": 1, "dashed-name": "x"});
    let object = json!({"metadata": {"name": "a"}, "spec": spec});
    let errors = schema.validate(&object, None, &mut Budget::default());
    assert!(errors.is_empty(), "{errors:?}");
}

/// As upstream: when the schema is stored, not at every write. Of ObjectMeta, rules see the names alone.
#[test]
fn a_field_that_no_object_can_have_is_told_at_once() {
    for (rule, words) in [
        ("!has(self.spec.absent)", "1:16: undefined field 'absent'"),
        ("self.metadata.labels.size() == 0", "1:15: undefined field 'labels'"),
        ("oldSelf.spec.absent == 1", "1:14: undefined field 'absent'"),
    ] {
        let errors = Schema::compile(&json!({
            "type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-validations": [{"rule": rule}],
        }));
        let errors: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(words), "{errors:?}");
    }
}

#[test]
fn field_paths_are_those_of_the_schema() {
    let schema = compiled(json!({"type": "object", "properties": {"a-b": integer()}}));
    for (path, leads) in [
        (".spec", true),
        (".spec['a-b']", true),
        (".spec.a-b", true),
        ("['spec']", true),
        (".spec.nope", false),
        ("spec", false),
        (".spec['a-b'", false),
        (".spec[0]", false),
        ("..", false),
        (".spec['a\\qb']", false),
    ] {
        assert_eq!(field_path(path, &schema).is_some(), leads, "{path}");
    }
}
