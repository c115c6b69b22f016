//! Laws that hold for any objects and sets.

use crate::fieldset::{Element, FieldSet};
use crate::fixture::{asset, at, by, object};
use crate::managed::STRIPPED;
use crate::patch::{json_patch, merge_patch, strategic};
use crate::shape::Type;
use crate::walk::{compare_typed, every_field, merge};
use crate::{apply, compare, track_update, write_created};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4_i64).prop_map(Value::from),
        name().prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ]
}

/// Any JSON.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => scalar(), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A valid spec of the asset.
fn spec() -> impl Strategy<Value = Value> {
    let strings = || prop::collection::btree_map(name(), name(), 0..3);
    let port = (0..3_i64, prop::option::of(prop::sample::select(vec!["TCP", "UDP"])));
    let ports = prop::collection::btree_map(port, prop::option::of(name()), 0..3);
    let container = (prop::option::of(name()), prop::option::of(prop::collection::vec(name(), 0..3)), ports);
    let containers = prop::collection::btree_map(name(), container, 0..4);
    let tags = prop::collection::btree_set(name(), 0..4)
        .prop_map(|s| s.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    (
        prop::option::of(name()),
        prop::option::of(tags),
        prop::option::of(strings()),
        prop::option::of(strings()),
        prop::option::of(containers),
        prop::option::of(json()),
    )
        .prop_map(|(color, tags, limits, position, containers, free)| {
            let mut spec = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.insert(name.to_owned(), value);
                }
            };
            put("color", color.map(Value::from));
            put("tags", tags.map(Value::from));
            put("limits", limits.map(|m| json!(m)));
            put("position", position.map(|m| json!({"x": m.len()})));
            put("free", free.filter(Value::is_object));
            put("containers", containers.map(|c| Value::Array(c.into_iter().map(as_container).collect())));
            Value::Object(spec)
        })
}

type Ports = std::collections::BTreeMap<(i64, Option<&'static str>), Option<String>>;
type Container = (Option<String>, Option<Vec<String>>, Ports);

fn as_container((name, (image, args, ports)): (String, Container)) -> Value {
    let mut container = json!({"name": name});
    if let Some(image) = image {
        container["image"] = json!(image);
    }
    if let Some(args) = args {
        container["args"] = json!(args);
    }
    // A port without a protocol is the one with the default protocol.
    let ports: Vec<Value> = ports
        .iter()
        .filter(|((number, protocol), _)| protocol.is_some() || !ports.contains_key(&(*number, Some("TCP"))))
        .map(|((number, protocol), name)| {
            let mut port = json!({"containerPort": number});
            if let Some(protocol) = protocol {
                port["protocol"] = json!(protocol);
            }
            if let Some(name) = name {
                port["name"] = json!(name);
            }
            port
        })
        .collect();
    container["ports"] = Value::Array(ports);
    container
}

/// Without what is empty or null.
fn dense(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(dense).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(map) => {
            let map: Map<String, Value> =
                map.iter().filter_map(|(k, v)| Some((k.clone(), dense(v)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        scalar => Some(scalar.clone()),
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        4 => name().prop_map(|n| Element::field(&n)),
        1 => (name(), scalar()).prop_map(|(n, v)| Element::key(vec![(n.into(), v), ("z".into(), json!("<\"é"))])),
        1 => scalar().prop_map(Element::Value),
        1 => (0..3_i64).prop_map(Element::Index),
    ]
}

fn set() -> impl Strategy<Value = FieldSet> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn sets_survive_fields_v1(set in set()) {
        prop_assert_eq!(&FieldSet::from_fields_v1(&set.to_fields_v1()).unwrap(), &set);
        let text: Value = serde_json::from_str(&set.to_fields_v1_json()).unwrap();
        prop_assert_eq!(text, set.to_fields_v1());
        prop_assert_eq!(set.paths().len(), set.len());
    }

    #[test]
    fn sets_obey_the_laws_of_sets(a in set(), b in set()) {
        let union = a.clone().union(b.clone());
        prop_assert_eq!(&union, &b.clone().union(a.clone()));
        let both = a.intersection(&b);
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert_eq!(union.len() + both.len(), a.len() + b.len());
        let only = a.clone().difference(&b);
        prop_assert!(only.intersection(&b).is_empty());
        prop_assert_eq!(only.clone().union(both), a.clone());
        prop_assert_eq!(union.difference(&b), only.clone());
        let strict = a.clone().recursive_difference(&b);
        prop_assert_eq!(strict.clone().difference(&only), FieldSet::new());
        for path in a.paths() {
            prop_assert!(a.contains(&path.0));
            let below = (1..=path.0.len()).any(|n| b.contains(&path.0[..n]));
            prop_assert_eq!(strict.contains(&path.0), !below);
            prop_assert_eq!(only.contains(&path.0), !b.contains(&path.0));
        }
    }

    #[test]
    fn the_creators_entry_is_the_comparison_with_nothing(spec in spec(), free in json()) {
        let schema = asset();
        let mut new = object(spec);
        new["spec"]["free"] = json!({"x": free.clone()});
        // Not what the schema says: still the same both ways.
        new["spec"]["containers"] = free;
        let time = at(1);
        let mut text = String::new();
        prop_assert!(write_created(&by(&schema, "m1", &time), new.as_object().unwrap(), &mut text));
        let list: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(list.to_string(), text, "names are in the order of values");
        let whole = every_field(Type::root(&schema), &new).difference(&FieldSet::of_fields(STRIPPED));
        prop_assert_eq!(&list[0]["fieldsV1"], &whole.to_fields_v1());
    }

    #[test]
    fn comparisons_are_disjoint_and_mirror(old in spec(), new in spec()) {
        let schema = asset();
        let (old, new) = (object(old), object(new));
        let there = compare(&schema, &old, &new);
        let back = compare(&schema, &new, &old);
        prop_assert!(there.added.intersection(&there.removed).is_empty());
        prop_assert!(there.added.intersection(&there.modified).is_empty());
        prop_assert_eq!(&there.added, &back.removed);
        prop_assert_eq!(&there.modified, &back.modified);
        prop_assert!(compare(&schema, &old, &old).is_same());
    }

    #[test]
    fn merging_keeps_the_live_and_sets_the_applied(live in spec(), applied in spec()) {
        let schema = asset();
        let ty = Type::root(&schema);
        let (live, applied) = (object(live), object(applied));
        let mut merged = live.clone();
        merge(ty, &mut merged, &applied);
        let owned = crate::to_field_set(&schema, &applied);
        prop_assert!(compare_typed(ty, &applied, &merged).modified.intersection(&owned).is_empty());
        let mut again = merged.clone();
        merge(ty, &mut again, &applied);
        prop_assert_eq!(again, merged);
    }

    #[test]
    fn apply_is_idempotent(live in spec(), first in spec(), second in spec()) {
        let schema = asset();
        let (t1, t2, t3, t4, t5) = (at(1), at(2), at(3), at(4), at(5));
        let mut object_ = object(live);
        track_update(&by(&schema, "ctl", &t1), None, &mut object_).unwrap();
        let forced = |time| crate::Context { force: true, ..by(&schema, "m1", time) };
        let one = apply(&forced(&t2), Some(&object_), &object(first)).unwrap();
        let two = apply(&forced(&t3), Some(&one), &object(second.clone())).unwrap();
        let three = apply(&forced(&t4), Some(&two), &object(second.clone())).unwrap();
        // A null over a map that goes leaves an empty map, and takes its place the next time, as in
        // structured-merge-diff, where what is empty on both sides is one leaf.
        prop_assert_eq!(dense(&three["spec"]), dense(&two["spec"]));
        prop_assert!(has_null(&second) || three == two);
        prop_assert_eq!(&apply(&forced(&t5), Some(&three), &object(second)).unwrap(), &three);
    }

    #[test]
    fn the_only_applier_gets_what_it_last_applied(first in spec(), second in spec()) {
        let schema = asset();
        let (t1, t2) = (at(1), at(2));
        let one = apply(&by(&schema, "m1", &t1), None, &object(first)).unwrap();
        let two = apply(&by(&schema, "m1", &t2), Some(&one), &object(second.clone())).unwrap();
        let fresh = apply(&by(&schema, "m1", &t2), None, &object(second)).unwrap();
        let own = |o: &Value| {
            let list = o["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
            list.into_iter().find(|e| e["operation"] == "Apply").map(|e| e["fieldsV1"].clone())
        };
        prop_assert_eq!(own(&two), own(&fresh));
        // Empty lists own nothing, so those applied first stay.
        prop_assert_eq!(dense(&two["spec"]), dense(&fresh["spec"]));
    }

    #[test]
    fn updates_own_exactly_what_is_there(old in spec(), new in spec()) {
        let schema = asset();
        let (t1, t2) = (at(1), at(2));
        let mut live = object(old);
        track_update(&by(&schema, "m1", &t1), None, &mut live).unwrap();
        let mut next = object(new);
        track_update(&by(&schema, "m2", &t2), Some(&live), &mut next).unwrap();
        let mut all = FieldSet::new();
        for entry in next["metadata"]["managedFields"].as_array().into_iter().flatten() {
            let set = FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap();
            prop_assert!(all.intersection(&set).is_empty(), "updaters share nothing");
            all = all.union(set);
        }
        let there = every_field(Type::root(&schema), &next).difference(&FieldSet::of_fields(STRIPPED));
        prop_assert_eq!(all.difference(&there), FieldSet::new());
        let mut same = next.clone();
        track_update(&by(&schema, "m3", &t2), Some(&next), &mut same).unwrap();
        prop_assert_eq!(same, next);
    }

    #[test]
    fn a_json_patch_is_undone_by_its_inverse(doc in json(), value in json()) {
        let doc = json!({"a": doc, "b": [1, 2, 3]});
        let forward = json!([
            {"op": "add", "path": "/new", "value": value}, {"op": "add", "path": "/b/1", "value": value},
            {"op": "move", "from": "/a", "path": "/moved"}, {"op": "copy", "from": "/moved", "path": "/copied"},
        ]);
        let inverse = json!([
            {"op": "remove", "path": "/copied"}, {"op": "move", "from": "/moved", "path": "/a"},
            {"op": "remove", "path": "/b/1"}, {"op": "remove", "path": "/new"},
        ]);
        let mut out = doc.clone();
        json_patch(&mut out, &forward).unwrap();
        prop_assert_eq!(&out["copied"], &doc["a"]);
        json_patch(&mut out, &inverse).unwrap();
        prop_assert_eq!(out, doc);
    }

    #[test]
    fn patches_never_panic_and_fail_as_a_whole(doc in json(), patch in json(), path in "(/[abcd0-9~-]{0,2}){0,3}") {
        let mut out = json!({"a": doc});
        let before = out.clone();
        let patch_ops = json!([{"op": "add", "path": path.clone(), "value": patch}, {"op": "remove", "path": path}]);
        if json_patch(&mut out, &patch_ops).is_err() {
            prop_assert_eq!(&out, &before);
        }
        let mut out = before.clone();
        let _ = merge_patch(&mut out, &patch);
        let once = out.clone();
        if merge_patch(&mut out, &patch).is_ok() {
            prop_assert_eq!(out, once);
        }
        let mut out = before.clone();
        if strategic(&mut out, &patch, &asset()).is_err() {
            prop_assert_eq!(out, before);
        }
    }
}
