//! What kinds turn on beyond their schema. One file a hook; a hook is named by a kind's definition, never by a kind's
//! name.

mod binding;
mod certificate_signing_request;
mod config_map;
mod event;
mod identity;
mod namespace;
mod node_restriction;
mod pod_security;
mod rbac;
mod secret;
mod selector;

pub(crate) use certificate_signing_request::{CLIENT_SIGNER, NODE_SIGNER};
pub(crate) use namespace::FINALIZER as NAMESPACE_FINALIZER;

use crate::execution::Execution;
use crate::fault::Fault;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::verb::Request;
use hypermesh_api::FieldError;
use hypermesh_schemas::definition::Hook;
use serde_json::Value;

/// Brings what a client sent into the form that is tracked, merged and compared: upstream's conversion and defaulting.
pub(crate) fn decode(kind: &Kind, object: &mut Value) {
    for hook in &kind.definition.strategy.hooks {
        match hook {
            Hook::Secret => secret::fold(object),
            Hook::RoleBinding => rbac::settle_subjects(object),
            _ => {}
        }
    }
}

/// Fills in what only the server knows of a request: who sent it, and when.
pub(crate) fn fill(request: &Request<'_>, object: &mut Value, old: Option<&Value>, time: &str) {
    if request.kind.has(Hook::CertificateSigningRequest) {
        let subresource = request.call.info.subresource.as_str();
        certificate_signing_request::fill(object, old, &request.user, subresource, time);
    }
}

/// What an object that is created gets where it says nothing, before it is told who owns which field.
pub(crate) fn default(kind: &Kind, object: &mut Value) {
    if kind.has(Hook::Namespace) {
        namespace::label(object);
    }
}

/// Brings an object into the form in which it is stored. `old` is the stored object, if there is one; `subresource` is
/// where the new one was sent.
pub(crate) fn prepare(kind: &Kind, object: &mut Value, old: Option<&Value>, subresource: &str) {
    for hook in &kind.definition.strategy.hooks {
        match hook {
            Hook::Namespace => namespace::prepare(object, old, subresource),
            Hook::Role => rbac::keep_aggregated(object, old),
            _ => {}
        }
    }
}

/// What is wrong with an object beyond its schema.
pub(crate) fn validate(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for hook in &kind.definition.strategy.hooks {
        match hook {
            Hook::Secret => errors.extend(secret::validate(object, old)),
            Hook::ConfigMap => errors.extend(config_map::validate(object, old)),
            Hook::RoleBinding => errors.extend(rbac::validate_binding(object, old)),
            Hook::Namespace => errors.extend(namespace::validate(object, old)),
            Hook::Event => errors.extend(event::validate(object)),
            Hook::Identity => errors.extend(identity::validate(object)),
            Hook::CertificateSigningRequest => {
                errors.extend(certificate_signing_request::validate(object, old));
            }
            Hook::Role => errors.extend(rbac::validate_role(object)),
            Hook::ServiceAccount => {}
        }
    }
    errors
}

/// Whether [`validate`] tells what the schema found wrong, and better.
pub(crate) fn tells(kind: &Kind, error: &FieldError) -> bool {
    kind.has(Hook::Secret) && secret::tells(error)
}

/// Whether the user may store this object, beyond the right to write the kind.
pub(crate) fn authorize<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    node_restriction::check(execution, request, object, old)?;
    binding::check(execution, request, object, old)?;
    for hook in &request.kind.definition.strategy.hooks {
        match hook {
            Hook::Role => rbac::authorize_role(execution, request, object, old)?,
            Hook::RoleBinding => rbac::authorize_binding(execution, request, object, old)?,
            Hook::Identity => identity::authorize(execution, request, object, old)?,
            Hook::CertificateSigningRequest => {
                certificate_signing_request::authorize(execution, request, object, old)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a namespace lets an object in that its user may store, and what there is to say of it.
pub(crate) fn admit<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &mut Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    pod_security::admit(execution, request, object, old)
}

/// Whether an object may go at all, by whatever way.
pub(crate) fn release<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    kind: &Kind,
    name: &str,
    object: &Value,
) -> Result<(), Fault> {
    if kind.has(Hook::Identity) { identity::release(execution, kind, name, object) } else { Ok(()) }
}
