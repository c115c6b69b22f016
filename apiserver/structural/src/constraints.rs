//! Value validations and rules of one schema node, compiled.
//!
//! What is here constrains values and never their structure: merging, defaulting and pruning do not look at it.

use crate::formats::Format;
use crate::pattern::Pattern;
use crate::rules::Rule;
use crate::schema::Schema;
use serde_json::Value;
use std::sync::Arc;

/// What a value must satisfy beyond its type.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// `format`, if it is one that is supported for the type.
    pub(crate) format: Option<Format>,
    pub(crate) number: NumberRange,
    pub(crate) text: TextShape,
    /// `minItems`, `maxItems`.
    pub(crate) items: SizeRange,
    /// `minProperties`, `maxProperties`.
    pub(crate) fields: SizeRange,
    /// `required`.
    pub(crate) required: Vec<String>,
    /// `enum`; empty allows everything.
    pub(crate) allowed: Vec<Value>,
    /// `additionalProperties: false`.
    pub(crate) closed: bool,
    /// `allOf`, `anyOf`, `oneOf` and `not`, which most nodes do not have.
    pub(crate) junctors: Option<Box<Junctors>>,
    /// An implied node with declared ones below: what a schema may say of `metadata.name` at the root.
    pub(crate) restricted: bool,
    /// `x-kubernetes-validations`.
    pub(crate) rules: Vec<Arc<Rule>>,
    /// What a visit of this node counts for; nothing for one that was not compiled.
    pub(crate) steps: u32,
    /// What the subtree of this node holds, this node included.
    pub(crate) below: Below,
}

/// Schemas combined. They are value validations alone: a structural schema repeats in them nothing of its structure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Junctors {
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Schema>,
}

/// Bounds of a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberRange {
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<f64>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub value: f64,
    pub exclusive: bool,
}

/// Shape of a string; lengths are in characters.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextShape {
    pub min_length: Option<i64>,
    pub max_length: Option<i64>,
    pub pattern: Option<Pattern>,
}

/// Bounds of a count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SizeRange {
    pub least: Option<i64>,
    pub most: Option<i64>,
}

/// What passes may skip a subtree by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Below {
    /// Lists of type set or map.
    pub keyed_lists: bool,
    /// Embedded resources.
    pub embedded: bool,
    /// Rules.
    pub rules: bool,
}

impl Below {
    pub fn or(self, other: Self) -> Self {
        Self {
            keyed_lists: self.keyed_lists || other.keyed_lists,
            embedded: self.embedded || other.embedded,
            rules: self.rules || other.rules,
        }
    }
}
