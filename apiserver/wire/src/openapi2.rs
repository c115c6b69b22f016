//! OpenAPI v2 (Swagger): one document of everything that is served, as JSON and as gnostic's protobuf.
//!
//! client-go's discovery, and with it Argo CD, Helm and older kubectl, knows types by it alone. It is made from the
//! documents of v3, group-version by group-version, and written as it is made: the whole is never held as values. What
//! v2 cannot say is left out as kube-apiserver leaves it out (`k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2`),
//! for the same reason: its readers refuse the whole document for one schema that they do not understand.

mod gnostic;
mod messages;
mod operations;
mod schemas;

use crate::catalog::Catalog;
use crate::gnostic::Form;
use crate::list::write_json;
use crate::openapi;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use std::collections::BTreeSet;

/// Raised with every change of what the document looks like.
const FORM: u32 = 1;

/// What the document is known by: it changes with its content, and costs no document.
pub fn hash(catalog: &Catalog<'_>) -> String {
    let mut hasher = Sha512::new();
    hasher.update(FORM.to_string());
    for (group, versions) in catalog.groups() {
        for version in versions {
            hasher.update(openapi::document_hash(catalog, group, version));
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The document.
pub fn document(catalog: &Catalog<'_>, form: Form) -> Vec<u8> {
    match form {
        Form::Json => as_json(catalog),
        Form::Protobuf => as_protobuf(catalog),
    }
}

/// What precedes the paths and definitions.
fn head() -> Value {
    json!({
        "swagger": "2.0",
        "info": {"title": "HyperMesh", "version": "v1"},
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header",
            "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

fn as_json(catalog: &Catalog<'_>) -> Vec<u8> {
    let (mut paths, mut definitions) = (Vec::new(), Vec::new());
    let entry = |out: &mut Vec<u8>, name: &str, value: &Value| {
        if !out.is_empty() {
            out.push(b',');
        }
        write_json(&name, out);
        out.push(b':');
        write_json(value, out);
    };
    each(
        catalog,
        |name, item| entry(&mut paths, name, item),
        |name, schema| entry(&mut definitions, name, schema),
    );
    let mut out = Vec::with_capacity(paths.len() + definitions.len() + 512);
    write_json(&head(), &mut out);
    // The head's closing brace.
    out.pop();
    out.extend_from_slice(b",\"paths\":{");
    out.append(&mut paths);
    out.extend_from_slice(b"},\"definitions\":{");
    out.append(&mut definitions);
    out.extend_from_slice(b"}}");
    out
}

fn as_protobuf(catalog: &Catalog<'_>) -> Vec<u8> {
    let (mut paths, mut definitions) = (Vec::new(), Vec::new());
    each(
        catalog,
        |name, item| gnostic::path(name, item, &mut paths),
        |name, schema| gnostic::definition(name, schema, &mut definitions),
    );
    gnostic::document(&head(), &paths, &definitions)
}

/// Walks what is served: every path, then every definition of a group-version, each once, in the form of v2.
fn each(catalog: &Catalog<'_>, mut path: impl FnMut(&str, &Value), mut definition: impl FnMut(&str, &Value)) {
    let mut homes = Vec::new();
    let mut known = BTreeSet::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            homes.push((group, version));
            let Some((paths, components)) = openapi::parts(catalog, group, version) else { continue };
            for (name, item) in paths {
                path(&name, &operations::path_item(item));
            }
            let built_in = openapi::built_in_components(catalog, group, version);
            for (name, schema) in components {
                if !openapi::is_meta(&name) && known.insert(name.clone()) {
                    definition(&name, &schemas::schema(schema, built_in.contains(&name)));
                }
            }
        }
    }
    for (name, schema) in openapi::meta_components(&homes) {
        definition(&name, &schemas::schema(schema, true));
    }
}

#[cfg(test)]
mod tests;
