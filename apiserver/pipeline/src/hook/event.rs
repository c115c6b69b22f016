//! Events: where they lie, and what a new-style one (with `eventTime`) must say of its reporter.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/core/validation/events.go`, legacyValidateEvent.

use crate::metadata;
use hypermesh_api::{FieldError, name};
use serde_json::Value;

/// The longest reason, action and reporting instance, in bytes.
const LONGEST_WORD: usize = 128;
/// The longest message of an event with `eventTime`, in bytes.
const LONGEST_MESSAGE: usize = 1024;
/// Where events about what lies in no namespace are.
const NAMESPACES_OF_NONE: [&str; 2] = ["default", "kube-system"];

pub(super) fn validate(object: &Value) -> Vec<FieldError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (own, involved) = (metadata::text(object, "namespace"), text("/involvedObject/namespace"));
    let timed = !text("/eventTime").is_empty();
    let lies_well = match (involved, timed) {
        ("", false) => own == NAMESPACES_OF_NONE[0],
        ("", true) => NAMESPACES_OF_NONE.contains(&own),
        (involved, _) => involved == own,
    };
    let mut errors = Vec::new();
    if !lies_well {
        let detail = "does not match event.namespace";
        errors.push(FieldError::invalid("involvedObject.namespace", involved.into(), detail));
    }
    if timed {
        reporter(&text, &mut errors);
    }
    errors
}

fn reporter<'v>(text: &impl Fn(&str) -> &'v str, errors: &mut Vec<FieldError>) {
    let component = text("/reportingComponent");
    if component.is_empty() {
        errors.push(FieldError::required("reportingComponent", ""));
    } else {
        let problems = name::qualified_name(component);
        errors.extend(
            problems.into_iter().map(|why| FieldError::invalid("reportingComponent", component.into(), why)),
        );
    }
    for field in ["reportingInstance", "action", "reason"] {
        let value = text(&format!("/{field}"));
        if value.is_empty() {
            errors.push(FieldError::required(field, ""));
        }
        too_long(field, value, LONGEST_WORD, errors);
    }
    too_long("message", text("/message"), LONGEST_MESSAGE, errors);
}

fn too_long(field: &str, value: &str, most: usize, errors: &mut Vec<FieldError>) {
    if value.len() > most {
        errors.push(FieldError::invalid(field, "".into(), format!("can have at most {most} characters")));
    }
}
