//! Asking a server what it serves: aggregated discovery, and the legacy documents where a server has only those.
//!
//! Source: `k8s.io/api/apidiscovery/v2`, `k8s.io/apimachinery/pkg/apis/meta/v1` (APIGroupList, APIResourceList).

use crate::{
    client::{Call, Client, Error, Reply},
    discovery::{Discovery, Resource, Subresource, cache::Kept},
};
use serde::Deserialize;

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Asks `client`'s server for everything that it serves, unless it is what is `kept`.
pub async fn fetch(client: &Client, kept: Option<Kept>) -> Result<Kept, Error> {
    // Documents without a tag cannot be asked about, and half an answer is of no use.
    let kept = kept.filter(|kept| kept.tags.iter().all(|tag| !tag.is_empty()));
    let tags = kept.as_ref().map(|kept| kept.tags.clone()).unwrap_or_default();
    let [core, groups] = ["/api", "/apis"].map(|path| Call::get(path).accept(ACCEPT));
    let asked = (core.clone().unless(&tags[0]), groups.clone().unless(&tags[1]));
    let (mut first, mut second) = tokio::try_join!(client.send(&asked.0), client.send(&asked.1))?;
    match (kept, first.code, second.code) {
        (Some(kept), 304, 304) => return Ok(Kept::now(kept.discovery, kept.tags)),
        (_, 304, _) => first = client.send(&core).await?,
        (_, _, 304) => second = client.send(&groups).await?,
        _ => {}
    }
    let tags = [first.tag.clone(), second.tag.clone()];
    Ok(Kept::now(read(client, first, second).await?, tags))
}

async fn read(client: &Client, core: Reply, groups: Reply) -> Result<Discovery, Error> {
    let mut resources = Vec::new();
    for reply in [core, groups] {
        match reply.json::<Document>()? {
            Document { kind, items, .. } if kind == "APIGroupDiscoveryList" => {
                aggregated(items, &mut resources)
            }
            Document { versions, groups, .. } => legacy(client, versions, groups, &mut resources).await?,
        }
    }
    Ok(Discovery { resources })
}

/// APIGroupDiscoveryList, APIVersions and APIGroupList in one: the kind tells which fields are meant.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    groups: Vec<LegacyGroup>,
}

#[derive(Deserialize)]
struct Group {
    metadata: GroupMetadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct GroupMetadata {
    /// Absent for the core group.
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Served>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    resource: String,
    #[serde(default)]
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    subresources: Vec<ServedPart>,
}

#[derive(Deserialize)]
struct ServedPart {
    subresource: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

fn aggregated(groups: Vec<Group>, resources: &mut Vec<Resource>) {
    for group in groups {
        for version in group.versions {
            resources.extend(version.resources.into_iter().filter_map(|served| {
                // A resource without a kind only carries subresources.
                let kind = served.response_kind.map(|k| k.kind).filter(|k| !k.is_empty())?;
                Some(Resource {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    kind,
                    plural: served.resource,
                    singular: served.singular_resource,
                    namespaced: served.scope == "Namespaced",
                    verbs: served.verbs,
                    short_names: served.short_names,
                    categories: served.categories,
                    subresources: served
                        .subresources
                        .into_iter()
                        .map(|part| Subresource { name: part.subresource, verbs: part.verbs })
                        .collect(),
                })
            }));
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyGroup {
    name: String,
    #[serde(default)]
    versions: Vec<LegacyVersion>,
    #[serde(default)]
    preferred_version: Option<LegacyVersion>,
}

#[derive(Deserialize)]
struct LegacyVersion {
    version: String,
}

#[derive(Deserialize)]
struct LegacyList {
    #[serde(default)]
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyResource {
    name: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

async fn legacy(
    client: &Client,
    core: Vec<String>,
    groups: Vec<LegacyGroup>,
    resources: &mut Vec<Resource>,
) -> Result<(), Error> {
    let mut served: Vec<(String, String)> =
        core.into_iter().map(|version| (String::new(), version)).collect();
    for group in groups {
        let preferred = group.preferred_version.map(|v| v.version);
        let mut versions: Vec<String> = group.versions.into_iter().map(|v| v.version).collect();
        versions.sort_by_key(|version| Some(version) != preferred.as_ref());
        served.extend(versions.into_iter().map(|version| (group.name.clone(), version)));
    }
    for (group, version) in served {
        let path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let list: LegacyList = match client.send(&Call::get(path)).await {
            Ok(reply) => reply.json()?,
            // One group whose server is away must not hide the others.
            Err(error) if error.status().is_some() => continue,
            Err(error) => return Err(error),
        };
        let (parts, whole): (Vec<_>, Vec<_>) = list.resources.into_iter().partition(|r| r.name.contains('/'));
        let parts_of = |plural: &str| {
            let part = |r: &LegacyResource| {
                let name = r.name.strip_prefix(plural)?.strip_prefix('/')?.to_owned();
                Some(Subresource { name, verbs: r.verbs.clone() })
            };
            parts.iter().filter_map(part).collect()
        };
        resources.extend(whole.into_iter().map(|r| Resource {
            group: group.clone(),
            version: version.clone(),
            kind: r.kind,
            subresources: parts_of(&r.name),
            plural: r.name,
            singular: r.singular_name,
            namespaced: r.namespaced,
            verbs: r.verbs,
            short_names: r.short_names,
            categories: r.categories,
        }));
    }
    Ok(())
}
