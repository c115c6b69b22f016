//! Apply sets: which objects an apply is answerable for, kept in the cluster.
//!
//! Follows KEP-3659. A parent object carries the set's id, the kinds and the namespaces that it holds; each member
//! carries the id in a label. The parent says more rather than less: it is widened before anything is applied, and
//! narrowed after pruning, so that an apply that dies half-way forgets no member.
//!
//! Source: the KEP, and `k8s.io/kubectl/pkg/cmd/apply/applyset.go`.

use super::{METADATA, send::WIDTH};
use crate::{
    client::{Call, Client},
    discovery::Resource,
    error::Error,
    manifest::{Diagnostic, Placed},
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Label of members.
pub(super) const PART_OF: &str = "applyset.kubernetes.io/part-of";
const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// Who owns the fields of parents.
const MANAGER: &str = "nexusctl-applyset";
const TOOL: &str = "nexusctl";

/// A set: its parent, and what it may hold.
#[derive(Debug)]
pub(super) struct ApplySet {
    parent: Resource,
    namespace: String,
    name: String,
    /// Whether the parent is in the cluster.
    exists: bool,
    pub(super) id: String,
    /// `Kind.group`, those of the parent and of the objects at hand.
    pub(super) kinds: BTreeSet<String>,
    /// Namespaces, likewise.
    pub(super) namespaces: BTreeSet<String>,
}

impl ApplySet {
    /// Finds the set that `NAME` or `TYPE/NAME` names, and widens it by what is about to be applied.
    pub(super) async fn open(word: &str, placed: &[Placed], session: &mut Session) -> Result<Self, Error> {
        let (kind, name) = word.split_once('/').unwrap_or(("secrets", word));
        if name.is_empty() || name.contains('/') {
            return Err(Error::Message(format!("--applyset={word}: give NAME, or TYPE/NAME")));
        }
        let parent = session.discovery().await?.find(kind)?.clone();
        let namespace = if parent.namespaced { session.namespace()? } else { String::new() };
        let id = id(name, &namespace, &parent);
        let mut set = Self {
            parent,
            namespace,
            name: name.to_owned(),
            exists: false,
            id,
            kinds: placed.iter().map(|item| group_kind(&item.resource)).collect(),
            namespaces: placed
                .iter()
                .filter(|item| item.resource.namespaced)
                .map(|item| item.namespace.clone())
                .collect(),
        };
        match session.send(&Call::get(set.path()).accept(METADATA)).await {
            Ok(reply) => {
                set.widen(&reply.json()?)?;
                set.exists = true;
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(set)
    }

    fn path(&self) -> String {
        self.parent.object_path(&self.namespace, &self.name)
    }

    /// Whether anything was applied as part of it, ever.
    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// `secret/web-set`, for people.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.parent.qualified_singular(), self.name)
    }

    /// Takes in what the parent says. A parent that is none, or another program's, is not touched.
    fn widen(&mut self, parent: &Value) -> Result<(), Error> {
        let shown = self.shown();
        match label(parent, ID) {
            Some(found) if found == self.id => {}
            Some(found) => {
                let id = &self.id;
                return Err(Error::Message(format!(
                    "{shown} carries the id {found} of another set (its own would be {id}): was it copied?"
                )));
            }
            None => {
                return Err(Error::Message(format!(
                    "{shown} exists and is no apply set: take another name with --applyset"
                )));
            }
        }
        let annotation = |key: &str| {
            let text =
                parent.pointer("/metadata/annotations").and_then(|a| a.get(key)).and_then(Value::as_str);
            text.unwrap_or_default()
        };
        let tooling = annotation(TOOLING);
        if tooling.split('/').next() != Some(TOOL) {
            return Err(Error::Message(format!(
                "{shown} is kept by {tooling:?}, and only that may change it: take another name with --applyset"
            )));
        }
        let words = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        self.kinds.extend(words(annotation(KINDS)));
        self.namespaces.extend(words(annotation(NAMESPACES)));
        // The annotation leaves out the parent's own: members may always be there.
        self.namespaces.extend(Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty()));
        Ok(())
    }

    /// Labels objects as members.
    pub(super) fn mark(&self, objects: &mut [Value]) {
        for object in objects {
            let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { continue };
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if labels.is_null() {
                *labels = json!({});
            }
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(PART_OF.to_owned(), self.id.clone().into());
            }
        }
    }

    /// Refuses objects that belong to other sets: two sets that apply one object would each prune it.
    pub(super) async fn check(&self, placed: &[Placed], session: &mut Session) -> Result<(), Error> {
        let client = session.client()?;
        let looked = stream::iter(placed).map(|item| membership(&client, item)).buffered(WIDTH);
        let held: Vec<Option<String>> = looked.try_collect().await?;
        let foreign = |(item, held): (&Placed, Option<String>)| {
            let other = held.filter(|other| *other != self.id)?;
            let document = &item.document;
            let title = format!("{} belongs to another apply set, {other}", document.reference());
            let help = format!("take it out of one of the two; `nexusctl label` takes {PART_OF} away");
            Some(Diagnostic::at(&document.source, document.node.span, title).help(help))
        };
        let faults: Vec<Diagnostic> = placed.iter().zip(held).filter_map(foreign).collect();
        if faults.is_empty() { Ok(()) } else { Err(Error::Manifests(faults)) }
    }

    /// Writes the parent.
    pub(super) async fn write(&self, session: &mut Session) -> Result<(), Error> {
        let join = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(",");
        let others: BTreeSet<String> =
            self.namespaces.iter().filter(|n| **n != self.namespace).cloned().collect();
        let mut annotations = json!({
            TOOLING: concat!("nexusctl/v", env!("CARGO_PKG_VERSION")),
            KINDS: join(&self.kinds),
        });
        if !others.is_empty() {
            annotations[NAMESPACES] = join(&others).into();
        }
        let mut metadata = json!({"name": self.name, "labels": {ID: self.id}, "annotations": annotations});
        if self.parent.namespaced {
            metadata["namespace"] = self.namespace.clone().into();
        }
        let (version, kind) = (self.parent.api_version(), &self.parent.kind);
        let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
        let call = Call::with_body(Method::PATCH, self.path(), object.to_string())
            .content_type("application/apply-patch+yaml")
            .query(&[("fieldManager", MANAGER), ("force", "true")]);
        session.send(&call).await?;
        Ok(())
    }
}

async fn membership(client: &Client, item: &Placed) -> Result<Option<String>, crate::client::Error> {
    match client.send(&Call::get(item.path()).accept(METADATA)).await {
        Ok(reply) => Ok(label(&reply.json()?, PART_OF).map(str::to_owned)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// `Workload.hypermesh.online`, or `Secret`.
pub(super) fn group_kind(resource: &Resource) -> String {
    if resource.group.is_empty() {
        resource.kind.clone()
    } else {
        format!("{}.{}", resource.kind, resource.group)
    }
}

/// The id of the set of a parent: `applyset-<base64(sha256(name.namespace.kind.group))>-v1`.
fn id(name: &str, namespace: &str, parent: &Resource) -> String {
    let digest = Sha256::digest(format!("{name}.{namespace}.{}.{}", parent.kind, parent.group));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_proposal() {
        let secret = Resource { kind: "Secret".into(), version: "v1".into(), ..Resource::default() };
        // The value that kubectl's own tests expect.
        assert_eq!(id("my-set", "test", &secret), "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1");
        assert_eq!(id("x", "default", &secret).len(), "applyset-".len() + 43 + "-v1".len());
    }
}
