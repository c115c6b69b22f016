//! One kind as a server serves it.

use crate::client::path_segment;

/// One kind of one group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resource {
    /// Group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind: `Workload`.
    pub kind: String,
    /// Plural: `workloads`.
    pub plural: String,
    /// Singular: `workload`.
    pub singular: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What may be done.
    pub verbs: Vec<String>,
    /// `wl`
    pub short_names: Vec<String>,
    /// `hypermesh`, `all`
    pub categories: Vec<String>,
    /// Its parts that are served apart.
    #[serde(default)]
    pub subresources: Vec<Subresource>,
}

/// A part of objects that is served apart: `status`, `scale`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subresource {
    /// Its name.
    pub name: String,
    /// What may be done.
    pub verbs: Vec<String>,
}

/// A kind has no such part, or none that allows what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{plural} have no subresource {name:?} to {verb}: {}", there_is(parts))]
pub struct NoPart {
    /// The kind.
    pub plural: String,
    /// The part.
    pub name: String,
    /// What was to be done.
    pub verb: &'static str,
    /// The parts that allow it.
    pub parts: Vec<String>,
}

fn there_is(parts: &[String]) -> String {
    match parts {
        [] => "they have none".to_owned(),
        [one] => format!("there is {one}"),
        [others @ .., last] => format!("there are {} and {last}", others.join(", ")),
    }
}

/// The verbs of discovery that this program asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `list`
    List,
    /// `watch`
    Watch,
    /// `delete`
    Delete,
}

impl Resource {
    /// `hypermesh.online/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `workloads.hypermesh.online`, or `secrets`.
    pub fn qualified_plural(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `workload.hypermesh.online`, or `secret`: what stands before the slash where an object is named.
    pub fn qualified_singular(&self) -> String {
        let singular =
            if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        qualified(&singular, &self.group)
    }

    /// Whether the server offers a verb.
    pub fn allows(&self, verb: Verb) -> bool {
        let name = match verb {
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Delete => "delete",
        };
        self.verbs.iter().any(|v| v == name)
    }

    /// That it has a part which allows a verb.
    pub fn has_part(&self, name: &str, verb: &'static str) -> Result<(), NoPart> {
        let allows = |part: &&Subresource| part.verbs.iter().any(|v| v == verb);
        let parts: Vec<String> =
            self.subresources.iter().filter(allows).map(|part| part.name.clone()).collect();
        if parts.iter().any(|part| part == name) {
            return Ok(());
        }
        Err(NoPart { plural: self.qualified_plural(), name: name.to_owned(), verb, parts })
    }

    /// The path of the collection: of one namespace, or of all where `namespace` is `None`.
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", path_segment(&self.version))
        } else {
            format!("/apis/{}/{}", path_segment(&self.group), path_segment(&self.version))
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => {
                format!("{root}/namespaces/{}/{}", path_segment(namespace), path_segment(&self.plural))
            }
            None => format!("{root}/{}", path_segment(&self.plural)),
        }
    }

    /// The path of one object.
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection_path(Some(namespace)), path_segment(name))
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
