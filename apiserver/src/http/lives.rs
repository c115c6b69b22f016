//! Whose past it is: a namespace may have been another's before it was deleted and created again.
//!
//! Rights that a namespace gives end with it, and so does the past that they reach. Who has a right in one namespace
//! only reads back to the creation of that namespace as it is now, and is told 410 Expired of what was before; who has
//! the same right in all namespaces reads everything that is kept.

use super::context::Asked;
use hypermesh_api::Status;
use hypermesh_chain::{ObjectKey, Revision};
use hypermesh_machine::Reading;
use hypermesh_pipeline::authz::Attributes;

/// The first revision that who asks may read; exact where it is after `since`, 0 where nothing is withheld.
pub(super) fn begun(reading: &Reading, asked: &Asked, since: Revision) -> Result<Revision, Box<Status>> {
    let info = &asked.info;
    if info.namespace.is_empty() {
        return Ok(Revision(0));
    }
    let everywhere = Attributes {
        verb: info.verb.as_str(),
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: "",
        name: &info.name,
        path: None,
    };
    if reading.derived.policy.allows(&asked.who.user, &everywhere) {
        return Ok(Revision(0));
    }
    let kind = reading.derived.registry.resource("", "v1", "namespaces");
    let key = kind.and_then(|kind| ObjectKey::new(kind.collection.as_str(), "", info.namespace.as_str()));
    let begun = match key {
        Some(key) => reading.view.unbroken(&key, since).map_err(|e| Box::new(Status::internal(e)))?,
        None => None,
    };
    // Of a namespace that is gone, nobody has rights that it gave.
    Ok(begun.unwrap_or(Revision(reading.revision.0.saturating_add(1))))
}

/// Fails unless who asks may read the state at revision `at`.
pub(super) fn reach(reading: &Reading, asked: &Asked, at: Revision) -> Result<(), Box<Status>> {
    let begun = begun(reading, asked, at)?;
    if at >= begun { Ok(()) } else { Err(before(asked, begun)) }
}

/// 410 Expired of what was before a namespace's creation.
pub(super) fn before(asked: &Asked, begun: Revision) -> Box<Status> {
    let namespace = &asked.info.namespace;
    Box::new(Status::expired(format!(
        "The provided resource version is too old: the namespace {namespace:?} was created at revision {}, and what \
         was there before is read only with the right to {} {} in all namespaces.",
        begun.0,
        asked.info.verb.as_str(),
        asked.info.resource
    )))
}
