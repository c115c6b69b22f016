//! Candidates that only the cluster or the kubeconfig knows.

use super::{
    line::{Candidate, Wanted},
    remote,
};
use crate::{
    client::{Call, path_segment},
    commands::{
        history::{self, Version},
        rollout,
        targets::Target,
    },
    discovery::{Resource, Verb},
    error::Error,
    known_clusters::KnownClusters,
    kubeconfig::{
        self,
        edit::{Documents, Kind},
    },
    schema::Schema,
    session::Session,
};
use serde_json::Value;

/// Names that are offered at most.
const MOST: &str = "5000";
/// Revisions that are offered at most.
const MOST_REVISIONS: usize = 50;
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

/// What may stand in the place of `last`.
pub(super) async fn candidates(
    wanted: &Wanted,
    last: &str,
    session: &mut Session,
) -> Result<Vec<Candidate>, Error> {
    match wanted {
        Wanted::Words(candidates) => Ok(candidates.clone()),
        Wanted::Files | Wanted::Nothing => Ok(Vec::new()),
        Wanted::CopyEnd | Wanted::Instances => match last.split_once('/') {
            None => {
                let names = names("instances.hypermesh.online", session).await?;
                Ok(names.into_iter().map(|name| Candidate::new(format!("{name}:"), "")).collect())
            }
            Some((kind, _)) => {
                let names = names(kind, session).await?;
                Ok(names.into_iter().map(|name| Candidate::new(format!("{kind}/{name}:"), "")).collect())
            }
        },
        Wanted::Remote { instance, container, path } => {
            remote::paths(instance, container.as_deref(), path, session).await
        }
        Wanted::Entries(kind, prefix) => entries(*kind, prefix, session),
        Wanted::Servers => {
            let known =
                KnownClusters::of(&session.environment).map_or(Ok(Vec::new()), |known| known.all())?;
            Ok(known.into_iter().map(|(server, id)| Candidate::new(server, id.to_string())).collect())
        }
        Wanted::Keys => {
            let names = list("/apis/hypermesh.online/v1/identities", "", session).await?;
            Ok(names.into_iter().map(|name| Candidate::new(name, "")).collect())
        }
        Wanted::Tokens => {
            let selector = "type=bootstrap.kubernetes.io/token";
            let names = list("/api/v1/namespaces/kube-system/secrets", selector, session).await?;
            let ids = names.iter().filter_map(|name| name.strip_prefix("bootstrap-token-"));
            Ok(ids.map(|id| Candidate::new(id, "")).collect())
        }
        Wanted::Namespaces(prefix) => {
            let names = list("/api/v1/namespaces", "", session).await?;
            Ok(names.into_iter().map(|name| Candidate::new(format!("{prefix}{name}"), "")).collect())
        }
        Wanted::Names(kind) => {
            let names = names(kind.split(',').next().unwrap_or(kind), session).await?;
            Ok(names.into_iter().map(|name| Candidate::new(name, "")).collect())
        }
        Wanted::Named(kind, prefix) => {
            let names = names(kind, session).await?;
            Ok(names.into_iter().map(|name| Candidate::new(format!("{prefix}{name}"), "")).collect())
        }
        Wanted::Accounts(prefix) => accounts(prefix, last, session).await,
        Wanted::Revisions(kind, name, prefix) => {
            let discovery = session.discovery().await?;
            let path = discovery.find(kind)?.object_path(&session.namespace()?, name);
            // The newest ones are most likely meant.
            let versions = history::versions(&path, MOST_REVISIONS, session).await?;
            let about = |version: &Version| {
                let by = version.by.as_ref().map(|by| format!(" by {}", by.user)).unwrap_or_default();
                format!("{} {}{by}", version.change, version.time)
            };
            let found = versions.iter().take(MOST_REVISIONS);
            Ok(found.map(|v| Candidate::new(format!("{prefix}{}", v.revision), about(v))).collect())
        }
        Wanted::Templates(kind, name, prefix) => templates(kind, name, prefix, session).await,
        Wanted::Kinds => match last.split_once('/') {
            Some((kind, _)) => {
                let names = names(kind, session).await?;
                Ok(names.into_iter().map(|name| Candidate::new(format!("{kind}/{name}"), "")).collect())
            }
            None => kinds(last, session).await,
        },
        Wanted::Containers(kind, name) => containers(kind, name, session).await,
        Wanted::Fields => fields(last, session).await,
    }
}

/// Revisions of a template, newest first.
async fn templates(
    kind: &str,
    name: &str,
    prefix: &str,
    session: &mut Session,
) -> Result<Vec<Candidate>, Error> {
    let resource = session.discovery().await?.find(kind)?.clone();
    let namespace = session.namespace()?;
    let workload: Value = session.send(&Call::get(resource.object_path(&namespace, name))).await?.json()?;
    let target = Target { resource, namespace, name: name.to_owned() };
    let records = rollout::revisions(&target, &workload, session).await?;
    Ok(records.iter().map(|r| Candidate::new(format!("{prefix}{}", r.number), r.revision.clone())).collect())
}

/// Accounts of the namespace that stands before a colon; of the session's, where none does yet.
async fn accounts(prefix: &str, last: &str, session: &mut Session) -> Result<Vec<Candidate>, Error> {
    let word = last.strip_prefix(prefix).unwrap_or_default();
    let namespace = match word.split_once(':') {
        Some((namespace, _)) => namespace.to_owned(),
        None => session.namespace()?,
    };
    let path = format!("/api/v1/namespaces/{}/serviceaccounts", path_segment(&namespace));
    let names = list(&path, "", session).await?;
    Ok(names.into_iter().map(|name| Candidate::new(format!("{prefix}{namespace}:{name}"), "")).collect())
}

fn entries(kind: Kind, prefix: &str, session: &Session) -> Result<Vec<Candidate>, Error> {
    let located = kubeconfig::locate(&session.environment, session.options.kubeconfig.as_deref())?;
    let names = Documents::read(&located.files)?.names(kind);
    Ok(names.into_iter().map(|name| Candidate::new(format!("{prefix}{name}"), "")).collect())
}

/// The names of a collection's objects.
async fn list(path: &str, fields: &str, session: &mut Session) -> Result<Vec<String>, Error> {
    let call = Call::get(path).accept(PARTIAL).query(&[("limit", MOST), ("fieldSelector", fields)]);
    let list: Value = session.send(&call).await?.json()?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.filter_map(|item| item.pointer("/metadata/name")?.as_str()).map(str::to_owned).collect())
}

async fn names(kind: &str, session: &mut Session) -> Result<Vec<String>, Error> {
    let discovery = session.discovery().await?;
    let resource = discovery.find(kind)?;
    let path = resource.collection_path(Some(&session.namespace()?));
    list(&path, "", session).await
}

/// Types, also behind a comma.
async fn kinds(last: &str, session: &mut Session) -> Result<Vec<Candidate>, Error> {
    let discovery = session.discovery().await?;
    let before = last.rsplit_once(',').map(|(before, _)| format!("{before},")).unwrap_or_default();
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |value: String, resource: &Resource| {
        if !found.iter().any(|c| c.value == value) {
            found.push(Candidate::new(value, format!("{} ({})", resource.kind, resource.api_version())));
        }
    };
    for resource in discovery.resources.iter().filter(|r| r.allows(Verb::List)) {
        add(format!("{before}{}", resource.plural), resource);
    }
    // Who writes a short or a singular name means it.
    let word = last.rsplit(',').next().unwrap_or_default();
    for resource in discovery.resources.iter().filter(|r| r.allows(Verb::List) && !word.is_empty()) {
        for name in resource.short_names.iter().chain([&resource.singular]) {
            if name.starts_with(word) && !resource.plural.starts_with(word) {
                add(format!("{before}{name}"), resource);
            }
        }
    }
    Ok(found)
}

async fn containers(kind: &str, name: &str, session: &mut Session) -> Result<Vec<Candidate>, Error> {
    let discovery = session.discovery().await?;
    let resource = discovery.find(kind)?;
    let path = resource.object_path(&session.namespace()?, name);
    let object: Value = session.send(&Call::get(path)).await?.json()?;
    // Of a Workload, an Instance and a Pod.
    let lists = ["/spec/template/spec", "/spec/pod", "/spec"]
        .iter()
        .flat_map(|spec| ["containers", "initContainers"].map(|list| format!("{spec}/{list}")));
    let lists: Vec<String> = lists.collect();
    let containers = lists.iter().filter_map(|pointer| object.pointer(pointer)?.as_array()).flatten();
    let names = containers.filter_map(|container| container.get("name")?.as_str());
    Ok(names.map(|name| Candidate::new(name, "")).collect())
}

/// Types, and behind a dot the fields of what stands before it.
async fn fields(last: &str, session: &mut Session) -> Result<Vec<Candidate>, Error> {
    let Some((path, _)) = last.rsplit_once('.') else { return kinds(last, session).await };
    let mut words = path.split('.').map(str::to_owned);
    let kind = words.next().unwrap_or_default();
    let steps: Vec<String> = words.collect();
    let discovery = session.discovery().await?;
    let resource = discovery.find(&kind)?.clone();
    let client = session.client()?;
    let Some(schema) = Schema::find(&client, &resource).await else { return Ok(Vec::new()) };
    let found = crate::commands::explain::find(&schema, &resource, &steps)?;
    let members = schema.members(&found.merged);
    let names = schema.names(&members);
    Ok(names.into_iter().map(|name| Candidate::new(format!("{path}.{name}"), "")).collect())
}
