//! What an object has to do with others: what it owns, and what it names that is not there.

use crate::{
    client::{self, Call},
    discovery::{Resource, Verb},
    error::Error,
    session::Session,
    waits,
};
use futures_util::future::join_all;
use serde_json::Value;

/// Objects of one kind that are looked through for an owner.
const MOST_OF_A_KIND: &str = "500";
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
    let lists = kinds.iter().map(|resource| {
        let call = Call::get(resource.collection_path(namespace));
        let call = call.accept(PARTIAL).query(&[("limit", MOST_OF_A_KIND)]);
        let client = std::rc::Rc::clone(&client);
        async move { client.send(&call).await.and_then(|reply| reply.json::<Value>()) }
    });
    let lists = session.wait_for("looking for what it owns", join_all(lists)).await;
    let mut found = Vec::new();
    for (resource, list) in kinds.iter().zip(lists) {
        let list = match list {
            Ok(list) => list,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(_) => continue,
        };
        for item in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            if owners.into_iter().flatten().any(|o| o.get("uid").and_then(Value::as_str) == Some(uid)) {
                let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                found.push(format!("{}/{name}", resource.qualified_singular()));
            }
        }
    }
    found.sort();
    Ok(found)
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
