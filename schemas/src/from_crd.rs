//! From a CustomResourceDefinition manifest to a kind as data.

use crate::KindDefinition;
use crate::definition::{Names, PrinterColumn, Scale, Scope, Strategy, Subresources};
use serde::Deserialize;
use serde_json::Value;

/// A manifest that does not describe a kind.
#[derive(Debug)]
pub struct InvalidCrd(String);

impl std::fmt::Display for InvalidCrd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the CustomResourceDefinition cannot be used: {}", self.0)
    }
}

impl std::error::Error for InvalidCrd {}

#[derive(Deserialize)]
struct Crd {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    scope: Scope,
    names: CrdNames,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CrdNames {
    plural: String,
    #[serde(default)]
    singular: String,
    kind: String,
    #[serde(default)]
    list_kind: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    name: String,
    storage: bool,
    schema: Holder,
    #[serde(default)]
    subresources: CrdSubresources,
    #[serde(default)]
    additional_printer_columns: Vec<PrinterColumn>,
    #[serde(default)]
    selectable_fields: Vec<Selectable>,
}

#[derive(Deserialize)]
struct Holder {
    #[serde(rename = "openAPIV3Schema")]
    schema: Value,
}

#[derive(Default, Deserialize)]
struct CrdSubresources {
    status: Option<Value>,
    scale: Option<Scale>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selectable {
    json_path: String,
}

impl KindDefinition {
    /// The kind that an `apiextensions.k8s.io/v1` CustomResourceDefinition describes, in its storage version.
    ///
    /// # Errors
    /// [`InvalidCrd`] says what is missing or mistyped.
    pub fn from_crd(manifest: &Value) -> Result<Self, InvalidCrd> {
        let crd = Crd::deserialize(manifest).map_err(|error| InvalidCrd(error.to_string()))?;
        let Spec { group, scope, names, versions } = crd.spec;
        let version = versions
            .into_iter()
            .find(|version| version.storage)
            .ok_or_else(|| InvalidCrd("no version is the storage version".to_owned()))?;
        let or = |text: String, other: String| if text.is_empty() { other } else { text };
        Ok(Self {
            group,
            version: version.name,
            names: Names {
                singular: or(names.singular, names.kind.to_lowercase()),
                list_kind: or(names.list_kind, format!("{}List", names.kind)),
                plural: names.plural,
                kind: names.kind,
                short_names: names.short_names,
                categories: names.categories,
            },
            scope,
            schema: version.schema.schema,
            subresources: Subresources {
                status: version.subresources.status.is_some(),
                scale: version.subresources.scale,
            },
            printer_columns: version.additional_printer_columns,
            selectable_fields: version.selectable_fields.into_iter().map(|field| field.json_path).collect(),
            unique_fields: Vec::new(),
            strategy: Strategy { generation: true, ..Strategy::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_manifests_read_back() {
        for kind in crate::definitions().into_iter().filter(|kind| kind.group == crate::GROUP) {
            let read = KindDefinition::from_crd(&kind.to_crd()).unwrap();
            assert_eq!(read.names, kind.names);
            assert_eq!(read.subresources, kind.subresources);
            let mut columns = kind.printer_columns.clone();
            for column in &mut columns {
                column.json_path = crate::crd::plain_path(&column.json_path).to_owned();
            }
            // A manifest names the age, which the server adds to kinds of its own.
            assert!(read.printer_columns.starts_with(&columns), "{}", kind.names.kind);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = KindDefinition::from_crd(&serde_json::json!({"spec": {"group": "a"}})).unwrap_err();
        assert!(error.to_string().contains("missing field `scope`"), "{error}");
    }
}
