//! The default roles and bindings of this version, and what a stored one lacks of them.
//!
//! A cluster keeps what it was made with, and a newer version needs more. What a default has and its stored form has not is
//! added: rules that it does not cover, selectors, subjects, labels, annotations. Nothing is taken away, and one that is
//! annotated [`AUTOUPDATE`]` = "false"` is left as it is. Pure: from two objects to the one that should be stored.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/rbac/reconciliation`.

use super::roles;
use crate::authz::{PolicyRule, uncovered};
use hypermesh_chain::ObjectKey;
use serde_json::{Map, Value};

/// The annotation by which a default role or binding is kept from being completed, by the value `false`.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The default roles and bindings: where each is stored, and what it is.
pub fn defaults() -> impl Iterator<Item = (ObjectKey, Value)> {
    let all = roles::cluster_roles().into_iter().chain(roles::cluster_role_bindings());
    all.filter_map(|(collection, object)| {
        let key = ObjectKey::new(collection, "", crate::metadata::text(&object, "name"))?;
        Some((key, object))
    })
}

/// What is to be stored in place of `stored`; `None` where that has all that `wanted` has, or is not to be completed.
pub fn completed(stored: Option<&Value>, wanted: &Value) -> Option<Value> {
    let Some(stored) = stored else { return Some(wanted.clone()) };
    let annotation = stored.pointer("/metadata/annotations").and_then(|all| all.get(AUTOUPDATE));
    let left_alone = annotation.and_then(Value::as_str) == Some("false");
    if left_alone || stored.pointer("/metadata/deletionTimestamp").is_some() {
        return None;
    }
    let mut new = stored.clone();
    for part in ["labels", "annotations"] {
        complete_map(&mut new, wanted, part);
    }
    if wanted.get("roleRef").is_some() {
        // Bound to another role it is somebody's own, and would give its subjects what they were not meant to have.
        if wanted.get("roleRef") != stored.get("roleRef") {
            return None;
        }
        complete_list(&mut new, "/subjects", wanted.pointer("/subjects"), is_subject);
    } else if wanted.get("aggregationRule").is_some() {
        if let Some(map) = new.as_object_mut() {
            map.entry("aggregationRule").or_insert_with(|| Value::Object(Map::new()));
        }
        const SELECTORS: &str = "/aggregationRule/clusterRoleSelectors";
        complete_list(&mut new, SELECTORS, wanted.pointer(SELECTORS), |a, b| a == b);
    } else if stored.get("aggregationRule").is_none_or(Value::is_null) {
        complete_rules(&mut new, wanted)?;
    }
    (new != *stored).then_some(new)
}

/// Whether a stored binding gives another role than the default of its name.
pub fn gives_another_role(stored: &Value, wanted: &Value) -> bool {
    wanted.get("roleRef").is_some() && wanted.get("roleRef") != stored.get("roleRef")
}

fn complete_map(new: &mut Value, wanted: &Value, part: &str) {
    let Some(wanted) = wanted.pointer("/metadata").and_then(|meta| meta.get(part)?.as_object()) else {
        return;
    };
    let Some(meta) = crate::metadata::of(new) else { return };
    let of = meta.entry(part).or_insert_with(|| Value::Object(Map::new()));
    let Some(of) = of.as_object_mut() else { return };
    for (name, value) in wanted {
        of.entry(name).or_insert_with(|| value.clone());
    }
}

/// Appends to the list at `place` what it lacks of `wanted`.
fn complete_list(
    new: &mut Value,
    place: &str,
    wanted: Option<&Value>,
    is_same: impl Fn(&Value, &Value) -> bool,
) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    let wanted = wanted.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(map) = new.pointer_mut(parent).and_then(Value::as_object_mut) else { return };
    let slot = map.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    let Some(list) = slot.as_array_mut() else { return };
    for item in wanted {
        if !list.iter().any(|there| is_same(there, item)) {
            list.push(item.clone());
        }
    }
}

/// A subject by its kind, name and namespace: the group is implied in them.
fn is_subject(a: &Value, b: &Value) -> bool {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    ["kind", "name", "namespace"].iter().all(|name| text(a, name) == text(b, name))
}

/// Appends each default rule that the stored ones do not cover. `None` where the stored ones do not decode.
fn complete_rules(new: &mut Value, wanted: &Value) -> Option<()> {
    let rules = |of: &Value| -> Option<Vec<PolicyRule>> {
        match of.get("rules") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(rules) => serde_json::from_value(rules.clone()).ok(),
        }
    };
    let held = rules(new)?;
    let missing = rules(wanted)?.into_iter().filter(|rule| {
        // Equal ones are held even where all together are too many to be compared.
        !held.contains(rule)
            && !uncovered(&held.iter().collect::<Vec<_>>(), std::slice::from_ref(rule)).is_empty()
    });
    let missing: Vec<Value> = missing.filter_map(|rule| serde_json::to_value(rule).ok()).collect();
    if missing.is_empty() {
        return Some(());
    }
    let slot = new.as_object_mut()?.entry("rules").or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut()?.extend(missing);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn default(name: &str) -> Value {
        defaults()
            .find(|(key, _)| key.name() == name && key.collection().ends_with("/clusterroles"))
            .unwrap()
            .1
    }

    fn binding(name: &str) -> Value {
        let is = |key: &ObjectKey| key.name() == name && key.collection().ends_with("/clusterrolebindings");
        defaults().find(|(key, _)| is(key)).unwrap().1
    }

    #[test]
    fn what_a_cluster_is_made_with_lacks_nothing() {
        let mut count = 0;
        for (_, object) in defaults() {
            assert_eq!(completed(Some(&object), &object), None);
            assert_eq!(completed(None, &object), Some(object));
            count += 1;
        }
        assert!(count > 20);
    }

    #[test]
    fn rules_that_are_not_covered_are_added_and_none_is_taken() {
        let wanted = default("system:node");
        let mut stored = wanted.clone();
        let own = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]});
        let all = json!({"verbs": ["*"], "apiGroups": ["authorization.k8s.io"], "resources": ["*"]});
        let rules = stored["rules"].as_array().unwrap().clone();
        assert!(rules.len() >= 3);
        stored["rules"] = json!([own, all, rules[0]]);
        let new = completed(Some(&stored), &wanted).unwrap();
        // What the wider rule covers is not said twice.
        assert_eq!(new["rules"], json!([own, all, rules[0], rules[2]]));
        assert_eq!(completed(Some(&new), &wanted), None);
        stored["rules"] = Value::Null;
        assert_eq!(completed(Some(&stored), &wanted).unwrap()["rules"], wanted["rules"]);
        stored["rules"] = "nonsense".into();
        assert_eq!(completed(Some(&stored), &wanted), None);
    }

    #[test]
    fn who_says_so_keeps_what_they_have() {
        let wanted = default("system:node");
        let mut stored = wanted.clone();
        stored["rules"] = json!([]);
        stored["metadata"]["annotations"] = json!({AUTOUPDATE: "false"});
        assert_eq!(completed(Some(&stored), &wanted), None);
        stored["metadata"]["annotations"] = json!({AUTOUPDATE: "true"});
        assert!(completed(Some(&stored), &wanted).is_some());
        stored["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(completed(Some(&stored), &wanted), None, "what goes is made anew by a later start");
    }

    #[test]
    fn labels_selectors_and_subjects_are_added() {
        let wanted = default("view");
        let mut stored = wanted.clone();
        stored["metadata"]["labels"] = json!({"mine": "1"});
        stored["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"mine": "1"}}]});
        stored["rules"] = json!([]);
        let new = completed(Some(&stored), &wanted).unwrap();
        assert_eq!(new["metadata"]["labels"]["mine"], "1");
        assert_eq!(new["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(new["aggregationRule"]["clusterRoleSelectors"].as_array().unwrap().len(), 2);
        assert_eq!(new["rules"], json!([]), "those of an aggregated role are the state machine's");
        let wanted = binding("system:public-info-viewer");
        let mut stored = wanted.clone();
        let mine = json!({"kind": "User", "name": "ann"});
        // The group is left out, as one may.
        stored["subjects"] = json!([mine, {"kind": "Group", "name": "system:authenticated"}]);
        let new = completed(Some(&stored), &wanted).unwrap();
        let names: Vec<&Value> = new["subjects"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
        assert_eq!(names, ["ann", "system:authenticated", "system:unauthenticated"]);
        stored["roleRef"]["name"] = "cluster-admin".into();
        assert_eq!(completed(Some(&stored), &wanted), None);
        assert!(gives_another_role(&stored, &wanted) && !gives_another_role(&new, &wanted));
        stored["subjects"] = Value::Null;
        stored["roleRef"] = wanted["roleRef"].clone();
        assert_eq!(completed(Some(&stored), &wanted).unwrap()["subjects"], wanted["subjects"]);
    }
}
