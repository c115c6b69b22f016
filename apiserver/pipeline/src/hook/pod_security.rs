//! Holds instances, and the templates that they are made from, against the Pod Security Standard of their namespace.
//!
//! An Instance is held against it where it is made. A Workload is too, by its template and `publish`, wherever these
//! change: upstream warns of a template and refuses its Pods, one by one, to a controller that nobody watches.
//!
//! Source: `k8s.io/pod-security-admission/admission`.

use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::nodes::INSTANCES;
use crate::pod_security::{Level, Pod, Policy, Standard, details, reasons, violations};
use crate::registry::Kind;
use crate::state::StateReader;
use crate::verb::Request;
use hypermesh_api::{FieldError, Status};
use hypermesh_chain::{KeyRange, ObjectKey, Record};
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::collections::BTreeMap;

const WORKLOADS: &str = "hypermesh.online/workloads";
/// Instances that are looked at, at most, when a namespace asks for more than before.
const MOST_LOOKED_AT: usize = 1000;

/// What of the labels of a namespace cannot be read. What was stored before this was known stays: it is the change that
/// is refused.
pub(super) fn validate_namespace(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (_, errors) = Policy::read(|name| label(object, name));
    if errors.is_empty() || old.is_some_and(|old| Policy::read(|name| label(old, name)).1 == errors) {
        return Vec::new();
    }
    errors
}

fn label<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

fn recorded<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let labels = record.facts.labels.iter();
    labels.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// What of an object is judged; `None`: nothing.
fn judged<'v>(kind: &Kind, object: &'v Value) -> Option<Pod<'v>> {
    let spec = object.get("spec")?;
    match kind.collection.as_str() {
        INSTANCES => Some(Pod { spec: spec.get("pod")?, publish: None }),
        WORKLOADS => Some(Pod { spec: spec.get("template")?.get("spec")?, publish: spec.get("publish") }),
        _ => None,
    }
}

/// Refuses what the namespace does not let through, and notes and tells what it wants noted and told.
pub(super) fn admit<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &mut Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    if !request.call.info.subresource.is_empty() {
        return Ok(());
    }
    if request.kind.has(Hook::Namespace) {
        return look_around(execution, request, object, old);
    }
    let Some(pod) = judged(&request.kind, object) else { return Ok(()) };
    let before = old.and_then(|old| judged(&request.kind, old));
    if before.is_some_and(|before| before.spec == pod.spec && before.publish == pod.publish) {
        return Ok(());
    }
    let Some(key) = ObjectKey::new("/namespaces", "", metadata::text(object, "namespace")) else {
        return Ok(());
    };
    // One that is not there is told by who stores.
    let Some(namespace) = execution.overlay.get(&key)? else { return Ok(()) };
    let (policy, _) = Policy::read(|name| recorded(&namespace, name));
    if policy.is_open() {
        return Ok(());
    }
    let would = |standard: Standard| {
        let found = violations(standard, pod);
        (!found.is_empty()).then(|| format!("would violate PodSecurity \"{standard}\": {}", details(&found)))
    };
    if let Some(words) = would(policy.audit) {
        request.note(words);
    }
    let refused = violations(policy.enforce, pod);
    if !refused.is_empty() {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, details(&refused));
        return Err(Status::forbidden(request.kind.subject(metadata::text(object, "name")), why).into());
    }
    if let Some(words) = would(policy.warn) {
        request.warn(words);
    }
    Ok(())
}

/// Tells who raises what a namespace refuses which of its instances it would refuse: they go on.
fn look_around<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &mut Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    let Some(old) = old else { return Ok(()) };
    let enforce = |object: &Value| Policy::read(|name| label(object, name)).0.enforce;
    let (before, now) = (enforce(old), enforce(object));
    let lower = before.minor == now.minor && now.level <= before.level;
    if now.level == Level::Privileged || now == before || lower {
        return Ok(());
    }
    let name = metadata::text(object, "name").to_owned();
    let range = KeyRange { collection: INSTANCES.to_owned(), namespace: Some(name.clone()) };
    let mut found = execution.overlay.scan(&range, None, MOST_LOOKED_AT + 1)?;
    if found.len() > MOST_LOOKED_AT {
        found.truncate(MOST_LOOKED_AT);
        request.warn(format!(
            "new PodSecurity enforce level only checked against the first {MOST_LOOKED_AT} existing pods"
        ));
    }
    // Names by what is wrong, each in order.
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, record) in &found {
        let Ok(instance) = serde_json::from_slice::<Value>(&record.body) else { continue };
        let Some(spec) = instance.pointer("/spec/pod") else { continue };
        let of = violations(now, Pod { spec, publish: None });
        if !of.is_empty() {
            wrong.entry(reasons(&of)).or_default().push(key.name().to_owned());
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    request.warn(format!(
        "existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{now}\""
    ));
    let mut lines: Vec<String> = wrong.iter().map(|(reasons, names)| line(reasons, names)).collect();
    lines.sort();
    lines.into_iter().for_each(|line| request.warn(line));
    Ok(())
}

fn line(reasons: &str, names: &[String]) -> String {
    let first = names.first().map(String::as_str).unwrap_or_default();
    match names.len() {
        0 | 1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        more => format!("{first} (and {} other pods): {reasons}", more - 1),
    }
}
