//! Label selectors within the objects of built-in kinds.
//!
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation`, ValidateLabelSelector.

use hypermesh_api::{FieldError, name};
use serde_json::Value;

/// What is wrong with the selector at `path`.
pub(super) fn validate(selector: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let labels = format!("{path}.matchLabels");
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        errors.extend(wrong(&labels, key, name::qualified_name));
        errors.extend(wrong(&labels, value.as_str().unwrap_or_default(), name::label_value));
    }
    for (i, requirement) in list(selector, "matchExpressions").iter().enumerate() {
        errors.extend(expression(requirement, &format!("{path}.matchExpressions[{i}]")));
    }
    errors
}

fn expression(requirement: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |field: &str| requirement.get(field).and_then(Value::as_str).unwrap_or_default();
    let values = list(requirement, "values");
    match text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(format!("{path}.values"), why));
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(format!("{path}.values"), why));
        }
        "Exists" | "DoesNotExist" => {}
        other => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(format!("{path}.operator"), other.into(), why));
        }
    }
    errors.extend(wrong(&format!("{path}.key"), text("key"), name::qualified_name));
    for (i, value) in values.iter().enumerate() {
        errors.extend(wrong(
            &format!("{path}.values[{i}]"),
            value.as_str().unwrap_or_default(),
            name::label_value,
        ));
    }
    errors
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn wrong<'p>(
    path: &'p str,
    text: &'p str,
    rule: fn(&str) -> Vec<String>,
) -> impl Iterator<Item = FieldError> + 'p {
    rule(text).into_iter().map(move |why| FieldError::invalid(path, text.into(), why))
}
