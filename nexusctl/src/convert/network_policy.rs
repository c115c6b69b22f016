//! NetworkPolicy to Network.
//!
//! What cannot be said is left out in the direction that allows less: a rule whose last peer or port is lost goes as a
//! whole, since an empty list would allow everything.

use super::pieces::Piece;
use serde_json::{Map, Value, json};

/// The label by which a namespace's own name is selected.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The Network whose members are the pods that the policy is about.
pub(super) fn convert(piece: &mut Piece) -> Value {
    let selector = piece.take("spec.podSelector").unwrap_or_else(|| json!({}));
    let types = piece.take_texts("spec.policyTypes");
    let mut policy = json!({});
    for (direction, kind, peers) in [("ingress", "Ingress", "from"), ("egress", "Egress", "to")] {
        let path = format!("spec.{direction}");
        let given = !piece.get(&path).is_null();
        let rules = piece.take_list(&path);
        let limited = match types.is_empty() {
            false => types.iter().any(|t| t == kind),
            true => kind == "Ingress" || given,
        };
        if !limited {
            // Left out here, members alone are allowed; left out there, everything is.
            policy[direction] = json!([{}]);
            continue;
        }
        let kept = rules.iter().enumerate();
        let kept = kept.filter_map(|(at, rule)| self::rule(rule, &format!("{path}[{at}]"), peers, piece));
        policy[direction] = kept.collect::<Vec<_>>().into();
    }
    piece.changed(
        "spec",
        "it rules what travels over the Network's own interface, which its members get beside others",
    );
    let spec = json!({"interface": "Private", "members": {"selector": selector}, "policy": policy});
    piece.object("hypermesh.online/v1", "Network", spec)
}

/// A rule, unless nothing is left of it that it could allow.
fn rule(rule: &Value, path: &str, direction: &str, piece: &mut Piece) -> Option<Value> {
    if !rule.is_object() {
        piece.mistyped(path, "a mapping");
        return None;
    }
    let mut out = Map::new();
    for (field, one) in [(direction, peer as fn(&Value, &str, &mut Piece) -> Option<Value>), ("ports", port)]
    {
        let given = match rule.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(given)) if given.is_empty() => continue,
            Some(Value::Array(given)) => given,
            // Left out by itself, it would let the rule allow everything.
            Some(_) => {
                piece.mistyped(&format!("{path}.{field}"), "a list");
                return None;
            }
        };
        let kept: Vec<Value> = given
            .iter()
            .enumerate()
            .filter_map(|(at, item)| {
                let path = format!("{path}.{field}[{at}]");
                if item.is_object() {
                    return one(item, &path, piece);
                }
                piece.mistyped(&path, "a mapping");
                None
            })
            .collect();
        if kept.is_empty() {
            piece.lost(path, &format!("none of its {field} can be said: it is left out, and allows nothing"));
            return None;
        }
        out.insert(field.to_owned(), kept.into());
    }
    Some(out.into())
}

fn peer(peer: &Value, path: &str, piece: &mut Piece) -> Option<Value> {
    if let Some(block) = peer.get("ipBlock") {
        let mut out = json!({"cidr": block.get("cidr")});
        if let Some(except) = block.get("except").filter(|e| e.as_array().is_some_and(|e| !e.is_empty())) {
            out["except"] = except.clone();
        }
        return Some(out);
    }
    let pods = peer.get("podSelector").cloned();
    let Some(namespaces) = peer.get("namespaceSelector").filter(|n| !n.is_null()) else {
        return pods.map(|pods| json!({"selector": pods}));
    };
    let labels = namespaces.get("matchLabels").and_then(Value::as_object);
    let expressions = namespaces.get("matchExpressions").and_then(Value::as_array).map_or(0, Vec::len);
    let name = labels.filter(|l| l.len() == 1 && expressions == 0).and_then(|l| l.get(NAMESPACE_NAME));
    let Some(name) = name else {
        let why = format!(
            "a namespace is named, by {NAMESPACE_NAME} alone, and not chosen by other labels: this peer is left out"
        );
        piece.lost(&format!("{path}.namespaceSelector"), &why);
        return None;
    };
    Some(json!({"selector": pods.unwrap_or_else(|| json!({})), "namespace": name}))
}

fn port(port: &Value, _: &str, _: &mut Piece) -> Option<Value> {
    let mut out = Map::new();
    match port.get("port").filter(|p| !p.is_null()) {
        Some(number) => {
            out.insert("port".to_owned(), number.clone());
            if let Some(end) = port.get("endPort").filter(|e| !e.is_null()) {
                out.insert("endPort".to_owned(), end.clone());
            }
        }
        None => {
            // All ports of a protocol.
            out.insert("port".to_owned(), 1.into());
            out.insert("endPort".to_owned(), 65535.into());
        }
    }
    if let Some(protocol) = port.get("protocol").filter(|p| !p.is_null()) {
        out.insert("protocol".to_owned(), protocol.clone());
    }
    Some(out.into())
}
