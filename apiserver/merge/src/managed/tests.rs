//! Reading, ordering and capping entries.

use super::*;
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

fn order(managed: Managed) -> String {
    let mut object = json!({});
    managed.write(&mut object);
    let list = object["metadata"]["managedFields"].as_array().unwrap().clone();
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
    let mut object = json!({"metadata": null});
    Managed::decode(&list).unwrap().write(&mut object);
    assert_eq!(object["metadata"]["managedFields"][0]["time"], "2026-01-01T00:00:00Z");
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
