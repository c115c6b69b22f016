//! The document of one group-version: paths and components.

use super::operation::{Action, Operation, path_parameter, pretty};
use super::schemas::{component_name, components, meta_name};
use crate::catalog::{Catalog, Gvk, Resource, Subresource};
use crate::list::write_json;
use hypermesh_schemas::definition::Scope;
use serde_json::{Map, Value, json};

/// The OpenAPI v3 document of a group-version as JSON, or `None` where it is not served.
pub(super) fn document(catalog: &Catalog<'_>, group: &str, version: &str) -> Option<Vec<u8>> {
    let (paths, components) = parts(catalog, group, version)?;
    let mut document = head(version);
    document["paths"] = Value::Object(paths);
    document["components"] = json!({"schemas": components, "securitySchemes": security_schemes()});
    let mut out = Vec::new();
    write_json(&document, &mut out);
    Some(out)
}

/// What precedes the paths and components.
pub(super) fn head(version: &str) -> Value {
    json!({"openapi": "3.0.0", "info": {"title": "HyperMesh", "version": version}})
}

/// How clients say who they are.
pub(super) fn security_schemes() -> Value {
    json!({"BearerToken": {
        "type": "apiKey", "name": "authorization", "in": "header",
        "description": "Bearer Token authentication",
    }})
}

/// The paths of a group-version and their schemas, or `None` where it is not served.
pub(crate) fn parts(
    catalog: &Catalog<'_>,
    group: &str,
    version: &str,
) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let resources = catalog.resources(group, version);
    if resources.is_empty() {
        return None;
    }
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let mut paths = Map::new();
    for resource in &resources {
        add_paths(&root, resource, &mut paths);
    }
    Some((paths, components(group, version, &resources)))
}

fn add_paths(root: &str, resource: &Resource<'_>, paths: &mut Map<String, Value>) {
    let namespaced = resource.scope == Scope::Namespaced;
    let place = if namespaced { "Namespaced" } else { "" };
    let collection = if namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    };
    let list = component_name(Gvk { kind: &resource.list_kind, ..resource.gvk });
    let own = component_name(resource.gvk);
    let status = meta_name("Status");
    let operation = |action, reply: &str, place| Operation {
        action,
        gvk: resource.gvk,
        reply: reply.to_owned(),
        place,
        strategic: resource.strategic,
    };

    let on_collection = [
        ("list", operation(Action::List, &list, place)),
        ("create", operation(Action::Post, &own, place)),
        ("deletecollection", operation(Action::DeleteCollection, &status, place)),
    ];
    let on_object = [
        ("get", operation(Action::Get, &own, place)),
        ("update", operation(Action::Put, &own, place)),
        ("patch", operation(Action::Patch, &own, place)),
        ("delete", operation(Action::Delete, &status, place)),
    ];
    add(paths, collection.clone(), &served(on_collection, resource), namespaced, None);
    let object = format!("{collection}/{{name}}");
    add(paths, object, &served(on_object, resource), namespaced, Some(resource.gvk.kind));
    if namespaced && resource.verbs.contains(&"list") {
        let everywhere = operation(Action::List, &list, "ForAllNamespaces");
        add(paths, format!("{root}/{}", resource.plural), &[everywhere], false, None);
    }
    for subresource in &resource.subresources {
        let path = format!("{collection}/{{name}}/{}", subresource.name);
        let place = format!("{place}{}{}", resource.gvk.kind, super::operation::camel(subresource.name));
        let operations = subresource_operations(subresource, &place, resource.strategic);
        add(paths, path, &operations, namespaced, Some(resource.gvk.kind));
    }
}

/// Those operations whose verb the resource has.
fn served<'a, const N: usize>(
    operations: [(&str, Operation<'a>); N],
    resource: &Resource<'_>,
) -> Vec<Operation<'a>> {
    let served = operations.into_iter().filter(|(verb, _)| resource.verbs.contains(verb));
    served.map(|(_, operation)| operation).collect()
}

fn subresource_operations<'a>(
    subresource: &Subresource<'a>,
    place: &'a str,
    strategic: bool,
) -> Vec<Operation<'a>> {
    let actions =
        [("get", Action::Get), ("create", Action::Post), ("update", Action::Put), ("patch", Action::Patch)];
    let served = actions.into_iter().filter(|(verb, _)| subresource.verbs.contains(verb));
    let reply = component_name(subresource.gvk);
    served
        .map(|(_, action)| Operation { action, gvk: subresource.gvk, reply: reply.clone(), place, strategic })
        .collect()
}

/// Adds a path, unless nothing is served there. `kind` names the object where the path is one's.
fn add(
    paths: &mut Map<String, Value>,
    path: String,
    operations: &[Operation<'_>],
    namespaced: bool,
    kind: Option<&str>,
) {
    if operations.is_empty() {
        return;
    }
    let mut parameters = Vec::new();
    if let Some(kind) = kind {
        parameters.push(path_parameter("name", &format!("name of the {kind}")));
    }
    if namespaced {
        parameters.push(path_parameter("namespace", "the namespace"));
    }
    parameters.push(pretty());
    let mut item = Map::new();
    item.insert("parameters".into(), parameters.into());
    for operation in operations {
        item.insert(operation.action.method().into(), operation.to_value());
    }
    paths.insert(path, Value::Object(item));
}
