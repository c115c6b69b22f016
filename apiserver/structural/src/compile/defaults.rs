//! Whether defaults are values that their own schemas would take.
//!
//! That they are is what makes defaulting idempotent. Source: `pkg/apiserver/schema/defaulting/validation.go`; departing
//! from it, defaults of additional properties are judged too.

use super::Problems;
use crate::place::Place;
use crate::schema::Schema;
use hypermesh_api::FieldError;
use hypermesh_cel::Budget;
use serde_json::Value;

pub(super) fn check(root: &Schema, at: &Place<'_>, problems: &mut Problems) {
    check_node(root, at, &mut Budget::default(), problems);
}

fn check_node(schema: &Schema, at: &Place<'_>, budget: &mut Budget, problems: &mut Problems) {
    if let Some(default) = &schema.default {
        check_default(schema, default, &at.field("default"), budget, problems);
    }
    if let Some(items) = &schema.items {
        check_node(items, &at.field("items"), budget, problems);
    }
    if let Some(additional) = &schema.additional {
        check_node(additional, &at.field("additionalProperties"), budget, problems);
    }
    let above = at.field("properties");
    for (name, property) in schema.properties.iter().filter(|(_, property)| !property.implied) {
        check_node(property, &above.key(name), budget, problems);
    }
}

fn check_default(
    schema: &Schema,
    default: &Value,
    at: &Place<'_>,
    budget: &mut Budget,
    problems: &mut Problems,
) {
    let mut pruned = default.clone();
    if !schema.prune(&mut pruned).is_empty() {
        problems.invalid(at, default.clone(), "must not have unknown fields");
    }
    // As an update that changes nothing, so that transition rules run; and as what is new.
    let mut errors = schema.validate(default, None, budget);
    if errors.is_empty() {
        errors = schema.transitions(default, budget);
    }
    for error in errors {
        let path = at.bracketed();
        let field = match error.field.as_str() {
            "" => path,
            field if field.starts_with('[') => format!("{path}{field}"),
            field => format!("{path}.{field}"),
        };
        problems.add(|| FieldError { field, ..error });
    }
}
