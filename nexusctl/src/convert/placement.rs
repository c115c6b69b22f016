//! Affinities and topology spread to placement. What is chosen here by labels of pods is said there by the name of a
//! Workload, so a selector has to fit exactly one.

use super::{index::Index, pieces::Piece};
use serde_json::{Map, Value, json};

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Takes `affinity` out of a pod's spec.
pub(super) fn affinity(
    spec: &mut Map<String, Value>,
    prefix: &str,
    piece: &mut Piece,
    index: &Index,
    placement: &mut Value,
) {
    let Some(affinity) = spec.remove("affinity") else { return };
    let path = format!("{prefix}.spec.affinity");
    if let Some(nodes) = affinity.get("nodeAffinity") {
        self::nodes(nodes, &format!("{path}.nodeAffinity"), piece, placement);
    }
    for (field, relation) in [("podAffinity", "near"), ("podAntiAffinity", "apart")] {
        if let Some(terms) = affinity.get(field) {
            relations(terms, &format!("{path}.{field}"), relation, piece, index, placement);
        }
    }
}

/// Whether our requirements can say it.
fn sayable(expressions: &[Value]) -> bool {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    expressions.iter().all(|e| e.get("operator").and_then(Value::as_str).is_some_and(|o| known.contains(&o)))
}

fn nodes(affinity: &Value, path: &str, piece: &mut Piece, placement: &mut Value) {
    let mut nodes = json!({});
    if let Some(required) = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") {
        let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution");
        match list(required, "nodeSelectorTerms") {
            [term] if term.get("matchFields").is_none() && sayable(list(term, "matchExpressions")) => {
                nodes["required"] = list(term, "matchExpressions").to_vec().into();
            }
            [_] => piece.lost(&path, "nodes are chosen by labels that are In, NotIn, Exists or DoesNotExist"),
            _ => piece.lost(&path, "requirements all have to be met: one of several cannot be said"),
        }
    }
    let mut preferred = Vec::new();
    for (at, item) in list(affinity, "preferredDuringSchedulingIgnoredDuringExecution").iter().enumerate() {
        let preference = item.get("preference").cloned().unwrap_or_default();
        let expressions = list(&preference, "matchExpressions");
        if preference.get("matchFields").is_none() && !expressions.is_empty() && sayable(expressions) {
            preferred.push(json!({"weight": item.get("weight"), "matchExpressions": expressions}));
        } else {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{at}]");
            piece.lost(&path, "nodes are chosen by labels that are In, NotIn, Exists or DoesNotExist");
        }
    }
    if !preferred.is_empty() {
        nodes["preferred"] = preferred.into();
    }
    if nodes.as_object().is_some_and(|n| !n.is_empty()) {
        placement["nodes"] = nodes;
    }
}

fn relations(
    terms: &Value,
    path: &str,
    relation: &str,
    piece: &mut Piece,
    index: &Index,
    placement: &mut Value,
) {
    let required = list(terms, "requiredDuringSchedulingIgnoredDuringExecution");
    let preferred = list(terms, "preferredDuringSchedulingIgnoredDuringExecution");
    let all = required
        .iter()
        .enumerate()
        .map(|(at, term)| {
            (format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{at}]"), term, true)
        })
        .chain(preferred.iter().enumerate().filter_map(|(at, term)| {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{at}]");
            Some((path, term.get("podAffinityTerm")?, false))
        }));
    let mut found: Vec<Value> = Vec::new();
    for (path, term, required) in all {
        if term.get("namespaces").is_some() || term.get("namespaceSelector").is_some() {
            piece.lost(&path, "a Workload lies to others of its own namespace only");
            continue;
        }
        let selector = term.get("labelSelector").cloned().unwrap_or_default();
        let workloads = index.selected(&piece.namespace, &selector);
        let [other] = workloads.as_slice() else {
            let count = workloads.len();
            let why = format!(
                "its selector fits {count} of the workloads given here: {relation} names exactly one"
            );
            piece.lost(&path, &why);
            continue;
        };
        let key = term.get("topologyKey").cloned().unwrap_or_default();
        let same = |r: &&mut Value| r["workload"] == other.name.as_str() && r["topologyKey"] == key;
        match found.iter_mut().find(same) {
            Some(known) => known["required"] = (required || known["required"] == true).into(),
            None => found.push(json!({"workload": other.name, "topologyKey": key, "required": required})),
        }
    }
    if !found.is_empty() {
        placement[relation] = found.into();
    }
}

/// Takes `topologySpreadConstraints` out of a pod's spec.
pub(super) fn spread(spec: &mut Map<String, Value>, prefix: &str, piece: &mut Piece, placement: &mut Value) {
    let Some(Value::Array(constraints)) = spec.remove("topologySpreadConstraints") else { return };
    let labels = piece.get(&format!("{prefix}.metadata.labels")).as_object().cloned().unwrap_or_default();
    let mut found: Vec<Value> = Vec::new();
    for (at, constraint) in constraints.iter().enumerate() {
        let path = format!("{prefix}.spec.topologySpreadConstraints[{at}]");
        let own =
            constraint.get("labelSelector").is_some_and(|selector| super::index::selects(selector, &labels));
        let key = constraint.get("topologyKey").cloned().unwrap_or_default();
        if !own {
            piece.lost(&path, "a Workload spreads its own instances only");
            continue;
        }
        if found.iter().any(|s| s["topologyKey"] == key) {
            piece.lost(&path, "there is one spread for each topologyKey");
            continue;
        }
        let mut spread = json!({"topologyKey": key});
        for (field, value) in constraint.as_object().into_iter().flatten() {
            match field.as_str() {
                "maxSkew" | "whenUnsatisfiable" => spread[field.as_str()] = value.clone(),
                "topologyKey" | "labelSelector" => {}
                other => piece.lost(&format!("{path}.{other}"), "has no counterpart"),
            }
        }
        found.push(spread);
    }
    if !found.is_empty() {
        placement["spread"] = found.into();
    }
}
