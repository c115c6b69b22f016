//! Builds the schema that runs, from keywords that were found sound.

use super::Problems;
use super::implied;
use super::props::{Additional, Props};
use crate::constraints::{Below, Bound, Constraints, Junctors, NumberRange, SizeRange, TextShape};
use crate::formats::Format;
use crate::pattern::Pattern;
use crate::place::Place;
use crate::rules::{Rule, RuleSource, field_path};
use crate::schema::{JsonType, ListType, Schema};
use hypermesh_api::FieldError;
use serde_json::Value;
use std::sync::Arc;

/// Builds a node and all below. `lost` is the first node above within which old values cannot be told to belong to new
/// ones.
pub(super) fn build(
    props: &Props,
    is_root: bool,
    lost: Option<&Place<'_>>,
    at: &Place<'_>,
    problems: &mut Problems,
) -> Schema {
    let mut schema = structure(props);
    let above = at.field("properties");
    for (name, property) in &props.properties {
        let property = build(property, false, lost, &above.key(name), problems);
        schema.properties.insert(name.clone(), Box::new(property));
    }
    schema.additional = match &props.additional {
        None | Some(Additional::Any(false)) => None,
        Some(Additional::Any(true)) => Some(Box::default()),
        Some(Additional::Schema(additional)) => {
            let at = at.field("additionalProperties");
            Some(Box::new(build(additional, false, lost, &at, problems)))
        }
    };
    schema.items = props.items.as_deref().map(|items| {
        let lost = if matches!(schema.list_type, ListType::Map(_)) { lost } else { lost.or(Some(at)) };
        Box::new(build(items, false, lost, &at.field("items"), problems))
    });
    schema.constraints = constraints(props);
    if is_root {
        implied::at_root(&mut schema);
    } else if props.embedded_resource {
        implied::in_embedded(&mut schema);
    }
    let above = at.field("x-kubernetes-validations");
    for (index, source) in props.rules.iter().enumerate() {
        if let Some(rule) = rule(source, &schema, lost, &above.index(index), problems) {
            schema.constraints.rules.push(Arc::new(rule));
        }
    }
    schema.constraints.below = below(&schema);
    schema
}

/// What the node itself says of structure.
fn structure(props: &Props) -> Schema {
    Schema {
        kind: JsonType::named(&props.kind),
        nullable: props.nullable,
        default: props.default.clone(),
        list_type: match props.list_type.as_deref() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(props.list_map_keys.clone()),
            _ => ListType::Atomic,
        },
        atomic_map: props.map_type.as_deref() == Some("atomic"),
        preserve_unknown: props.preserve_unknown == Some(true),
        int_or_string: props.int_or_string,
        embedded_resource: props.embedded_resource,
        patch_merge_key: props.patch_merge_key.clone(),
        patch_strategy: props.patch_strategy.clone(),
        ..Schema::default()
    }
}

fn constraints(props: &Props) -> Constraints {
    let kind = JsonType::named(&props.kind).filter(|_| !props.int_or_string);
    let bound = |value: Option<f64>, exclusive| value.map(|value| Bound { value, exclusive });
    Constraints {
        format: Format::supported(&props.format, kind),
        number: NumberRange {
            minimum: bound(props.minimum, props.exclusive_minimum),
            maximum: bound(props.maximum, props.exclusive_maximum),
            multiple_of: props.multiple_of,
        },
        text: TextShape {
            min_length: props.min_length,
            max_length: props.max_length,
            // One that does not compile was told before.
            pattern: if props.pattern.is_empty() { None } else { Pattern::compile(&props.pattern).ok() },
        },
        items: SizeRange { least: props.min_items, most: props.max_items },
        fields: SizeRange { least: props.min_properties, most: props.max_properties },
        required: props.required.clone(),
        allowed: props.allowed.clone(),
        closed: props.additional == Some(Additional::Any(false)),
        junctors: junctors(props),
        steps: u32::try_from(1 + props.allowed.len() + props.required.len()).unwrap_or(u32::MAX),
        ..Constraints::default()
    }
}

fn junctors(props: &Props) -> Option<Box<Junctors>> {
    let built = |schemas: &[Props]| schemas.iter().map(nested).collect::<Vec<_>>();
    let junctors = Junctors {
        all_of: built(&props.all_of),
        any_of: built(&props.any_of),
        one_of: built(&props.one_of),
        not: props.not.as_deref().map(nested),
    };
    let is_empty = junctors.all_of.is_empty()
        && junctors.any_of.is_empty()
        && junctors.one_of.is_empty()
        && junctors.not.is_none();
    (!is_empty).then(|| Box::new(junctors))
}

/// A combined schema, which has no structure of its own.
fn nested(props: &Props) -> Schema {
    let properties =
        props.properties.iter().map(|(name, property)| (name.clone(), Box::new(nested(property))));
    Schema {
        properties: properties.collect(),
        items: props.items.as_deref().map(|items| Box::new(nested(items))),
        constraints: constraints(props),
        ..structure(props)
    }
}

fn rule(
    source: &RuleSource,
    schema: &Schema,
    lost: Option<&Place<'_>>,
    at: &Place<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    if !source.field_path.is_empty() && field_path(&source.field_path, schema).is_none() {
        problems.invalid(&at.field("fieldPath"), source.field_path.as_str(), "must be a valid path");
        return None;
    }
    let rule = match Rule::compile(source, schema) {
        Ok(rule) => rule,
        Err((part, error)) => {
            let (value, what) = match part {
                "rule" => (&source.rule, "compilation failed"),
                _ => (&source.message_expression, "messageExpression compilation failed"),
            };
            let value = Value::from(value.as_str());
            problems
                .add(|| FieldError::invalid(at.field(part).bracketed(), value, format!("{what}: {error}")));
            return None;
        }
    };
    if let (true, Some(lost)) = (rule.uses_old_self, lost) {
        let lost = match lost.bracketed() {
            path if path.is_empty() => "<nil>".to_owned(),
            path => path,
        };
        let words =
            format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {lost}");
        problems.invalid(&at.field("rule"), source.rule.as_str(), &words);
    } else if let (false, Some(optional)) = (rule.uses_old_self, source.optional_old_self) {
        let words = "may not be set if oldSelf is not used in rule";
        problems.invalid(&at.field("optionalOldSelf"), optional, words);
    }
    Some(rule)
}

/// What a node and the nodes below it hold.
pub(super) fn below(schema: &Schema) -> Below {
    let own = Below {
        keyed_lists: schema.list_type != ListType::Atomic && !schema.implied,
        embedded: schema.embedded_resource,
        rules: !schema.constraints.rules.is_empty(),
    };
    let declared = schema.properties.values().map(Box::as_ref).filter(|property| !property.implied);
    let children = declared.chain(schema.additional.as_deref()).chain(schema.items.as_deref());
    children.fold(own, |all, child| all.or(child.constraints.below))
}
