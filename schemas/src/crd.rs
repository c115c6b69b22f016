//! A kind as a CustomResourceDefinition, for tools that read those and for clusters of Kubernetes itself.

use crate::definition::{Cell, KindDefinition, Scope};
use serde_json::{Map, Value, json};

impl KindDefinition {
    /// `plural.group`, the name of the CustomResourceDefinition. `plural` alone in the core group.
    pub fn crd_name(&self) -> String {
        if self.group.is_empty() {
            self.names.plural.clone()
        } else {
            format!("{}.{}", self.names.plural, self.group)
        }
    }

    /// The `apiextensions.k8s.io/v1` CustomResourceDefinition. A Kubernetes API server takes it as it is; fields that
    /// are unique here, which is nothing that Kubernetes knows, are named in an annotation.
    pub fn to_crd(&self) -> Value {
        let mut version = Map::new();
        version.insert("name".to_owned(), self.version.clone().into());
        version.insert("served".to_owned(), true.into());
        version.insert("storage".to_owned(), true.into());
        version.insert("schema".to_owned(), json!({"openAPIV3Schema": self.crd_schema()}));
        let subresources = self.crd_subresources();
        if !subresources.is_empty() {
            version.insert("subresources".to_owned(), subresources.into());
        }
        if !self.printer_columns.is_empty() {
            version.insert("additionalPrinterColumns".to_owned(), self.crd_columns());
        }
        if !self.selectable_fields.is_empty() {
            let fields = self.selectable_fields.iter().map(|path| json!({"jsonPath": path}));
            version.insert("selectableFields".to_owned(), fields.collect());
        }
        let mut metadata = json!({"name": self.crd_name()});
        if !self.unique_fields.is_empty() {
            let paths: Vec<&str> = self.unique_fields.iter().map(|field| field.json_path.as_str()).collect();
            metadata["annotations"] = json!({"hypermesh.online/unique-fields": paths.join(",")});
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": metadata,
            "spec": {
                "group": self.group,
                "names": self.crd_names(),
                "scope": match self.scope {
                    Scope::Namespaced => "Namespaced",
                    Scope::Cluster => "Cluster",
                },
                "versions": [version],
            },
        })
    }

    fn crd_names(&self) -> Value {
        let mut names = json!({
            "kind": self.names.kind,
            "listKind": self.names.list_kind,
            "plural": self.names.plural,
            "singular": self.names.singular,
        });
        for (field, values) in
            [("categories", &self.names.categories), ("shortNames", &self.names.short_names)]
        {
            if !values.is_empty() {
                names[field] = json!(values);
            }
        }
        names
    }

    fn crd_subresources(&self) -> Map<String, Value> {
        let mut subresources = Map::new();
        if self.subresources.status {
            subresources.insert("status".to_owned(), json!({}));
        }
        if let Some(scale) = &self.subresources.scale {
            subresources.insert("scale".to_owned(), json!(scale));
        }
        subresources
    }

    /// The columns, and `Age`, which Kubernetes adds only where there are no others.
    fn crd_columns(&self) -> Value {
        let columns = self.printer_columns.iter().map(|column| {
            let mut entry = json!({
                "name": column.name,
                "type": column.kind,
                "description": column.description,
                "jsonPath": plain_path(&column.json_path),
            });
            if !column.format.is_empty() {
                entry["format"] = column.format.clone().into();
            }
            if column.priority != 0 {
                entry["priority"] = column.priority.into();
            }
            entry
        });
        let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
        columns.chain([age]).collect()
    }

    fn crd_schema(&self) -> Value {
        let mut schema = self.schema.clone();
        strip(&mut schema, &|keyword| {
            keyword.starts_with("x-hypermesh-") || keyword.starts_with("x-kubernetes-patch-")
        });
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
            properties.insert("kind".to_owned(), json!({"type": "string"}));
            properties.insert("metadata".to_owned(), json!({"type": "object"}));
        }
        schema
    }
}

/// A column's path as Kubernetes reads it: of a call, which it has not, the last path, which is the plainest.
pub(crate) fn plain_path(path: &str) -> &str {
    Cell::parse(path).ok().and_then(|cell| cell.paths().last().copied()).unwrap_or(path)
}

/// Removes keywords from a schema, at every node and never from its `properties`, whose names are the kind's own.
pub(crate) fn strip(node: &mut Value, drop: &impl Fn(&str) -> bool) {
    let Value::Object(map) = node else { return };
    map.retain(|keyword, _| !drop(keyword));
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(keyword) {
            strip(child, drop);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(|child| strip(child, drop));
    }
}
