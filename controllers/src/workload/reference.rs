//! The ConfigMaps and Secrets that a template refers to. Pure.
//!
//! Not among them are those that are kept fresh by somebody else, since going back to an old one would break what they
//! are for: the authorities of the API server, and the Secrets with which images are pulled. Nor is what a template of a
//! copy refers to: a copy never changes, so it is its own.

use crate::namespace::BUNDLE;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is referred to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `ConfigMap` or `Secret`.
    pub kind: Kind,
    /// Its name, in the Workload's namespace.
    pub name: String,
}

/// The kinds that hold configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Kind {
    /// As manifests name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// What a template refers to.
pub fn references(template: &Value) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let mut template = template.clone();
    visit(&mut template, &mut |kind, name| {
        if !(kind == Kind::ConfigMap && name == BUNDLE) {
            found.insert(Reference { kind, name: name.clone() });
        }
    });
    found
}

/// Calls `see` with the name of everything that a template refers to, which it may change.
pub fn visit(template: &mut Value, see: &mut impl FnMut(Kind, &mut String)) {
    let Some(spec) = template.get_mut("spec") else { return };
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            for variable in items(container, "env") {
                named(variable.pointer_mut("/valueFrom/configMapKeyRef"), "name", Kind::ConfigMap, see);
                named(variable.pointer_mut("/valueFrom/secretKeyRef"), "name", Kind::Secret, see);
            }
            for source in items(container, "envFrom") {
                named(source.get_mut("configMapRef"), "name", Kind::ConfigMap, see);
                named(source.get_mut("secretRef"), "name", Kind::Secret, see);
            }
        }
    }
    for volume in items(spec, "volumes") {
        named(volume.get_mut("configMap"), "name", Kind::ConfigMap, see);
        named(volume.get_mut("secret"), "secretName", Kind::Secret, see);
        let Some(projected) = volume.get_mut("projected") else { continue };
        for source in items(projected, "sources") {
            named(source.get_mut("configMap"), "name", Kind::ConfigMap, see);
            named(source.get_mut("secret"), "name", Kind::Secret, see);
        }
    }
}

fn items<'v>(value: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn named(holder: Option<&mut Value>, field: &str, kind: Kind, see: &mut impl FnMut(Kind, &mut String)) {
    if let Some(Value::String(name)) = holder.and_then(|holder| holder.get_mut(field)) {
        see(kind, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_holds_configuration_is_found() {
        let template = json!({"spec": {
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init"}}]}],
            "containers": [{"name": "c", "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "a"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "two", "key": "a"}}},
                {"name": "C", "value": "x"},
            ], "envFrom": [{"configMapRef": {"name": "one"}}]}],
            "volumes": [
                {"name": "v", "configMap": {"name": "three"}},
                {"name": "w", "secret": {"secretName": "four"}},
                {"name": "x", "projected": {"sources": [
                    {"configMap": {"name": "kube-root-ca.crt"}}, {"secret": {"name": "five"}}, {"serviceAccountToken": {"path": "t"}},
                ]}},
            ],
        }});
        let found: Vec<String> = references(&template)
            .into_iter()
            .map(|found| format!("{}/{}", found.kind.as_str(), found.name))
            .collect();
        assert_eq!(
            found,
            ["ConfigMap/one", "ConfigMap/three", "Secret/five", "Secret/four", "Secret/init", "Secret/two"]
        );
        assert_eq!(references(&json!({"spec": []})), BTreeSet::new());
    }
}
