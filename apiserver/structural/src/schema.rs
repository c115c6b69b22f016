//! The compiled form of a structural schema.
//!
//! Source: `apiextensions.k8s.io/v1` JSONSchemaProps and its structural subset
//! (`k8s.io/apiextensions-apiserver/pkg/apiserver/schema`).

use serde_json::Value;
use std::collections::BTreeMap;

/// A node of a structural schema. Everything that merging and managed fields need to know of a value's type is here;
/// value validations and rules are in `constraints`.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// JSON type; `None` with `x-kubernetes-int-or-string` or `x-kubernetes-preserve-unknown-fields` alone.
    pub kind: Option<JsonType>,
    /// `nullable`: null is a value of this field.
    pub nullable: bool,
    /// `default`.
    pub default: Option<Value>,
    /// `properties`.
    pub properties: BTreeMap<String, Schema>,
    /// `additionalProperties` as a schema; with `true` it is an unconstrained schema.
    pub additional: Option<Box<Schema>>,
    /// `items`.
    pub items: Option<Box<Schema>>,
    /// How a list merges.
    pub list_type: ListType,
    /// How a map merges (`x-kubernetes-map-type: atomic`).
    pub atomic_map: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded_resource: bool,
    /// `x-kubernetes-patch-merge-key` with `x-kubernetes-patch-strategy: merge` (strategic merge patch only).
    pub patch_merge_key: Option<String>,
    /// `x-kubernetes-patch-strategy`: comma-separated words such as `merge,retainKeys`.
    pub patch_strategy: Option<String>,
    /// Value validations and rules.
    pub constraints: crate::constraints::Constraints,
}

/// JSON types of the structural subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole; the default.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects told apart by the values of these keys.
    Map(Vec<String>),
}
