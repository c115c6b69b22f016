//! What is served, seen as groups, versions and resources: the ground of discovery and OpenAPI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hypermesh_schemas::KindDefinition;
use hypermesh_schemas::definition::{Hook, Scope};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A resource that is served but not stored (a review, a token request, the logs of a pod), or one whose objects are
/// a projection of others.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualResource {
    /// Group of the path.
    pub group: String,
    /// Version of the path.
    pub version: String,
    /// Plural: `subjectaccessreviews`, or `serviceaccounts` for one of their subresources.
    pub plural: String,
    /// Singular; empty for a subresource.
    pub singular: String,
    /// `token`, where it is a subresource of `plural`.
    pub subresource: Option<String>,
    /// Kind of what is sent and answered.
    pub kind: String,
    /// Group and version of the kind where they are not those of the path.
    pub kind_group_version: Option<(String, String)>,
    /// Where it is served.
    pub scope: Scope,
    /// RBAC words.
    pub verbs: Vec<String>,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Schema of the kind, without `apiVersion`, `kind` and `metadata`.
    pub schema: Arc<Value>,
}

/// Everything that is served.
#[derive(Clone, Debug, Default)]
pub struct Catalog<'a> {
    definitions: Vec<&'a KindDefinition>,
    virtuals: Vec<&'a VirtualResource>,
}

/// A kind as the wire names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gvk<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
}

/// One resource of a group and version.
#[derive(Clone, Debug)]
pub(crate) struct Resource<'a> {
    pub plural: &'a str,
    pub singular: &'a str,
    pub list_kind: String,
    pub gvk: Gvk<'a>,
    pub scope: Scope,
    pub verbs: Vec<&'a str>,
    pub short_names: &'a [String],
    pub categories: &'a [String],
    /// Absent for what is not stored.
    pub storage_version_hash: Option<String>,
    pub schema: &'a Value,
    pub strategic: bool,
    pub subresources: Vec<Subresource<'a>>,
}

/// One subresource.
#[derive(Clone, Debug)]
pub(crate) struct Subresource<'a> {
    pub name: &'a str,
    pub gvk: Gvk<'a>,
    pub verbs: Vec<&'a str>,
    /// `None`: it is the object's own kind, or one known by itself (Scale).
    pub schema: Option<&'a Value>,
}

const CUSTOM_VERBS: [&str; 8] =
    ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const BUILT_IN_VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];
pub(crate) const SCALE: Gvk<'static> = Gvk { group: "autoscaling", version: "v1", kind: "Scale" };
/// Our own group goes before the others, so that a name that two groups share means ours.
const FIRST_GROUP: &str = "hypermesh.online";

impl<'a> Catalog<'a> {
    /// A catalog of stored kinds and of what is served beside them.
    pub fn new(
        definitions: impl IntoIterator<Item = &'a KindDefinition>,
        virtuals: impl IntoIterator<Item = &'a VirtualResource>,
    ) -> Self {
        Self { definitions: definitions.into_iter().collect(), virtuals: virtuals.into_iter().collect() }
    }

    /// The groups in the order of preference, each with its versions, best first. The core group is the first where
    /// it is served.
    pub fn groups(&self) -> Vec<(&'a str, Vec<&'a str>)> {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let stored = self.definitions.iter().map(|d| (d.group.as_str(), d.version.as_str()));
        let unstored = self.virtuals.iter().map(|v| (v.group.as_str(), v.version.as_str()));
        for (group, version) in stored.chain(unstored) {
            groups.entry(group).or_default().insert(version);
        }
        let mut groups: Vec<(&str, Vec<&str>)> = groups
            .into_iter()
            .map(|(group, versions)| {
                let mut versions: Vec<&str> = versions.into_iter().collect();
                versions.sort_by(|a, b| compare_versions(b, a));
                (group, versions)
            })
            .collect();
        groups.sort_by_key(|(group, _)| (!group.is_empty(), *group != FIRST_GROUP, *group));
        groups
    }

    pub(crate) fn definitions_of(
        &self,
        group: &str,
        version: &str,
    ) -> impl Iterator<Item = &'a KindDefinition> {
        self.definitions.iter().copied().filter(move |d| d.group == group && d.version == version)
    }

    pub(crate) fn virtuals_of(
        &self,
        group: &str,
        version: &str,
    ) -> impl Iterator<Item = &'a VirtualResource> {
        self.virtuals.iter().copied().filter(move |v| v.group == group && v.version == version)
    }

    /// The resources of a group and version, by their plural.
    pub(crate) fn resources(&self, group: &str, version: &str) -> Vec<Resource<'a>> {
        let mut resources: Vec<Resource<'a>> = self.definitions_of(group, version).map(stored).collect();
        let virtuals: Vec<&VirtualResource> = self.virtuals_of(group, version).collect();
        resources.extend(virtuals.iter().filter(|v| v.subresource.is_none()).map(|v| unstored(v)));
        for resource in &mut resources {
            for v in virtuals.iter().filter(|v| v.plural == resource.plural) {
                if let Some(name) = &v.subresource {
                    let verbs = v.verbs.iter().map(String::as_str).collect();
                    resource.subresources.push(Subresource {
                        name,
                        gvk: virtual_gvk(v),
                        verbs,
                        schema: Some(&v.schema),
                    });
                }
            }
        }
        resources.sort_by(|a, b| a.plural.cmp(b.plural));
        resources.dedup_by(|a, b| a.plural == b.plural);
        resources
    }
}

fn stored(definition: &KindDefinition) -> Resource<'_> {
    let gvk = Gvk { group: &definition.group, version: &definition.version, kind: &definition.names.kind };
    let holds_others = definition.strategy.hooks.contains(&Hook::Namespace);
    let verbs = if definition.strategy.built_in { BUILT_IN_VERBS } else { CUSTOM_VERBS };
    let mut subresources = Vec::new();
    if definition.subresources.status {
        subresources.push(Subresource {
            name: "status",
            gvk,
            verbs: SUBRESOURCE_VERBS.to_vec(),
            schema: None,
        });
    }
    if definition.subresources.scale.is_some() {
        subresources.push(Subresource {
            name: "scale",
            gvk: SCALE,
            verbs: SUBRESOURCE_VERBS.to_vec(),
            schema: None,
        });
    }
    if definition.strategy.hooks.contains(&Hook::CertificateSigningRequest) {
        subresources.push(Subresource {
            name: "approval",
            gvk,
            verbs: SUBRESOURCE_VERBS.to_vec(),
            schema: None,
        });
    }
    if holds_others {
        subresources.push(Subresource { name: "finalize", gvk, verbs: vec!["update"], schema: None });
    }
    Resource {
        plural: &definition.names.plural,
        singular: &definition.names.singular,
        list_kind: definition.names.list_kind.clone(),
        gvk,
        scope: definition.scope,
        verbs: verbs.into_iter().filter(|verb| !(holds_others && *verb == "deletecollection")).collect(),
        short_names: &definition.names.short_names,
        categories: &definition.names.categories,
        storage_version_hash: Some(storage_version_hash(gvk)),
        schema: &definition.schema,
        strategic: definition.strategy.built_in,
        subresources,
    }
}

fn unstored(resource: &VirtualResource) -> Resource<'_> {
    Resource {
        plural: &resource.plural,
        singular: &resource.singular,
        list_kind: format!("{}List", resource.kind),
        gvk: virtual_gvk(resource),
        scope: resource.scope,
        verbs: resource.verbs.iter().map(String::as_str).collect(),
        short_names: &resource.short_names,
        categories: &resource.categories,
        storage_version_hash: None,
        schema: &resource.schema,
        strategic: false,
        subresources: Vec::new(),
    }
}

fn virtual_gvk(resource: &VirtualResource) -> Gvk<'_> {
    let (group, version) = match &resource.kind_group_version {
        Some((group, version)) => (group, version),
        None => (&resource.group, &resource.version),
    };
    Gvk { group, version, kind: &resource.kind }
}

/// The first eight bytes of SHA-256 over `group/version/kind`, in base64, as the reference computes it.
fn storage_version_hash(gvk: Gvk<'_>) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", gvk.group, gvk.version, gvk.kind));
    STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// Kubernetes' order of versions: general availability over beta over alpha, the higher number over the lower; what
/// is no such version comes last, by its text.
fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// `v1beta2` as (stability, major, minor).
fn parse_version(version: &str) -> Option<(u8, u32, u32)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = rest.split_at_checked(digits)?;
    let major = major.parse().ok()?;
    match rest {
        "" => Some((2, major, 0)),
        rest => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            (Some(minor), _) => Some((1, major, minor.parse().ok()?)),
            (_, Some(minor)) => Some((0, major, minor.parse().ok()?)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{asset, namespace};

    #[test]
    fn groups_are_ordered_by_preference() {
        let mut ours = asset();
        ours.group = FIRST_GROUP.into();
        let versioned = |version: &str| {
            let mut kind = asset();
            kind.version = version.into();
            kind
        };
        let kinds = [
            versioned("v1beta2"),
            versioned("v2"),
            versioned("foo1"),
            versioned("v1alpha1"),
            versioned("v10"),
            versioned("v1beta10"),
            ours,
            namespace(),
        ];
        assert_eq!(
            Catalog::new(&kinds, []).groups(),
            [
                ("", vec!["v1"]),
                ("hypermesh.online", vec!["v1"]),
                ("hm.example.com", vec!["v10", "v2", "v1beta10", "v1beta2", "v1alpha1", "foo1"]),
            ]
        );
    }

    #[test]
    fn golden_storage_version_hash() {
        assert_eq!(
            storage_version_hash(Gvk { group: "hm.example.com", version: "v1", kind: "Asset" }),
            "KigARv9gXQw="
        );
    }
}
