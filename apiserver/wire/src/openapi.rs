//! OpenAPI v3: an index of group-versions, and a document for each, as JSON and as gnostic's protobuf.
//!
//! A document's hash is taken over what it is made from, so that the index costs no document: those are built when
//! asked for, and kept by their hash.

mod document;
mod gnostic;
mod messages;
mod operation;
mod schemas;

pub(crate) use document::parts;
pub(crate) use schemas::{built_in_components, is_meta, meta_components};

use crate::catalog::Catalog;
use crate::gnostic::Form;
use crate::list::write_json;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

/// Raised with every change of what a document looks like, so that kept documents of an older form are not served.
const FORM: u32 = 1;

/// Where a group-version's document stands below `/openapi/v3/`: `api/v1`, or `apis/<group>/<version>`.
pub fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What the document of a group-version is known by: 128 upper-case hexadecimal digits that change with its content.
/// It serves as `?hash=` and as the ETag of the document.
pub fn document_hash(catalog: &Catalog<'_>, group: &str, version: &str) -> String {
    let mut source = FORM.to_string().into_bytes();
    for definition in catalog.definitions_of(group, version) {
        write_json(definition, &mut source);
    }
    for v in catalog.virtuals_of(group, version) {
        let place =
            json!([v.plural, v.subresource, v.kind, v.kind_group_version, v.scope, v.verbs, *v.schema]);
        write_json(&place, &mut source);
    }
    Sha512::digest(&source).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The document of a group-version, or `None` where it is not served.
pub fn document(catalog: &Catalog<'_>, group: &str, version: &str, form: Form) -> Option<Vec<u8>> {
    match form {
        Form::Json => document::document(catalog, group, version),
        Form::Protobuf => gnostic::document(catalog, group, version),
    }
}

/// The index at `/openapi/v3`.
pub fn index(catalog: &Catalog<'_>) -> Vec<u8> {
    let mut paths = Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let path = document_path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", document_hash(catalog, group, version));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    let mut out = Vec::new();
    write_json(&json!({"paths": Value::Object(paths)}), &mut out);
    out
}

#[cfg(test)]
mod tests;
