//! What holds for all schemas and values.

use hypermesh_structural::{Budget, MOST_ERRORS, Schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NAMES: [&str; 5] = ["a", "b", "c", "metadata", "kind"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..8).prop_map(Value::from),
        prop_oneof![Just(0.5), Just(2.0), Just(1e30)].prop_map(|float: f64| json!(float)),
        "[a-c\u{e4}]{0,4}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 48, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Constraints that no type forbids.
fn constraints() -> impl Strategy<Value = Map<String, Value>> {
    let one = prop_oneof![
        Just(json!({})),
        (0i64..4).prop_map(|most| json!({"maxLength": most, "pattern": "^[ab]*$"})),
        (0i64..4).prop_map(|least| json!({"minimum": least, "exclusiveMinimum": true, "multipleOf": 2})),
        (0i64..3).prop_map(|most| json!({"maxItems": most, "maxProperties": most})),
        prop::collection::vec(scalar(), 1..3).prop_map(|allowed| json!({"enum": allowed})),
        name().prop_map(|name| json!({"required": [name]})),
        (0i64..5)
            .prop_map(|n| json!({"anyOf": [{"minimum": n}, {"maxLength": n}], "not": {"minProperties": 2}})),
        (0i64..5).prop_map(|n| json!({"not": {"items": {"minimum": n}}})),
        (0i64..5)
            .prop_map(|n| json!({"oneOf": [{"minimum": n}, {"maximum": n}], "allOf": [{"minItems": 1}]})),
        Just(json!({"nullable": true})),
        Just(json!({"format": "ipv4"})),
        Just(json!({"x-kubernetes-validations": [{"rule": "self == self"}, {"rule": "size(self) < 2"}]})),
    ];
    one.prop_map(|constraints| constraints.as_object().cloned().unwrap_or_default())
}

fn schema() -> impl Strategy<Value = Value> {
    let kinds = prop::sample::select(&["string", "integer", "number", "boolean"][..]);
    let leaf = prop_oneof![
        kinds.prop_map(|kind| json!({"type": kind})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
    ];
    let tree = (leaf, constraints()).prop_map(merged).prop_recursive(4, 24, 3, |inner| {
        let properties = prop::collection::btree_map(name(), inner.clone(), 0..4);
        let object = (properties, any::<bool>()).prop_map(|(properties, preserve)| {
            let mut object = json!({"type": "object", "properties": properties});
            if preserve {
                object["x-kubernetes-preserve-unknown-fields"] = json!(true);
            }
            object
        });
        let map = inner.clone().prop_map(|inner| json!({"type": "object", "additionalProperties": inner}));
        let list = (inner, any::<bool>()).prop_map(|(inner, set)| {
            let list_type = if set { "set" } else { "atomic" };
            json!({"type": "array", "items": inner, "x-kubernetes-list-type": list_type})
        });
        (prop_oneof![object, map, list], constraints()).prop_map(merged)
    });
    tree.prop_map(|spec| json!({"type": "object", "properties": {"spec": spec}}))
}

fn merged((schema, constraints): (Value, Map<String, Value>)) -> Value {
    let mut schema = schema;
    if let Value::Object(fields) = &mut schema {
        fields.extend(constraints);
    }
    schema
}

/// A schema that compiles, what keeps it from compiling left out, and two objects that are more or less of its shape.
fn case() -> impl Strategy<Value = (Schema, Value, Value)> {
    let entropy = || prop::collection::vec(any::<u8>(), 96);
    (schema(), entropy(), entropy(), entropy(), prop::option::weighted(0.1, value())).prop_map(
        |(mut raw, defaults, new, old, other)| {
            if let Some(spec) = raw.pointer_mut("/properties/spec") {
                add_defaults(spec, &mut Dice::new(&defaults));
            }
            let schema = loop {
                match Schema::compile(&raw) {
                    Ok(schema) => break schema,
                    Err(errors) => assert!(weaken(&mut raw), "{raw}: {errors:?}"),
                }
            };
            let whole = |spec: Value| json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"}, "spec": spec});
            let new = shaped(&raw["properties"]["spec"], &mut Dice::new(&new));
            let old = other.unwrap_or_else(|| shaped(&raw["properties"]["spec"], &mut Dice::new(&old)));
            (schema, whole(new), whole(old))
        },
    )
}

/// Choices from bytes, zero when they are used up.
struct Dice<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

impl<'b> Dice<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    fn below(&mut self, sides: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or_default()) % sides
    }

    fn pick(&mut self, values: &[Value]) -> Value {
        values[self.below(values.len())].clone()
    }
}

/// A value of a schema's shape, mostly.
fn shaped(raw: &Value, dice: &mut Dice<'_>) -> Value {
    if dice.below(12) == 11 {
        return dice.pick(&[json!(null), json!("a"), json!(7), json!({"a": 1}), json!([null])]);
    }
    if let Some(allowed) = raw["enum"].as_array()
        && dice.below(2) == 0
    {
        return dice.pick(allowed);
    }
    match raw["type"].as_str() {
        Some("string") => {
            dice.pick(&[json!("a"), json!(""), json!("ab"), json!("abcdef"), json!("10.0.0.1")])
        }
        Some("integer") => dice.pick(&[json!(2), json!(4), json!(-1), json!(3.0), json!(1_000_000)]),
        Some("number") => dice.pick(&[json!(2), json!(0.5), json!(4.0), json!(-1e30)]),
        Some("boolean") => dice.pick(&[json!(true), json!(false)]),
        Some("array") => (0..dice.below(4)).map(|_| shaped(&raw["items"], dice)).collect(),
        Some(_) => shaped_object(raw, dice),
        None => dice.pick(&[json!(4), json!("a"), json!({"any": [1]})]),
    }
}

fn shaped_object(raw: &Value, dice: &mut Dice<'_>) -> Value {
    let mut fields = Map::new();
    for (name, property) in raw["properties"].as_object().into_iter().flatten() {
        if dice.below(4) < 3 {
            fields.insert(name.clone(), shaped(property, dice));
        }
    }
    let additional = &raw["additionalProperties"];
    if additional.is_object() {
        for name in ["a", "x y"].into_iter().take(dice.below(3)) {
            fields.insert(name.to_owned(), shaped(additional, dice));
        }
    } else if dice.below(4) == 3 {
        fields.insert("unknown".to_owned(), json!({"a": null}));
    }
    Value::Object(fields)
}

fn add_defaults(raw: &mut Value, dice: &mut Dice<'_>) {
    if dice.below(3) == 0 {
        raw["default"] = shaped(raw, dice);
    }
    if let Some(properties) = raw.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| add_defaults(property, dice));
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(raw) = raw.get_mut(keyword) {
            add_defaults(raw, dice);
        }
    }
}

/// Takes one troublesome keyword away, if there is one.
fn weaken(raw: &mut Value) -> bool {
    fn take(node: &mut Value, keyword: &str) -> bool {
        match node {
            Value::Object(fields) => {
                fields.values_mut().any(|field| take(field, keyword)) || fields.remove(keyword).is_some()
            }
            Value::Array(items) => items.iter_mut().any(|item| take(item, keyword)),
            _ => false,
        }
    }
    for keyword in ["default", "x-kubernetes-list-type", "nullable", "metadata", "kind"] {
        if take(raw, keyword) {
            return true;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn compiling_anything_is_an_answer(raw in value(), schema in schema()) {
        let _ = Schema::compile(&raw);
        let errors = Schema::compile(&schema).err().unwrap_or_default();
        prop_assert!(errors.len() <= 65);
        prop_assert_eq!(Schema::compile(&schema).err().unwrap_or_default(), errors);
    }

    #[test]
    fn defaulting_and_pruning_settle_at_once((schema, object, _) in case()) {
        let mut once = object;
        schema.apply_defaults(&mut once);
        let mut twice = once.clone();
        schema.apply_defaults(&mut twice);
        prop_assert_eq!(&once, &twice);
        schema.prune(&mut once);
        let settled = once.clone();
        prop_assert!(schema.prune(&mut once).is_empty());
        schema.apply_defaults(&mut once);
        prop_assert_eq!(once, settled);
    }

    #[test]
    fn defaulting_and_pruning_commute((schema, object, _) in case()) {
        let mut defaulted_first = object.clone();
        schema.apply_defaults(&mut defaulted_first);
        schema.prune(&mut defaulted_first);
        let mut pruned_first = object;
        schema.prune(&mut pruned_first);
        schema.apply_defaults(&mut pruned_first);
        prop_assert_eq!(defaulted_first, pruned_first);
    }

    #[test]
    fn validation_always_says_the_same((schema, new, old) in case()) {
        for old in [None, Some(&old), Some(&new)] {
            let mut budgets = [Budget::default(), Budget::default()];
            let [first, second] = budgets.each_mut().map(|budget| schema.validate(&new, old, budget));
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(&budgets[0], &budgets[1]);
            prop_assert!(first.len() <= MOST_ERRORS + 1);
        }
    }

    #[test]
    fn an_update_that_changes_nothing_is_held_to_nothing_but_what_cannot_be_evaluated(
        (schema, object, _) in case(),
    ) {
        let errors = schema.validate(&object, Some(&object), &mut Budget::default());
        for error in errors {
            prop_assert!(error.detail.contains("evaluating rule") || error.detail.contains("did not match"), "{}", error);
        }
    }

    #[test]
    fn what_is_valid_stays_valid_as_an_update((schema, new, old) in case()) {
        if schema.validate(&new, None, &mut Budget::default()).is_empty() {
            prop_assert_eq!(schema.validate(&new, Some(&old), &mut Budget::default()), []);
        }
    }
}
