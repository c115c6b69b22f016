//! What an object has to do with others: what it owns, and what it names that is not there.

use crate::{
    client::{self, Call, Client},
    discovery::{Resource, Verb},
    error::Error,
    session::Session,
    waits,
};
use futures_util::future::join_all;
use serde_json::Value;

/// Objects that are fetched at once.
const PAGE: &str = "500";
/// Such pages of one kind that are looked through for an owner.
const MOST_PAGES: usize = 40;
/// Metadata is enough.
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
const PARTIAL_ONE: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";

/// The objects that name `object` as their owner, as `type/name`; kinds that the caller may not list are left out.
pub(super) async fn owned(object: &Value, session: &mut Session) -> Result<Vec<String>, Error> {
    let metadata = |key: &str| object.pointer(&format!("/metadata/{key}")).and_then(Value::as_str);
    let (Some(uid), namespace) = (metadata("uid"), metadata("namespace")) else { return Ok(Vec::new()) };
    let discovery = session.discovery().await?;
    let client = session.client()?;
    // Events own nothing and are owned by nothing; the kinds of a second version are the same objects.
    let mut kinds: Vec<&Resource> = Vec::new();
    for resource in discovery.resources.iter().filter(|r| r.allows(Verb::List) && r.kind != "Event") {
        let known = |other: &&Resource| other.group == resource.group && other.plural == resource.plural;
        // What lives in a namespace cannot own what does not.
        if !kinds.iter().any(known) && (namespace.is_none() || resource.namespaced) {
            kinds.push(resource);
        }
    }
    let looks = kinds.iter().map(|resource| of_kind(resource, namespace, uid, &client));
    let looks = session.wait_for("looking for what it owns", join_all(looks)).await;
    let (mut found, mut unseen): (Vec<Owned>, Vec<String>) = Default::default();
    for (resource, look) in kinds.iter().zip(looks) {
        match look {
            Ok(look) => {
                found.extend(look.found);
                if look.more {
                    let looked = look.looked;
                    unseen.push(format!(
                        "… and maybe further {}: there are too many, and only {looked} were looked at",
                        resource.plural
                    ));
                }
            }
            Err(error) if error.is_unreachable() => return Err(error.into()),
            // What the caller may not list is not spoken of.
            Err(_) => {}
        }
    }
    // What is shown as another kind too is one object: it goes by the name of the kind that it is.
    found.sort_by(|a, b| (&a.uid, a.of_core).cmp(&(&b.uid, b.of_core)));
    found.dedup_by(|later, first| later.uid == first.uid);
    let mut found: Vec<String> = found.into_iter().map(|owned| owned.name).collect();
    found.sort();
    found.extend(unseen);
    Ok(found)
}

/// An object that names an owner.
struct Owned {
    uid: String,
    /// Whether its kind is one of the core group, which shows what is kept as another.
    of_core: bool,
    /// `type/name`
    name: String,
}

/// What of one kind names an owner.
#[derive(Default)]
struct Look {
    found: Vec<Owned>,
    /// Objects that were looked at.
    looked: usize,
    /// Whether there are more.
    more: bool,
}

async fn of_kind(
    resource: &Resource,
    namespace: Option<&str>,
    uid: &str,
    client: &Client,
) -> Result<Look, client::Error> {
    let (mut look, mut token) = (Look::default(), String::new());
    for _ in 0..MOST_PAGES {
        let call = Call::get(resource.collection_path(namespace)).accept(PARTIAL);
        let page = client.send(&call.query(&[("limit", PAGE), ("continue", &token)])).await;
        let page: Value = match page {
            Ok(page) => page.json()?,
            // The list is older than what is kept: what was found still holds.
            Err(error) if error.status().is_some_and(|s| s.code == 410) && look.looked > 0 => {
                look.more = true;
                return Ok(look);
            }
            Err(error) => return Err(error),
        };
        for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            look.looked += 1;
            let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            if owners.into_iter().flatten().any(|o| o.get("uid").and_then(Value::as_str) == Some(uid)) {
                let text = |key: &str| item.pointer(&format!("/metadata/{key}")).and_then(Value::as_str);
                let name = format!("{}/{}", resource.qualified_singular(), text("name").unwrap_or_default());
                // What has no uid is like no other.
                let uid = text("uid").unwrap_or(&name).to_owned();
                look.found.push(Owned { uid, of_core: resource.group.is_empty(), name });
            }
        }
        let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
        next.clone_into(&mut token);
        if token.is_empty() {
            return Ok(look);
        }
    }
    look.more = true;
    Ok(look)
}

/// What an object names that does not exist, in words. What the caller may not see is not spoken of.
pub(super) async fn missing(object: &Value, session: &mut Session) -> Result<Vec<String>, Error> {
    let discovery = session.discovery().await?;
    let references = waits::references(object, &discovery);
    let client = session.client()?;
    let looks = references.iter().map(|reference| {
        let path = reference.resource.object_path(&reference.namespace, &reference.name);
        let (call, client) = (Call::get(path).accept(PARTIAL_ONE), std::rc::Rc::clone(&client));
        async move { client.send(&call).await.err().filter(client::Error::is_not_found) }
    });
    let answers = session.wait_for("looking for what it names", join_all(looks)).await;
    let absent = references.iter().zip(answers).filter(|(_, answer)| answer.is_some());
    Ok(absent
        .map(|(reference, _)| {
            format!(
                "{} {:?}, which does not exist (named by {})",
                reference.resource.kind, reference.name, reference.path
            )
        })
        .collect())
}
