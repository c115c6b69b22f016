//! Which members of a set were just applied, and so are not for pruning. Pure.

use crate::{commands::apply::set::group_kind, discovery::Resource, manifest::Placed};
use serde_json::Value;
use std::collections::BTreeSet;

/// What the manifests name, by uid and by name: a dry run of the client's learns no uid, and an object that was deleted
/// and made again in between has another one.
pub(super) struct Present {
    uids: BTreeSet<String>,
    names: BTreeSet<(String, String, String)>,
}

impl Present {
    /// `applied` are the objects of `placed` as far as they are known.
    pub(super) fn of(placed: &[Placed], applied: &[Value]) -> Self {
        let uid = |object: &Value| object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
        let name = |item: &Placed| {
            // For a kind without namespaces the field means nothing.
            let namespace = if item.resource.namespaced { item.namespace.clone() } else { String::new() };
            (group_kind(&item.resource), namespace, item.document.name.clone())
        };
        Self { uids: applied.iter().filter_map(uid).collect(), names: placed.iter().map(name).collect() }
    }

    /// Whether an object in the cluster is one of them.
    pub(super) fn has(&self, resource: &Resource, object: &Value) -> bool {
        let text = |key: &str| {
            let text = object.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        self.uids.contains(&text("uid"))
            || self.names.contains(&(group_kind(resource), text("namespace"), text("name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;
    use serde_json::json;
    use std::sync::Arc;

    fn resource(kind: &str, namespaced: bool) -> Resource {
        Resource { kind: kind.into(), version: "v1".into(), namespaced, ..Resource::default() }
    }

    #[test]
    fn what_is_in_the_manifests_is_present_whether_its_uid_is_known_or_not() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: far}\n";
        let documents = manifest::documents(&[Arc::new(manifest::Source::new("x", text))]).unwrap();
        let place = |document: manifest::Document| {
            let resource = resource(&document.kind, document.kind == "ConfigMap");
            Placed { resource, namespace: "near".into(), document }
        };
        let placed: Vec<Placed> = documents.into_iter().map(place).collect();
        let object = |name: &str, namespace: &str, uid: &str| json!({"metadata": {"name": name, "namespace": namespace, "uid": uid}});
        let (map, namespace) = (resource("ConfigMap", true), resource("Namespace", false));
        // A dry run of the client's gives the manifests back.
        let dry = Present::of(&placed, &[json!({"metadata": {"name": "one"}})]);
        assert!(dry.has(&map, &object("one", "near", "u1")));
        assert!(dry.has(&namespace, &json!({"metadata": {"name": "far", "uid": "u2"}})));
        assert!(!dry.has(&map, &object("two", "near", "u3")));
        assert!(!dry.has(&map, &object("one", "far", "u4")));
        assert!(!dry.has(&resource("Secret", true), &object("one", "near", "u5")));
        // A kind of another group that serves the same object is told by its uid.
        let done = Present::of(&placed, &[object("one", "near", "u1")]);
        assert!(done.has(&resource("Secret", true), &object("one", "near", "u1")));
    }
}
