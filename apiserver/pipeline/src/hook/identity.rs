//! Registered keys: nobody registers a key for whom they could not act as anyway, and an administrator is left.
//!
//! A key that is registered for a user is that user for as long as it stays registered, so whoever registers it needs what
//! impersonation asks for (`k8s.io/apiserver/pkg/endpoints/filters/impersonation`), and, for the group that may do
//! everything, everything. Who signs by a registered key may register another for themselves, with no more groups: they
//! are that user already. The right to write the kind is needed besides.

use super::rbac::refuse_missing_to;
use crate::authz::{Attributes, NODE_PREFIX, NODES, UserInfo};
use crate::call::Authority;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::genesis::{MASTERS, everything};
use crate::identities::{account_of, key_of, user_of};
use crate::metadata;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::verb::Request;
use hypermesh_api::{FieldError, Status};
use serde_json::Value;

fn groups(object: &Value) -> impl Iterator<Item = &str> {
    let list = object.pointer("/spec/groups").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn administers(object: &Value) -> bool {
    groups(object).any(|group| group == MASTERS)
}

pub(super) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = metadata::text(object, "name");
    match key_of(name) {
        None if name.is_empty() => {}
        None => errors.push(FieldError::invalid(
            "metadata.name",
            name.into(),
            "the name of an Identity is its Ed25519 public key: 64 lower-case hexadecimal digits",
        )),
        Some(key) if !key.is_sound() => errors.push(FieldError::invalid(
            "metadata.name",
            name.into(),
            "this is no Ed25519 public key that one holder alone could sign with",
        )),
        Some(_) => {}
    }
    if administers(object) && object.pointer("/metadata/ownerReferences").is_some() {
        let why = "nothing may own the key of an administrator: it would go with its owner";
        errors.push(FieldError::forbidden("metadata.ownerReferences", why));
    }
    errors
}

pub(super) fn authorize<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    if old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        return Ok(());
    }
    let name = metadata::text(object, "name");
    let user = object.pointer("/spec/user").and_then(Value::as_str).unwrap_or_default();
    let wanted: Vec<&str> = groups(object).collect();
    if !is_own(request, user, &wanted) && !may_sign(execution, request, name, user, &wanted)? {
        may_act_as(execution, request, name, user, &wanted)?;
    }
    if let Some(account) = account_of(user) {
        let uid = object.pointer("/spec/uid").and_then(Value::as_str).unwrap_or_default();
        let there = execution.overlay.get(&account)?.filter(|record| !record.facts.deleting);
        if there.is_none_or(|record| record.facts.uid.to_string() != uid) {
            let why = format!("there is no service account {user:?} with the uid {uid:?}");
            let error = FieldError::invalid("spec.uid", uid.into(), why);
            return Err(Status::invalid(request.kind.kind_subject(name), &[error]).into());
        }
    }
    if old.is_some_and(administers) && !administers(object) {
        another_administrator(execution, &request.kind, name, "takes its group away from")?;
    }
    Ok(())
}

/// Whether a key registers another for the user whom it stands for.
fn is_own(request: &Request<'_>, user: &str, wanted: &[&str]) -> bool {
    let UserInfo { name, groups, .. } = &request.user;
    matches!(request.call.authority, Authority::Signed { .. })
        && name == user
        && wanted.iter().all(|wanted| groups.iter().any(|group| group == wanted))
}

/// Whether who asks may sign certificates of nodes, and registers a key for one that has no other: who may make a node by a
/// certificate may make it by a key.
fn may_sign<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    name: &str,
    user: &str,
    wanted: &[&str],
) -> Result<bool, Fault> {
    let Some(node) = user.strip_prefix(NODE_PREFIX).filter(|_| wanted == [NODES]) else { return Ok(false) };
    let signer = super::certificate_signing_request::NODE_SIGNER;
    if !super::certificate_signing_request::may(execution, &request.user, "sign", signer) {
        return Ok(false);
    }
    // What is derived does not follow within a request: what this one has done already is seen in the overlay.
    for other in execution.derived.identities.keys_of(user).filter(|other| other.name() != name) {
        if execution.overlay.get(&other)?.and_then(|record| user_of(&record)).is_some() {
            let why = format!(
                "node {node:?} has another key, {}: with another key it is another node; revoke that one first, or choose \
                 another name",
                other.name()
            );
            return Err(Status::forbidden(request.kind.subject(name), why).into());
        }
    }
    Ok(true)
}

/// Whether who asks may impersonate the user and each of the groups.
fn may_act_as<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    name: &str,
    user: &str,
    wanted: &[&str],
) -> Result<(), Fault> {
    let account = account_of(user);
    let (resource, namespace, whom) = match &account {
        Some(account) => ("serviceaccounts", account.namespace(), account.name()),
        None => ("users", "", user),
    };
    let subjects =
        std::iter::once((resource, namespace, whom)).chain(wanted.iter().map(|group| ("groups", "", *group)));
    for (resource, namespace, whom) in subjects {
        let asked = Attributes {
            verb: "impersonate",
            group: "",
            resource,
            subresource: "",
            namespace,
            name: whom,
            path: None,
        };
        if !execution.derived.policy.allows(&request.user, &asked) {
            let why = format!(
                "user {:?} (groups={}) is attempting to register a key that stands for {} {whom:?}, and may not \
                 impersonate {resource} {whom:?}",
                request.user.name,
                super::rbac::quoted(&request.user.groups),
                resource.trim_end_matches('s'),
            );
            return Err(Status::forbidden(request.kind.subject(name), why).into());
        }
    }
    if wanted.contains(&MASTERS) {
        refuse_missing_to(execution, request, name, &everything(), "register a key that holds")?;
    }
    Ok(())
}

/// Refuses to lose the last key that may do everything: without one, nobody could ever register another where no replica
/// may vouch for that.
pub(super) fn release<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    kind: &Kind,
    name: &str,
    object: &Value,
) -> Result<(), Fault> {
    if administers(object) { another_administrator(execution, kind, name, "revokes") } else { Ok(()) }
}

fn another_administrator<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    kind: &Kind,
    name: &str,
    deed: &str,
) -> Result<(), Fault> {
    // What is derived does not follow within a request: what this one has done already is seen in the overlay.
    for other in execution.derived.identities.administrators_beside(name) {
        let still = execution.overlay.get(&other)?.and_then(|record| user_of(&record));
        if still.is_some_and(|user| user.groups.iter().any(|group| group == MASTERS)) {
            return Ok(());
        }
    }
    let why = format!(
        "this {deed} the last key of an administrator ({MASTERS}), and nobody could register another: register one first"
    );
    Err(Status::forbidden(kind.subject(name), why).into())
}
