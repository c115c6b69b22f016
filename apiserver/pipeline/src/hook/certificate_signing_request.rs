//! CertificateSigningRequests: who asks is said by the server, what is asked never changes, and of the status each part is
//! written by whom it belongs to: conditions Approved and Denied, once and for good, on `/approval` by who may `approve`
//! for the signer; the certificate, once, on `/status` by who may `sign` for it.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/certificates` (strategy), `pkg/apis/certificates/validation`,
//! `plugin/pkg/admission/certificates`. Other than there, a change of what is asked is refused and not dropped in silence,
//! and whoever joins by a bootstrap token may ask for the certificate of a node alone.

use crate::authz::{Attributes, UserInfo};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hypermesh_api::{FieldError, Status, name};
use serde_json::{Map, Value, json};

/// The group of its kind.
const GROUP: &str = "certificates.k8s.io";
/// Signs nodes.
pub(crate) const NODE_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs people and programs.
pub(crate) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The group of who shows a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// Where conditions of the status may be changed.
const APPROVAL: &str = "approval";
/// The shortest life that may be asked for, in seconds.
const SHORTEST: i64 = 600;
/// Fields that the server fills in.
const AUTHOR: [&str; 4] = ["username", "uid", "groups", "extra"];
/// Conditions that are settled once.
const VERDICTS: [&str; 2] = ["Approved", "Denied"];
/// Conditions that are True or not there.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Says who asks, and when conditions changed; leaves of a status what its endpoint is for.
pub(super) fn fill(object: &mut Value, old: Option<&Value>, user: &UserInfo, subresource: &str, time: &str) {
    let Some(old) = old else {
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            set_author(spec, user);
        }
        return;
    };
    if subresource.is_empty() {
        // Whoever sends the object back as it was made has left out what the server has filled in.
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            for field in AUTHOR {
                match old.pointer(&format!("/spec/{field}")) {
                    Some(value) => spec.insert(field.to_owned(), value.clone()),
                    None => spec.remove(field),
                };
            }
        }
        return;
    }
    if subresource == APPROVAL {
        let conditions = object.pointer("/status/conditions").cloned();
        let mut status = old.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
        match conditions {
            Some(conditions) => status.insert("conditions".into(), conditions),
            None => status.remove("conditions"),
        };
        if let Some(map) = object.as_object_mut() {
            if status.is_empty() {
                map.remove("status")
            } else {
                map.insert("status".into(), status.into())
            };
        }
    }
    stamp(object, old, time);
}

fn set_author(spec: &mut Map<String, Value>, user: &UserInfo) {
    for field in AUTHOR {
        spec.remove(field);
    }
    spec.insert("username".into(), user.name.as_str().into());
    if !user.uid.is_empty() {
        spec.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        spec.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> =
            user.extra.iter().map(|(key, values)| (key.clone(), values.clone().into())).collect();
        spec.insert("extra".into(), extra.into());
    }
}

/// Times of conditions that have none: of an update now; of a transition as it was, unless the status changed.
fn stamp(object: &mut Value, old: &Value, time: &str) {
    let list = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        let missing =
            |condition: &Map<String, Value>, field: &str| condition.get(field).is_none_or(Value::is_null);
        let before = conditions(old).find(|old| old.get("type") == condition.get("type"));
        if missing(condition, "lastUpdateTime") {
            condition.insert("lastUpdateTime".into(), time.into());
        }
        if missing(condition, "lastTransitionTime") {
            let same = before.filter(|before| before.get("status") == condition.get("status"));
            let since = same.and_then(|before| before.get("lastTransitionTime")).cloned();
            condition.insert("lastTransitionTime".into(), since.unwrap_or_else(|| json!(time)));
        }
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn of_type<'v>(object: &'v Value, kind: &str) -> Vec<&'v Value> {
    conditions(object).filter(|one| one.get("type").and_then(Value::as_str) == Some(kind)).collect()
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(why) = not_a_request(text(object, "/spec/request")) {
        errors.push(FieldError::invalid("spec.request", "<request data>".into(), why));
    }
    let usages = object.pointer("/spec/usages").and_then(Value::as_array);
    let usages = usages.map(Vec::as_slice).unwrap_or_default();
    if usages.is_empty() {
        errors.push(FieldError::required("spec.usages", ""));
    }
    for (i, usage) in usages.iter().enumerate() {
        if usages.iter().take(i).any(|other| other == usage) {
            let path = format!("spec.usages[{i}]");
            errors.push(FieldError::duplicate(path, usage.clone()));
        }
    }
    let signer = text(object, "/spec/signerName");
    if let Some(why) = not_a_signer(signer) {
        errors.push(FieldError::invalid("spec.signerName", signer.into(), why));
    }
    let seconds = object.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < SHORTEST) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid("spec.expirationSeconds", seconds.into(), why));
    }
    if let Some(old) = old
        && old.get("spec") != object.get("spec")
    {
        errors.push(FieldError::forbidden("spec", "a request never changes: make another one"));
    }
    let certificate = text(object, "/status/certificate");
    if !certificate.is_empty()
        && let Some(why) = not_a_chain(certificate)
    {
        errors.push(FieldError::invalid("status.certificate", "<certificate data>".into(), why));
    }
    errors.extend(check_conditions(object));
    errors
}

fn check_conditions(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut verdict = None;
    for (i, condition) in conditions(object).enumerate() {
        let field = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, status) = (field("type"), field("status"));
        let path = format!("status.conditions[{i}]");
        if FINAL.contains(&kind) && status != "True" {
            errors.push(FieldError::not_supported(format!("{path}.status"), status.into(), &["True"]));
        }
        if VERDICTS.contains(&kind) && verdict.replace(kind).is_some_and(|other| other != kind) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(format!("{path}.type"), kind.into(), why));
        }
    }
    errors
}

/// Bytes of PEM, from base64.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

/// The labels of the PEM blocks of a text; `None` where one does not end as it begins, or is not base64.
fn pem_labels(text: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let (mut labels, mut open, mut body) = (Vec::new(), None, String::new());
    for line in text.lines().map(str::trim) {
        let mark = |word: &str| line.strip_prefix(word).and_then(|rest| rest.strip_suffix("-----"));
        match (&open, mark("-----BEGIN "), mark("-----END ")) {
            (None, Some(label), _) => {
                open = Some(label.to_owned());
                body.clear();
            }
            (Some(label), _, Some(end)) if label == end && !body.is_empty() => {
                STANDARD.decode(&body).ok()?;
                labels.extend(open.take());
            }
            (Some(_), None, None) => body.push_str(line),
            (None, None, None) => {}
            _ => return None,
        }
    }
    if open.is_some() { None } else { Some(labels) }
}

/// Why a text is no request. What its PEM holds is for signers to judge.
fn not_a_request(base64: &str) -> Option<&'static str> {
    match decoded(base64).and_then(|bytes| pem_labels(&bytes)).as_deref() {
        Some([label]) if label == "CERTIFICATE REQUEST" => None,
        _ => Some("must be one PEM block of type CERTIFICATE REQUEST, in base64"),
    }
}

fn not_a_chain(base64: &str) -> Option<&'static str> {
    match decoded(base64).and_then(|bytes| pem_labels(&bytes)).as_deref() {
        Some([first, rest @ ..])
            if first == "CERTIFICATE" && rest.iter().all(|label| label == "CERTIFICATE") =>
        {
            None
        }
        _ => Some("must be one or more PEM blocks of type CERTIFICATE, in base64"),
    }
}

/// Source: `k8s.io/kubernetes/pkg/apis/core/validation` ValidateSignerName.
fn not_a_signer(signer: &str) -> Option<&'static str> {
    let Some((domain, path)) = signer.split_once('/') else {
        return Some("must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    if !name::dns1123_subdomain(domain).is_empty() || !domain.contains('.') {
        return Some(
            "its domain should be a lower-case DNS name with at least two segments separated by dots",
        );
    }
    let plain = |part: &str| name::dns1123_subdomain(part).is_empty();
    if path.contains('/') || !plain(path) {
        return Some("its path should be one lower-case DNS name");
    }
    (signer == "kubernetes.io/legacy-unknown")
        .then_some("the legacy signerName is not allowed via this API version")
}

pub(super) fn authorize<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    let (name, signer) = (crate::metadata::text(object, "name"), text(object, "/spec/signerName"));
    let Some(old) = old else {
        if request.user.groups.iter().any(|group| group == BOOTSTRAPPERS) && signer != NODE_SIGNER {
            let why = format!(
                "a bootstrap token asks for certificates of nodes alone: spec.signerName {NODE_SIGNER}"
            );
            return Err(Status::forbidden(request.kind.subject(name), why).into());
        }
        return Ok(());
    };
    let subresource = request.call.info.subresource.as_str();
    request.refuse(name, &check_update(object, old, subresource))?;
    let changed = |pointer: &str| old.pointer(pointer) != object.pointer(pointer);
    let verb = match subresource {
        APPROVAL => "approve",
        "status" if changed("/status/certificate") || changed("/status/conditions") => "sign",
        _ => return Ok(()),
    };
    if may(execution, &request.user, verb, signer) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Status::forbidden(request.kind.subject(name), why).into())
}

/// Whether `user` has a right on a signer, by its name or for its whole domain.
pub(super) fn may<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    user: &UserInfo,
    verb: &str,
    signer: &str,
) -> bool {
    let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*")).unwrap_or_default();
    [signer, &domain].into_iter().any(|name| {
        let asked = Attributes {
            verb,
            group: GROUP,
            resource: "signers",
            subresource: "",
            namespace: "",
            name,
            path: None,
        };
        execution.derived.policy.allows(user, &asked)
    })
}

/// What may not be done to a status, by where it was sent.
fn check_update(object: &Value, old: &Value, subresource: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut forbid =
        |field: &str, why: String| errors.push(FieldError::forbidden(format!("status.{field}"), why));
    for kind in FINAL {
        let (before, after) = (of_type(old, kind), of_type(object, kind));
        if after.len() < before.len() {
            forbid("conditions", format!("updates may not remove a condition of type {kind:?}"));
        } else if subresource != APPROVAL && VERDICTS.contains(&kind) {
            if after.len() > before.len() {
                forbid("conditions", format!("updates may not add a condition of type {kind:?}"));
            } else if after != before {
                forbid("conditions", format!("updates may not modify a condition of type {kind:?}"));
            }
        }
    }
    let (before, after) = (text(old, "/status/certificate"), text(object, "/status/certificate"));
    if before != after {
        if subresource != "status" {
            forbid("certificate", "updates may not set certificate content".to_owned());
        } else if !before.is_empty() {
            forbid("certificate", "updates may not modify existing certificate content".to_owned());
        }
    }
    errors
}
