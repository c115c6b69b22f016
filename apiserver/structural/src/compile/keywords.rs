//! Keywords that schemas of CustomResourceDefinitions may not have, or not together.
//!
//! Source: `ValidateCustomResourceDefinitionOpenAPISchema` in `apiextensions-apiserver/pkg/apis/apiextensions/validation`.
//! Not among them are upstream's estimates of what rules will cost: here a rule is held to its budget when it runs.

use super::Problems;
use super::props::{Additional, Props};
use crate::place::Place;
use crate::rules::RuleSource;
use crate::schema::JsonType;
use serde_json::Value;
use std::collections::BTreeSet;

const METADATA: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// Why defaults are not allowed, and whether the schema is of a part of ObjectMeta.
#[derive(Clone, Copy, Default)]
struct Context {
    no_default: Option<&'static str>,
    in_metadata: bool,
}

pub(super) fn check(root: &Props, problems: &mut Problems) {
    if root.nullable {
        problems.forbidden(&Place::ROOT.field("nullable"), "nullable cannot be true at the root");
    }
    check_node(root, true, Context::default(), &Place::ROOT, problems);
}

fn check_node(props: &Props, is_root: bool, context: Context, at: &Place<'_>, problems: &mut Problems) {
    check_standard(props, context, at, problems);
    if let Some(additional) = &props.additional {
        let at = at.field("additionalProperties");
        if !props.properties.is_empty() && *additional != Additional::Any(true) {
            problems.forbidden(&at, "additionalProperties and properties are mutual exclusive");
        }
        if let Additional::Schema(schema) = additional {
            let no_default = "inside additionalProperties applying to object metadata";
            let no_default = if context.in_metadata { Some(no_default) } else { context.no_default };
            check_node(schema, false, Context { no_default, ..context }, &at, problems);
        }
    }
    let above = at.field("properties");
    for (name, property) in &props.properties {
        let mut context = context;
        if (is_root || props.embedded_resource) && METADATA.contains(&name.as_str()) {
            context.in_metadata = true;
            if is_root {
                context.no_default = Some(match name.as_str() {
                    "metadata" => "in top-level metadata",
                    "kind" => "in top-level kind",
                    _ => "in top-level apiVersion",
                });
            }
        }
        check_node(property, false, context, &above.key(name), problems);
    }
    if let Some(not) = &props.not {
        check_node(not, false, context, &at.field("not"), problems);
    }
    for (keyword, schemas) in [("allOf", &props.all_of), ("oneOf", &props.one_of), ("anyOf", &props.any_of)] {
        let above = at.field(keyword);
        for (index, schema) in schemas.iter().enumerate() {
            check_node(schema, false, context, &above.index(index), problems);
        }
    }
    if let Some(items) = &props.items {
        check_node(items, false, context, &at.field("items"), problems);
    }
    if props.preserve_unknown == Some(false) {
        problems.invalid(
            &at.field("x-kubernetes-preserve-unknown-fields"),
            false,
            "must be true or undefined",
        );
    }
    check_map_type(props, at, problems);
    check_list_type(props, at, problems);
    check_list_keys(props, at, problems);
    let above = at.field("x-kubernetes-validations");
    for (index, rule) in props.rules.iter().enumerate() {
        check_rule(rule, &above.index(index), problems);
    }
}

/// What OpenAPI has and these schemas do not.
fn check_standard(props: &Props, context: Context, at: &Place<'_>, problems: &mut Problems) {
    let kind = props.kind.as_str();
    if !kind.is_empty() && JsonType::named(kind).is_none() {
        problems.unsupported(&at.field("type"), kind, &JsonType::ALL.map(JsonType::name));
    }
    if let (Some(_), Some(why)) = (&props.default, context.no_default) {
        problems.forbidden(&at.field("default"), &format!("must not be set {why}"));
    }
    for &keyword in &props.unsupported {
        problems.forbidden(&at.field(keyword), &format!("{keyword} is not supported"));
    }
    if kind == "null" {
        problems.forbidden(&at.field("type"), "type cannot be set to null, use nullable as an alternative");
    }
    if props.has_many_items {
        problems.forbidden(&at.field("items"), "items must be a schema object and not an array");
    }
    if context.in_metadata && props.embedded_resource {
        problems.forbidden(
            &at.field("x-kubernetes-embedded-resource"),
            "must not be used inside of resource meta",
        );
    }
    if props.unique_items {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        problems.forbidden(&at.field("uniqueItems"), why);
    }
}

fn check_map_type(props: &Props, at: &Place<'_>, problems: &mut Problems) {
    const KEYWORD: &str = "x-kubernetes-map-type";
    let Some(map_type) = &props.map_type else { return };
    if props.kind != "object" {
        must_be(props, "must be object if x-kubernetes-map-type is specified", at, problems);
    }
    if !matches!(map_type.as_str(), "atomic" | "granular") {
        problems.unsupported(&at.field(KEYWORD), map_type, &["atomic", "granular"]);
    }
}

fn must_be(props: &Props, words: &str, at: &Place<'_>, problems: &mut Problems) {
    let at = at.field("type");
    if props.kind.is_empty() {
        problems.required(&at, words);
    } else {
        problems.invalid(&at, props.kind.as_str(), words);
    }
}

fn check_list_type(props: &Props, at: &Place<'_>, problems: &mut Problems) {
    const KEYWORD: &str = "x-kubernetes-list-type";
    let Some(list_type) = props.list_type.as_deref() else { return };
    if props.kind != "array" {
        must_be(props, "must be array if x-kubernetes-list-type is specified", at, problems);
    } else if let ("set", Some(items)) = (list_type, &props.items) {
        let at = at.field("items");
        let words = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match (items.kind.as_str(), items.list_type.as_deref(), items.map_type.as_deref()) {
            ("array", Some(inner), _) if inner != "atomic" => {
                problems.invalid(&at.field(KEYWORD), inner, words);
            }
            ("object", _, inner) if inner != Some("atomic") => {
                problems.invalid(
                    &at.field("x-kubernetes-map-type"),
                    inner.map_or(Value::Null, Value::from),
                    words,
                );
            }
            _ => {}
        }
    }
    if !matches!(list_type, "atomic" | "set" | "map") {
        problems.unsupported(&at.field(KEYWORD), list_type, &["atomic", "set", "map"]);
    }
}

fn check_list_keys(props: &Props, at: &Place<'_>, problems: &mut Problems) {
    let (keys, list_type) = (&props.list_map_keys, props.list_type.as_deref());
    if !keys.is_empty() && list_type != Some("map") {
        let at = at.field("x-kubernetes-list-type");
        let words = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            None => problems.required(&at, words),
            Some(other) => problems.invalid(&at, other, words),
        }
    }
    if list_type == Some("map") {
        let keys_at = at.field("x-kubernetes-list-map-keys");
        if keys.is_empty() {
            problems.required(&keys_at, "must not be empty if x-kubernetes-list-type is map");
        }
        let items_at = at.field("items");
        match &props.items {
            None => problems.required(&items_at, "must have a schema if x-kubernetes-list-type is map"),
            Some(items) if items.kind != "object" => problems.invalid(
                &items_at.field("type"),
                items.kind.as_str(),
                "must be object if parent array's x-kubernetes-list-type is map",
            ),
            Some(items) => check_keys_of(items, keys, &keys_at, &items_at, problems),
        }
    }
    if let (Some(list_type @ ("set" | "map")), Some(items)) = (list_type, &props.items)
        && items.nullable
    {
        let words = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        problems.forbidden(&at.field("items").field("nullable"), &words);
    }
}

/// Keys are scalar fields that are always there.
fn check_keys_of(
    items: &Props,
    keys: &[String],
    keys_at: &Place<'_>,
    items_at: &Place<'_>,
    problems: &mut Problems,
) {
    let shown = || Value::from(keys.to_vec());
    let mut seen = BTreeSet::new();
    let above = items_at.field("properties");
    for key in keys {
        if !seen.insert(key) {
            problems.invalid(keys_at, shown(), "must not contain duplicate entries");
        }
        let Some(property) = items.properties.get(key) else {
            problems.invalid(keys_at, shown(), "entries must all be names of item properties");
            continue;
        };
        let at = above.key(key);
        if matches!(property.kind.as_str(), "array" | "object") {
            let words = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            problems.invalid(&at.field("type"), property.kind.as_str(), words);
        }
        if !items.required.contains(key) && property.default.is_none() {
            problems.required(
                &at.field("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            );
        }
        if property.nullable {
            let words = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            problems.forbidden(&at.field("nullable"), words);
        }
    }
}

fn check_rule(rule: &RuleSource, at: &Place<'_>, problems: &mut Problems) {
    let breaks_line = |text: &str| text.contains(['\n', '\r']);
    let (source, message) = (rule.rule.trim(), rule.message.trim());
    if source.is_empty() {
        problems.required(&at.field("rule"), "rule is not specified");
    } else if !rule.message.is_empty() && message.is_empty() {
        problems.invalid(&at.field("message"), rule.message.as_str(), "must be non-empty if specified");
    } else if breaks_line(message) {
        problems.invalid(&at.field("message"), rule.message.as_str(), "must not contain line breaks");
    } else if breaks_line(source) && message.is_empty() {
        problems.required(&at.field("message"), "message must be specified if rule contains line breaks");
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let words = "messageExpression must be non-empty if specified";
        problems.required(&at.field("messageExpression"), words);
    }
    if let Some(reason) = &rule.reason {
        const REASONS: [&str; 4] =
            ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        if !REASONS.contains(&reason.as_str()) {
            problems.unsupported(&at.field("reason"), reason, &REASONS);
        }
    }
    let path = rule.field_path.as_str();
    if !path.is_empty() && path.trim().is_empty() {
        problems.invalid(&at.field("fieldPath"), path, "must be non-empty if specified");
    }
    if path.contains(['\n', '\r']) {
        problems.invalid(&at.field("fieldPath"), path, "must not contain line breaks");
    }
}
