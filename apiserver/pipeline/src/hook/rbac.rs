//! Nobody hands out what they do not hold.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/rbac` (escalation_check, policybased storage).

use super::selector;
use crate::authz::{Attributes, PolicyRule, RBAC_GROUP, RoleRef, compact};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::state::StateReader;
use crate::verb::Request;
use hypermesh_api::{FieldError, Status, Subject};
use serde_json::Value;

/// Users and groups belong to the RBAC group, which people leave out; a schema cannot default it by another field.
pub(super) fn settle_subjects(object: &mut Value) {
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
        let named = subject.get("kind").and_then(Value::as_str);
        let missing = subject.get("apiGroup").is_none_or(|group| group.as_str() == Some(""));
        if missing && matches!(named, Some("User" | "Group")) {
            subject.insert("apiGroup".into(), RBAC_GROUP.into());
        }
    }
}

/// The rules of an aggregated role are the state machine's to write: whatever is sent, they stay as they are, and a new one
/// has none until the end of its block.
pub(super) fn keep_aggregated(object: &mut Value, old: Option<&Value>) {
    let aggregated = |object: &Value| object.get("aggregationRule").is_some_and(Value::is_object);
    if !aggregated(object) {
        return;
    }
    let rules = old.filter(|old| aggregated(old)).and_then(|old| old.get("rules")).cloned();
    if let Some(map) = object.as_object_mut() {
        map.insert("rules".into(), rules.filter(Value::is_array).unwrap_or_else(|| Value::Array(Vec::new())));
    }
}

/// Source: `k8s.io/kubernetes/pkg/apis/rbac/validation`, ValidateClusterRole.
pub(super) fn validate_role(object: &Value) -> Vec<FieldError> {
    const SELECTORS: &str = "aggregationRule.clusterRoleSelectors";
    let Some(rule) = object.get("aggregationRule").filter(|rule| rule.is_object()) else { return Vec::new() };
    let list =
        rule.get("clusterRoleSelectors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        return vec![FieldError::required(SELECTORS, why)];
    }
    list.iter()
        .enumerate()
        .flat_map(|(i, one)| selector::validate(one, &format!("{SELECTORS}[{i}]")))
        .collect()
}

pub(super) fn validate_binding(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old
        && old.get("roleRef") != object.get("roleRef")
    {
        errors.push(FieldError::invalid(
            "roleRef",
            object.get("roleRef").cloned().unwrap_or_default(),
            "cannot change roleRef",
        ));
    }
    errors
}

fn rules_of(object: &Value) -> Result<Vec<PolicyRule>, Status> {
    match object.get("rules") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(rules) => serde_json::from_value(rules.clone())
            .map_err(|why| Status::bad_request(format!("rules do not decode: {why}"))),
    }
}

pub(super) fn authorize_role<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    let same = |field: &str| old.is_some_and(|old| old.get(field) == object.get(field));
    let (same_rules, same_aggregation) = (same("rules"), same("aggregationRule"));
    // Labels put a role into the aggregations that select them: they hand out its rules too.
    let labels = |object: &Value| object.pointer("/metadata/labels").cloned();
    let same_labels = request.kind.namespaced() || old.is_some_and(|old| labels(old) == labels(object));
    if same_rules && same_aggregation && same_labels {
        return Ok(());
    }
    let name = metadata::text(object, "name");
    if may(execution, request, "escalate", &request.kind.definition.names.plural, name) {
        return Ok(());
    }
    if !same_aggregation && object.get("aggregationRule").is_some_and(|rule| !rule.is_null()) {
        refuse_missing(execution, request, name, &crate::genesis::everything())?;
    }
    refuse_missing(execution, request, name, &rules_of(object)?)
}

pub(super) fn authorize_binding<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    if old.is_some_and(|old| {
        old.get("subjects") == object.get("subjects") && old.get("roleRef") == object.get("roleRef")
    }) {
        return Ok(());
    }
    let name = metadata::text(object, "name");
    let text = |field: &str| {
        object.pointer(&format!("/roleRef/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let role = RoleRef { kind: text("kind"), name: text("name") };
    let plural = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    if may(execution, request, "bind", plural, &role.name) {
        return Ok(());
    }
    let namespace = request.call.info.namespace.as_str();
    let Some(rules) = execution.derived.policy.rules_of_role(namespace, &role) else {
        return Err(
            Status::not_found(Subject { group: RBAC_GROUP, resource: plural, name: &role.name }).into()
        );
    };
    refuse_missing(execution, request, name, &rules)
}

fn may<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    verb: &str,
    resource: &str,
    name: &str,
) -> bool {
    let asked = Attributes {
        verb,
        group: RBAC_GROUP,
        resource,
        subresource: "",
        namespace: &request.call.info.namespace,
        name,
        path: None,
    };
    execution.derived.policy.allows(&request.user, &asked)
}

fn refuse_missing<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    name: &str,
    wanted: &[PolicyRule],
) -> Result<(), Fault> {
    refuse_missing_to(execution, request, name, wanted, "grant")
}

/// Refuses unless the user holds all of `wanted`, which they are about to `deed` (grant, register a key that holds).
pub(super) fn refuse_missing_to<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    name: &str,
    wanted: &[PolicyRule],
    deed: &str,
) -> Result<(), Fault> {
    let missing = execution.derived.policy.missing(&request.user, &request.call.info.namespace, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let user = &request.user;
    let why = format!(
        "user {:?} (groups={}) is attempting to {deed} RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        shown(missing)
    );
    Err(Status::forbidden(request.kind.subject(name), why).into())
}

/// The rules that are missing, compacted and in order, one a line.
fn shown(missing: Vec<PolicyRule>) -> String {
    /// Bytes of them that are shown: who asked for so much knows what they asked for.
    const MOST: usize = 32 << 10;
    let mut lines: Vec<String> = compact(missing).iter().map(line).collect();
    lines.sort();
    lines.dedup();
    let mut length = 0;
    let fits = lines.iter().take_while(|line| {
        length += line.len() + 1;
        length <= MOST
    });
    let fitting = fits.count();
    let left = lines.len() - fitting;
    lines.truncate(fitting);
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    lines.join("\n")
}

/// As Go writes a list of strings with `%q`.
pub(super) fn quoted(list: &[String]) -> String {
    let words: Vec<String> = list.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn line(rule: &PolicyRule) -> String {
    let mut parts = Vec::new();
    for (label, list) in [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("Verbs", &rule.verbs),
    ] {
        if !list.is_empty() {
            parts.push(format!("{label}:{}", quoted(list)));
        }
    }
    format!("{{{}}}", parts.join(", "))
}
