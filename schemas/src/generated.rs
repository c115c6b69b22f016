//! The files that are generated from the kinds: which there are, and what is in each.

use crate::definition::KindDefinition;
use crate::editor::{dispatching_schema, file_name};
use serde_json::Value;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path from the crate's folder, with `/`.
    pub path: String,
    /// Its content.
    pub content: String,
}

/// A kind whose manifest cannot be written as YAML. Every kind of this crate can: a test writes them all.
#[derive(Debug)]
pub struct Unwritable {
    /// The kind.
    pub kind: String,
    source: serde_saphyr::ser::Error,
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "writing the CustomResourceDefinition of {} failed", self.kind)
    }
}

impl std::error::Error for Unwritable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// All generated files: `crds/<plural>.yaml` for our kinds, `json/<kind>.json` for all, and `json/all.json`.
pub fn files(definitions: &[KindDefinition]) -> Result<Vec<GeneratedFile>, Unwritable> {
    let mut files = Vec::new();
    for definition in definitions {
        if !definition.strategy.built_in {
            let content = yaml(&definition.to_crd())
                .map_err(|source| Unwritable { kind: definition.names.kind.clone(), source })?;
            files.push(GeneratedFile { path: format!("crds/{}.yaml", definition.names.plural), content });
        }
        files.push(GeneratedFile {
            path: format!("json/{}", file_name(definition)),
            content: json(&definition.to_json_schema()),
        });
    }
    files.push(GeneratedFile {
        path: "json/all.json".to_owned(),
        content: json(&dispatching_schema(definitions)),
    });
    Ok(files)
}

fn yaml(value: &Value) -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(value)?;
    Ok(format!("# Made by generate-schemas; changes are lost.\n{text}"))
}

fn json(value: &Value) -> String {
    format!("{value:#}\n")
}
