//! Whether a schema is structural: every value has one type, stated outside of combined schemas.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/validation.go`.

use super::props::{Additional, Props};
use super::{Problems, completeness};
use crate::pattern::Pattern;
use crate::place::Place;

/// Where in an object a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Tells what is not structural, sorted by its text as upstream does.
pub(super) fn check(root: &Props, problems: &mut Problems) {
    let mut found = Problems::default();
    check_node(root, Level::Root, &Place::ROOT, &mut found);
    completeness::check(root, &mut found);
    found.errors.sort_by_cached_key(ToString::to_string);
    for error in found.errors {
        problems.add(|| error);
    }
    problems.untold += found.untold;
}

fn check_node(props: &Props, level: Level, at: &Place<'_>, problems: &mut Problems) {
    if props.kind == "array" && props.items.is_none() && !props.has_many_items {
        problems.required(&at.field("items"), "must be specified");
    }
    if let Some(items) = &props.items {
        check_node(items, Level::Item, &at.field("items"), problems);
    }
    let above = at.field("properties");
    for (name, property) in &props.properties {
        check_node(property, Level::Field, &above.key(name), problems);
    }
    if let Some(additional) = &props.additional {
        let at = at.field("additionalProperties");
        if level == Level::Root {
            problems.forbidden(&at, "must not be used at the root");
        }
        if let Additional::Schema(schema) = additional {
            check_node(schema, Level::Field, &at, problems);
        }
        if props.embedded_resource {
            problems.forbidden(&at, "must not be used if x-kubernetes-embedded-resource is set");
        }
    }
    if props.int_or_string {
        let never = |extension: &str, problems: &mut Problems| {
            problems.invalid(
                &at.field(extension),
                true,
                "must be false if x-kubernetes-int-or-string is true",
            );
        };
        if props.preserve_unknown == Some(true) {
            never("x-kubernetes-preserve-unknown-fields", problems);
        }
        if props.embedded_resource {
            never("x-kubernetes-embedded-resource", problems);
        }
    }
    check_combined(props, is_int_or_string(&props.any_of), starts_with_int_or_string(props), at, problems);
    check_type(props, level, at, problems);
    check_object_fields(props, level, at, problems);
}

fn check_type(props: &Props, level: Level, at: &Place<'_>, problems: &mut Problems) {
    let at = at.field("type");
    let kind = props.kind.as_str();
    if props.embedded_resource && kind != "object" {
        let words = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() { problems.required(&at, words) } else { problems.invalid(&at, kind, words) }
    } else if kind.is_empty() && !props.int_or_string && props.preserve_unknown != Some(true) {
        problems.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    }
    if level == Level::Root && !matches!(kind, "" | "object") {
        problems.invalid(&at, kind, "must be object at the root");
    }
}

/// What a schema may say of the fields that every Kubernetes object has.
fn check_object_fields(props: &Props, level: Level, at: &Place<'_>, problems: &mut Problems) {
    let is_object = level == Level::Root || props.embedded_resource;
    let above = at.field("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(property) = props.properties.get(name)
            && is_object
            && property.kind != "string"
        {
            problems.invalid(&above.key(name).field("type"), property.kind.as_str(), "must be string");
        }
    }
    if let Some(metadata) = props.properties.get("metadata") {
        let at = above.key("metadata");
        if is_object && metadata.kind != "object" {
            problems.invalid(&at.field("type"), metadata.kind.as_str(), "must be object");
        }
        if level == Level::Root && !restricts_names_alone(metadata) {
            problems.forbidden(
                &at,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            );
        }
    }
    if props.embedded_resource && props.preserve_unknown != Some(true) && props.properties.is_empty() {
        problems.required(
            &above,
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        );
    }
}

fn restricts_names_alone(metadata: &Props) -> bool {
    let mut rest = metadata.clone();
    if rest.properties.keys().all(|name| matches!(name.as_str(), "name" | "generateName")) {
        rest.properties.clear();
    }
    rest.kind.clear();
    // A default is forbidden with its own words.
    rest.default = None;
    rest == Props::default()
}

fn is_int_or_string(schemas: &[Props]) -> bool {
    matches!(schemas, [first, second]
        if *first == Props::of_type("integer") && *second == Props::of_type("string"))
}

fn starts_with_int_or_string(props: &Props) -> bool {
    props.all_of.first().is_some_and(|first| is_int_or_string(&first.any_of))
}

/// The combined schemas of a node. Types are told in them only as the two alternatives of int-or-string.
fn check_combined(
    props: &Props,
    any_of_may: bool,
    first_all_of_may: bool,
    at: &Place<'_>,
    problems: &mut Problems,
) {
    if !any_of_may {
        check_nested_list(&props.any_of, &at.field("anyOf"), problems);
    }
    let above = at.field("allOf");
    for (index, schema) in props.all_of.iter().enumerate() {
        check_nested(schema, first_all_of_may && index == 0, &above.index(index), problems);
    }
    check_nested_list(&props.one_of, &at.field("oneOf"), problems);
    if let Some(not) = &props.not {
        check_nested(not, false, &at.field("not"), problems);
    }
    if !props.pattern.is_empty()
        && let Err(error) = Pattern::compile(&props.pattern)
    {
        let words = format!("must be a valid regular expression, but isn't: error parsing regexp: {error}");
        problems.invalid(&at.field("pattern"), props.pattern.as_str(), &words);
    }
}

fn check_nested_list(schemas: &[Props], above: &Place<'_>, problems: &mut Problems) {
    for (index, schema) in schemas.iter().enumerate() {
        check_nested(schema, false, &above.index(index), problems);
    }
}

/// A combined schema may constrain values, and say nothing of their structure.
fn check_nested(props: &Props, any_of_may: bool, at: &Place<'_>, problems: &mut Problems) {
    check_combined(props, any_of_may, false, at, problems);
    if let Some(items) = &props.items {
        check_nested(items, false, &at.field("items"), problems);
    }
    let above = at.field("properties");
    for (name, property) in &props.properties {
        check_nested(property, false, &above.key(name), problems);
    }
    let is_closed = props.additional == Some(Additional::Any(false));
    for (keyword, is_set, wanted) in [
        ("type", !props.kind.is_empty(), "empty"),
        ("additionalProperties", props.additional.is_some() && !is_closed, "undefined"),
        ("default", props.default.is_some(), "undefined"),
        ("title", !props.title.is_empty(), "empty"),
        ("description", !props.description.is_empty(), "empty"),
        ("nullable", props.nullable, "false"),
        ("x-kubernetes-preserve-unknown-fields", props.preserve_unknown == Some(true), "false"),
        ("x-kubernetes-embedded-resource", props.embedded_resource, "false"),
        ("x-kubernetes-int-or-string", props.int_or_string, "false"),
        ("x-kubernetes-list-map-keys", !props.list_map_keys.is_empty(), "empty"),
        ("x-kubernetes-list-type", props.list_type.is_some(), "undefined"),
        ("x-kubernetes-map-type", props.map_type.is_some(), "undefined"),
        ("x-kubernetes-validations", !props.rules.is_empty(), "empty"),
    ] {
        if is_set {
            problems.forbidden(&at.field(keyword), &format!("must be {wanted} to be structural"));
        }
    }
    // Restrictions of metadata could contradict what it is.
    if props.properties.contains_key("metadata") {
        problems.forbidden(&above.key("metadata"), "must not be specified in a nested context");
    }
}
