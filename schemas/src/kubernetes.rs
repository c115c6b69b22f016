//! The kinds of Kubernetes that are served as they are there: field names, types, lists that merge, columns.
//!
//! Their schemas are written by hand from the types of `k8s.io/api` 1.36. Where Kubernetes validates in code what a
//! schema can say, the schema says it; what only code can say is a [`Hook`](crate::definition::Hook). Fields that Go
//! clients send as `null` are nullable.

mod certificate_signing_request;
mod config_map;
mod controller_revision;
mod event;
mod lease;
mod namespace;
mod role;
mod role_binding;
mod schema;
mod secret;
mod service_account;

use crate::definition::{KindDefinition, Names, PrinterColumn, Scope, Strategy, Subresources};
use schema::Node;

/// All of them, in a fixed order.
pub fn definitions() -> Vec<KindDefinition> {
    vec![
        namespace::definition(),
        secret::definition(),
        config_map::definition(),
        event::definition(),
        service_account::definition(),
        lease::definition(),
        controller_revision::definition(),
        role::namespaced(),
        role::cluster(),
        role_binding::namespaced(),
        role_binding::cluster(),
        certificate_signing_request::definition(),
    ]
}

/// The path of `Age` and `Created At`.
const CREATED: &str = ".metadata.creationTimestamp";

/// A built-in kind without columns, short names or behaviour of its own.
fn built_in(group: &str, scope: Scope, kind: &str, plural: &str, schema: Node) -> KindDefinition {
    KindDefinition {
        group: group.to_owned(),
        version: "v1".to_owned(),
        names: Names {
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            short_names: Vec::new(),
            categories: Vec::new(),
        },
        scope,
        schema: schema.into_value(),
        subresources: Subresources::default(),
        printer_columns: Vec::new(),
        selectable_fields: Vec::new(),
        unique_fields: Vec::new(),
        strategy: Strategy { built_in: true, ..Strategy::default() },
    }
}

/// A column: heading, type, path or call, what it shows. Priority 1 is the wide table.
fn column(name: &str, kind: &str, json_path: &str, priority: i32, description: &str) -> PrinterColumn {
    PrinterColumn {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: if name == "Name" { "name".to_owned() } else { String::new() },
        description: description.to_owned(),
        priority,
        json_path: json_path.to_owned(),
    }
}
