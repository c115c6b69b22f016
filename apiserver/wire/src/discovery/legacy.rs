//! `/api`, `/apis`, `/apis/<group>` and `/apis/<group>/<version>` as one document each.

use crate::catalog::{Catalog, Gvk};
use crate::list::{api_version, write_json};
use hypermesh_schemas::definition::Scope;
use serde::Serialize;
use serde_json::json;

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(value, &mut out);
    out
}

/// `APIVersions` of `/api`. `server` is the `host:port` at which clients reach the server.
pub fn api_versions(catalog: &Catalog<'_>, server: &str) -> Vec<u8> {
    let versions =
        catalog.groups().into_iter().find(|(group, _)| group.is_empty()).map(|(_, versions)| versions);
    encoded(&json!({
        "kind": "APIVersions",
        "versions": versions.unwrap_or_default(),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }))
}

#[derive(Serialize)]
struct GroupVersion {
    #[serde(rename = "groupVersion")]
    group_version: String,
    version: String,
}

#[derive(Serialize)]
struct Group<'a> {
    #[serde(flatten)]
    type_meta: Option<TypeMeta>,
    name: &'a str,
    versions: Vec<GroupVersion>,
    #[serde(rename = "preferredVersion")]
    preferred_version: Option<GroupVersion>,
}

#[derive(Serialize)]
struct TypeMeta {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
}

fn group<'a>(name: &'a str, versions: &[&str], type_meta: Option<TypeMeta>) -> Group<'a> {
    let entry = |version: &&str| GroupVersion {
        group_version: api_version(name, version),
        version: (*version).to_owned(),
    };
    Group {
        type_meta,
        name,
        versions: versions.iter().map(entry).collect(),
        preferred_version: versions.first().map(entry),
    }
}

/// `APIGroupList` of `/apis`.
pub fn api_group_list(catalog: &Catalog<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct GroupList<'a> {
        kind: &'static str,
        #[serde(rename = "apiVersion")]
        api_version: &'static str,
        groups: Vec<Group<'a>>,
    }
    let groups = catalog.groups();
    let named = groups.iter().filter(|(name, _)| !name.is_empty());
    encoded(&GroupList {
        kind: "APIGroupList",
        api_version: "v1",
        groups: named.map(|(name, versions)| group(name, versions, None)).collect(),
    })
}

/// `APIGroup` of `/apis/<group>`, or `None` where it is not served.
pub fn api_group(catalog: &Catalog<'_>, name: &str) -> Option<Vec<u8>> {
    let (name, versions) =
        catalog.groups().into_iter().find(|(group, _)| *group == name && !name.is_empty())?;
    Some(encoded(&group(name, &versions, Some(TypeMeta { kind: "APIGroup", api_version: "v1" }))))
}

/// One entry of an `APIResourceList`, in the reference's order of fields.
#[derive(Serialize)]
struct ApiResource<'a> {
    name: String,
    #[serde(rename = "singularName")]
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    kind: &'a str,
    verbs: &'a [&'a str],
    #[serde(rename = "shortNames", skip_serializing_if = "<[String]>::is_empty")]
    short_names: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    categories: &'a [String],
    #[serde(rename = "storageVersionHash", skip_serializing_if = "Option::is_none")]
    storage_version_hash: Option<&'a str>,
}

/// `APIResourceList` of `/api/<version>` or `/apis/<group>/<version>`, or `None` where it is not served.
pub fn api_resource_list(catalog: &Catalog<'_>, group: &str, version: &str) -> Option<Vec<u8>> {
    let resources = catalog.resources(group, version);
    if resources.is_empty() {
        return None;
    }
    let mut out = br#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"#.to_vec();
    write_json(&api_version(group, version), &mut out);
    out.extend_from_slice(br#","resources":["#);
    let foreign = |gvk: Gvk<'_>| gvk.group != group || gvk.version != version;
    let mut first = true;
    let mut push = |entry: &ApiResource<'_>| {
        if !first {
            out.push(b',');
        }
        first = false;
        write_json(entry, &mut out);
    };
    for resource in &resources {
        let namespaced = resource.scope == Scope::Namespaced;
        let other = foreign(resource.gvk);
        push(&ApiResource {
            name: resource.plural.to_owned(),
            singular_name: resource.singular,
            namespaced,
            group: other.then_some(resource.gvk.group),
            version: other.then_some(resource.gvk.version),
            kind: resource.gvk.kind,
            verbs: &resource.verbs,
            short_names: resource.short_names,
            categories: resource.categories,
            storage_version_hash: resource.storage_version_hash.as_deref(),
        });
        for subresource in &resource.subresources {
            let other = foreign(subresource.gvk);
            push(&ApiResource {
                name: format!("{}/{}", resource.plural, subresource.name),
                singular_name: "",
                namespaced,
                group: other.then_some(subresource.gvk.group),
                version: other.then_some(subresource.gvk.version),
                kind: subresource.gvk.kind,
                verbs: &subresource.verbs,
                short_names: &[],
                categories: &[],
                storage_version_hash: None,
            });
        }
    }
    out.extend_from_slice(b"]}");
    Some(out)
}
