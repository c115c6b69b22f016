//! Reading, ordering and capping entries.

use super::*;
use crate::MAX_DEPTH;
use proptest::prelude::*;
use serde_json::json;

fn entry(manager: &str, operation: &str, version: &str, time: Option<&str>, field: &str) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1",
        "fieldsV1": {format!("f:{field}"): {}},
    });
    if let Some(time) = time {
        entry["time"] = json!(time);
    }
    entry
}

/// The entries as a value, made as a value: what their text is held against.
fn value(managed: Managed) -> Value {
    let entry = |(id, owner): (ManagerId, Owner)| {
        let time = owner.time.as_ref().map(|time| time.text().to_owned()).unwrap_or_default();
        let texts = [
            ("apiVersion", owner.api_version.clone()),
            ("fieldsType", "FieldsV1".to_owned()),
            ("manager", id.manager.clone()),
            ("operation", id.operation.text().to_owned()),
            ("subresource", id.subresource.clone()),
            ("time", time),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let mut map: Map<String, Value> = texts.map(|(name, text)| (name.to_owned(), text.into())).collect();
        map.insert("fieldsV1".to_owned(), owner.set.to_fields_v1());
        Value::Object(map)
    };
    Value::Array(sorted(managed).into_iter().map(entry).collect())
}

fn order(managed: Managed) -> String {
    let list = value(managed.clone());
    assert_eq!(managed.into_text().unwrap_or_default(), list.to_string());
    let list = list.as_array().unwrap().clone();
    let name =
        |e: &Value| format!("{}/{}", e["manager"].as_str().unwrap(), e["apiVersion"].as_str().unwrap());
    list.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn entries_are_ordered_by_operation_time_and_manager() {
    let list = json!([
        entry("d", "Update", "v1", Some("2026-01-01T00:00:01Z"), "a"),
        entry("c", "Update", "v1", Some("2026-01-01T01:00:00+01:00"), "a"),
        entry("b", "Update", "v2", Some("2026-01-01T00:00:00Z"), "a"),
        entry("b", "Update", "v1", Some("2026-01-01T00:00:00Z"), "a"),
        entry("z", "Update", "v1", None, "a"),
        entry("y", "Apply", "v1", Some("2030-01-01T00:00:00Z"), "a"),
    ]);
    assert_eq!(order(Managed::decode(&list).unwrap()), "y/v1 z/v1 b/v1 b/v2 c/v1 d/v1");
}

#[test]
fn times_are_written_in_one_form() {
    let list = json!([entry("a", "Update", "v1", Some("2026-01-01T01:00:00.9+01:00"), "a")]);
    assert_eq!(value(Managed::decode(&list).unwrap())[0]["time"], "2026-01-01T00:00:00Z");
}

#[test]
fn identifiers_and_names_are_those_of_upstream() {
    let id = |operation, subresource: &str| ManagerId {
        manager: "a\"b".into(),
        operation,
        api_version: if operation == Operation::Apply { String::new() } else { "g/v1".into() },
        subresource: subresource.into(),
    };
    insta::assert_snapshot!(id(Operation::Update, "status").identifier(), @r#"{"manager":"a\"b","operation":"Update","apiVersion":"g/v1","subresource":"status"}"#);
    insta::assert_snapshot!(id(Operation::Apply, "").identifier(), @r#"{"manager":"a\"b","operation":"Apply"}"#);
    insta::assert_snapshot!(id(Operation::Update, "status").shown(), @r#""a\"b" with subresource "status" using g/v1"#);
    insta::assert_snapshot!(id(Operation::Apply, "").shown(), @r#""a\"b""#);
}

#[test]
fn capping_keeps_versions_apart_and_appliers_out() {
    let time = |i: usize| format!("2026-01-01T00:00:{i:02}Z");
    let mut list: Vec<Value> = (0..8)
        .map(|i| {
            let version = if i % 2 == 0 { "v1" } else { "v2" };
            entry(&format!("m{i}"), "Update", version, Some(&time(i)), &format!("x{i}"))
        })
        .collect();
    list.push(entry("applier", "Apply", "v1", None, "a"));
    let mut managed = Managed::decode(&Value::Array(list)).unwrap();
    managed.cap_updaters(4);
    assert_eq!(order(managed.clone()), "applier/v1 ancient-changes/v1 ancient-changes/v2 m6/v1 m7/v2");
    let fields: usize = managed.0.values().map(|owner| owner.set.len()).sum();
    assert_eq!(fields, 9, "nothing is lost");
    managed.cap_updaters(1);
    assert_eq!(
        order(managed),
        "applier/v1 ancient-changes/v1 ancient-changes/v2",
        "one is left of each version"
    );
}

#[test]
fn a_bucket_younger_than_others_of_its_version_loses_nothing() {
    let list: Vec<Value> = [("a", 1), ("b", 2), ("ancient-changes", 3), ("c", 4)]
        .iter()
        .map(|(m, i)| entry(m, "Update", "v1", Some(&format!("2026-01-01T00:00:0{i}Z")), m))
        .collect();
    let mut managed = Managed::decode(&Value::Array(list)).unwrap();
    managed.cap_updaters(1);
    assert_eq!(order(managed.clone()), "ancient-changes/v1");
    assert_eq!(managed.0.values().next().unwrap().set.len(), 4);
}

/// A set's JSON, with every kind of element, and names that need escapes.
fn fields() -> impl Strategy<Value = Value> {
    let names = vec![
        "f:a",
        "f:b",
        "f:\u{e9}",
        "f:\"q\\",
        "f:",
        "k:{\"name\":\"b\"}",
        "k:{\"name\":\"\\u003c\\n\"}",
        "k:{\"name\":\"a\",\"port\":80}",
        "k:{\"port\":443}",
        "k:{\"port\":1000}",
        "v:1",
        "v:20",
        "v:\"x\"",
        "v:true",
        "i:2",
        "i:10",
        ".",
        "x:later",
    ];
    let leaf = prop_oneof![4 => Just(json!({})), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let name = prop::sample::select(names.clone()).prop_map(str::to_owned);
        prop::collection::btree_map(name, inner, 0..6)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

fn entries() -> impl Strategy<Value = Value> {
    let texts = |all: Vec<Value>| prop::sample::select(all);
    let entry = (
        texts(vec![json!("m"), json!("a\"b"), json!(""), Value::Null]),
        texts(vec![json!("Update"), json!("Apply"), json!("Update"), json!("Other"), json!(1)]),
        texts(vec![json!("v1"), json!("g/v1"), json!("g/v1"), json!("")]),
        texts(vec![
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-31T01:00:00+01:00"),
            Value::Null,
            json!("x"),
        ]),
        texts(vec![json!(""), json!("status"), Value::Null]),
        fields(),
        texts(vec![json!("FieldsV1"), json!("FieldsV1"), json!("FieldsV1"), json!("FieldsV2")]),
    );
    let entry = entry.prop_map(|(manager, operation, version, time, subresource, fields, form)| {
        json!({
            "manager": manager, "operation": operation, "apiVersion": version, "time": time, "unknown": [fields.clone()],
            "subresource": subresource, "fieldsV1": fields, "fieldsType": form,
        })
    });
    prop::collection::vec(entry, 0..4).prop_map(Value::Array)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Text is read as the value that it stands for, and written as that value is printed.
    #[test]
    fn text_is_read_and_written_as_values_are(list in entries()) {
        let decoded = Managed::decode(&list);
        prop_assert_eq!(&Managed::parse(&list.to_string()), &decoded);
        if let Some(managed) = decoded {
            let text = value(managed.clone()).to_string();
            prop_assert_eq!(managed.into_text(), Some(text.clone()));
            // What was written is a fixed point: it can be kept as it is.
            prop_assert_eq!(Managed::parse(&text).and_then(Managed::into_text), Some(text));
        }
    }
}

#[test]
fn what_is_no_list_of_entries_is_none() {
    let deep = format!("{}{}", "{\"f:a\":".repeat(MAX_DEPTH + 3), "}".repeat(MAX_DEPTH + 3));
    let entry = |fields: &str| {
        format!(
            "[{{\"manager\":\"m\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{fields}}}]"
        )
    };
    assert!(Managed::parse(&entry("{\"f:a\":{}}")).is_some());
    for text in [
        &*entry(&deep),
        &entry("[]"),
        &entry("{\"f\":{}}"),
        "[]",
        "null",
        "{}",
        "[null]",
        "[{}]",
        "[",
        "[] x",
    ] {
        assert!(Managed::parse(text).is_none(), "{}", &text[..text.len().min(80)]);
    }
}
