//! `--prune`: members of an apply set that are in no manifest any more are deleted.
//!
//! Nothing is deleted that is not ours beyond doubt: the label that makes it a member must have been put there by our
//! own apply, no controller may own it, and who else applies it keeps it. A namespace goes only if nothing lives in it
//! that is not of the set. Each deletion names the very object that was judged, by uid and resourceVersion.

mod judge;
mod present;

use super::{Arguments, DryRun, METADATA, set::ApplySet};
use crate::{
    client::{self, Call},
    discovery::{Resource, Verb},
    error::Error,
    manifest::Placed,
    session::Session,
};
use http::Method;
use judge::{Verdict, judge};
use present::Present;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How often an object that changes while it is judged is judged again.
const MOST_TRIES: usize = 3;

/// A member of the set in the cluster.
#[derive(Debug)]
struct Member {
    resource: Resource,
    object: Value,
}

/// An object that was deleted, and may still be on its way out.
#[derive(Debug)]
pub(super) struct Pruned {
    pub(super) resource: Resource,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Member {
    fn text(&self, key: &str) -> &str {
        self.object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn path(&self) -> String {
        self.resource.object_path(self.text("namespace"), self.text("name"))
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.resource.qualified_singular(), self.text("name"))
    }
}

/// Prunes, and narrows the parent to what is left. Gives what was deleted, whether all went well, and how many objects the
/// set has still.
pub(super) async fn run(
    arguments: &Arguments,
    set: &mut ApplySet,
    (placed, applied): (&[Placed], &[Value]),
    session: &mut Session,
) -> Result<(Vec<Pruned>, bool, usize), Error> {
    let present = Present::of(placed, applied);
    let mut members = members(set, session).await?;
    // Namespaces last, then what workloads may need, as they came first.
    members.sort_by_key(|member| (member.resource.kind == "Namespace", member.path()));
    let (mut pruned, mut well, mut left) = (Vec::new(), true, 0);
    let (mut kinds, mut namespaces) = (BTreeSet::new(), BTreeSet::new());
    for member in members {
        let end = if present.has(&member.resource, &member.object) {
            End::Member
        } else {
            match one(arguments, set, &member, session).await {
                Ok(end) => end,
                Err(error) if error.status().is_some() => {
                    session.note(&format!("error: {} was not pruned: {error}", member.shown()));
                    well = false;
                    End::Member
                }
                Err(error) => return Err(error.into()),
            }
        };
        match end {
            End::Gone => {
                let (namespace, name) = (member.text("namespace").to_owned(), member.text("name").to_owned());
                let uid = member.text("uid").to_owned();
                pruned.push(Pruned { resource: member.resource, namespace, name, uid });
            }
            End::Member => {
                left += 1;
                kinds.insert(super::set::group_kind(&member.resource));
                namespaces.extend(Some(member.text("namespace").to_owned()).filter(|n| !n.is_empty()));
            }
            End::Released => {}
        }
    }
    if arguments.dry_run == DryRun::None {
        (set.kinds, set.namespaces) = (kinds, namespaces);
        set.write(session).await?;
    }
    Ok((pruned, well, left))
}

/// What a member has become.
enum End {
    /// It was deleted, or is about to go.
    Gone,
    /// It stays, with who else applies it.
    Released,
    /// It is a member still.
    Member,
}

/// Judges a member and does what follows.
async fn one(
    arguments: &Arguments,
    set: &ApplySet,
    member: &Member,
    session: &mut Session,
) -> Result<End, client::Error> {
    let mut now = member.object.clone();
    for _ in 0..MOST_TRIES {
        let mut verdict = judge(&now, &set.id, &arguments.field_manager);
        if verdict == Verdict::Delete
            && member.resource.kind == "Namespace"
            && let Some(inhabitant) = inhabitant(set, member.text("name"), session).await?
        {
            verdict = Verdict::Leave(format!("{inhabitant} lives in it and is not of the set"));
        }
        let call = match verdict {
            Verdict::Leave(why) => {
                session.note(&format!("Warning: {} is not pruned: {why}", member.shown()));
                return Ok(End::Member);
            }
            Verdict::Going => return Ok(End::Gone),
            Verdict::Release(_) => release(arguments, member),
            Verdict::Delete => delete(arguments, member, &now),
        };
        let done = if arguments.dry_run == DryRun::Client { None } else { Some(session.send(&call).await) };
        match done {
            None | Some(Ok(_)) => {
                let what = match &verdict {
                    Verdict::Release(other) => format!("released to {other}"),
                    _ => "pruned".to_owned(),
                };
                if arguments.output.is_none() {
                    let line = format!("{} {what}{}", member.shown(), arguments.dry_run.suffix());
                    let _ = session.say(&line);
                }
                let released = matches!(verdict, Verdict::Release(_));
                return Ok(if released { End::Released } else { End::Gone });
            }
            Some(Err(error)) if error.is_not_found() => return Ok(End::Gone),
            // It changed since it was judged.
            Some(Err(error)) if error.status().is_some_and(|s| s.code == 409) => {
                match session.send(&Call::get(member.path()).accept(METADATA)).await {
                    Ok(reply) => now = reply.json()?,
                    Err(error) if error.is_not_found() => return Ok(End::Gone),
                    Err(error) => return Err(error),
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
    session.note(&format!("Warning: {} is not pruned: it changes all the time", member.shown()));
    Ok(End::Member)
}

fn delete(arguments: &Arguments, member: &Member, now: &Value) -> Call {
    let of = |key: &str| now.get("metadata").and_then(|m| m.get(key)).cloned().unwrap_or_default();
    let mut options = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
        "preconditions": {"uid": of("uid"), "resourceVersion": of("resourceVersion")},
    });
    if arguments.dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    Call::with_body(Method::DELETE, member.path(), options.to_string())
}

/// Applies nothing of the object any more: what only we applied goes, what others apply stays.
fn release(arguments: &Arguments, member: &Member) -> Call {
    let (version, kind) = (member.resource.api_version(), &member.resource.kind);
    let mut metadata = json!({"name": member.text("name"), "uid": member.text("uid")});
    if member.resource.namespaced {
        metadata["namespace"] = member.text("namespace").into();
    }
    let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    Call::with_body(Method::PATCH, member.path(), object.to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[("fieldManager", &arguments.field_manager), ("dryRun", arguments.dry_run.parameter())])
}

/// The members as they are in the cluster.
async fn members(set: &ApplySet, session: &mut Session) -> Result<Vec<Member>, Error> {
    let discovery = session.discovery().await?;
    let selector = format!("{}={}", super::set::PART_OF, set.id);
    let mut members = Vec::new();
    for kind in &set.kinds {
        let Some(resource) = discovery.resources.iter().find(|r| super::set::group_kind(r) == *kind) else {
            session.note(&format!("Warning: {kind} of {} is served no more: none is pruned", set.shown()));
            continue;
        };
        let mut paths = BTreeSet::new();
        if resource.namespaced {
            paths.extend(set.namespaces.iter().map(|namespace| resource.collection_path(Some(namespace))));
        } else {
            paths.insert(resource.collection_path(None));
        }
        for path in paths {
            let objects = list(&path, &selector, session).await?;
            members.extend(objects.into_iter().map(|object| Member { resource: resource.clone(), object }));
        }
    }
    Ok(members)
}

/// The metadata of a collection's objects.
async fn list(path: &str, selector: &str, session: &mut Session) -> Result<Vec<Value>, client::Error> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let call = Call::get(path).accept(super::METADATA_LIST).query(&[
            ("labelSelector", selector),
            ("limit", "500"),
            ("continue", &token),
        ]);
        let mut reply: Value = session.send(&call).await?.json()?;
        if let Some(Value::Array(items)) = reply.get_mut("items").map(Value::take) {
            found.extend(items);
        }
        let next = reply.pointer("/metadata/continue").and_then(Value::as_str);
        token = next.unwrap_or_default().to_owned();
        if token.is_empty() {
            return Ok(found);
        }
    }
}

/// Something in a namespace that is not of the set, if there is any. What every namespace gets does not count.
async fn inhabitant(
    set: &ApplySet,
    namespace: &str,
    session: &mut Session,
) -> Result<Option<String>, client::Error> {
    let discovery = session.discovery().await.map_err(|error| match error {
        Error::Client(error) => error,
        other => client::Error::Setup { origin: "discovery".into(), message: other.to_string() },
    })?;
    let selector = format!("{}!={}", super::set::PART_OF, set.id);
    for resource in discovery.resources.iter().filter(|r| r.namespaced && r.allows(Verb::List)) {
        if resource.kind == "Event" {
            continue;
        }
        for object in list(&resource.collection_path(Some(namespace)), &selector, session).await? {
            let name = crate::commands::get::name_of(&object);
            let given = matches!(
                (resource.kind.as_str(), name),
                ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")
            );
            if !given {
                return Ok(Some(format!("{}/{name}", resource.qualified_singular())));
            }
        }
    }
    Ok(None)
}
