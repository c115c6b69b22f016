//! OpenAPI v3: an index of group-versions, and a document for each.
//!
//! A document's hash is taken over what it is made from, so that the index costs no document: those are built when
//! asked for, and kept by their hash.

mod document;
mod operation;
mod schemas;

pub use document::document;
pub(crate) use document::parts;
pub(crate) use schemas::{built_in_components, is_meta, meta_components};

use crate::catalog::Catalog;
use crate::list::write_json;
use crate::media::{MediaType, accept_clauses};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

/// Raised with every change of what a document looks like, so that kept documents of an older form are not served.
const FORM: u32 = 1;

/// Whether an `Accept` header takes the one form that documents of v3 have here: JSON.
pub fn takes_json(accept: &str) -> bool {
    let json = |clause: &MediaType| {
        matches!((clause.kind.as_str(), clause.subtype.as_str()), ("*" | "application", "*" | "json"))
    };
    accept.trim().is_empty() || accept_clauses(accept).iter().any(json)
}

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
            json!([v.plural, v.subresource, v.kind, v.kind_group_version, v.scope, v.verbs, v.schema]);
        write_json(&place, &mut source);
    }
    Sha512::digest(&source).iter().map(|byte| format!("{byte:02X}")).collect()
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
