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
    /// `properties`. Boxed: a leaf of the map has room for eleven values, used or not.
    pub properties: BTreeMap<String, Box<Schema>>,
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
    /// Not declared but implied by being a Kubernetes object: `apiVersion`, `kind` and `metadata` at the root, with
    /// what of ObjectMeta is not declared. Merging needs their types; defaulting, pruning and validation leave them to
    /// whoever owns ObjectMeta.
    pub implied: bool,
    /// Value validations and rules.
    pub constraints: crate::constraints::Constraints,
}

impl Schema {
    /// The schema of a field of this object: a property, or else that of additional properties.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_ref()).map(Box::as_ref)
    }

    /// The node at a path of names from here; a list is passed by `[]`.
    ///
    /// ```
    /// # use hypermesh_structural::Schema;
    /// # let raw = serde_json::json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
    /// #     "ports": {"type": "array", "items": {"type": "integer"}}}}}});
    /// # let schema = Schema::compile(&raw).unwrap_or_default();
    /// assert!(schema.at(["spec", "ports", "[]"]).is_some());
    /// assert!(schema.at(["spec", "colour"]).is_none());
    /// ```
    pub fn at<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |node, name| match (name, node.items.as_deref()) {
            ("[]", Some(items)) => Some(items),
            _ => node.child(name),
        })
    }

    /// The schema of a field, unless it is only implied.
    pub(crate) fn declared(&self, name: &str) -> Option<&Self> {
        match self.properties.get(name) {
            Some(property) if property.implied => None,
            Some(property) => Some(property),
            None => self.additional.as_deref(),
        }
    }

    /// The type or types as messages name them; nothing where any type will do.
    pub(crate) fn type_names(&self) -> Option<&'static str> {
        if self.int_or_string { Some("integer,string") } else { self.kind.map(JsonType::name) }
    }

    /// The type as rules' messages show it: empty where none is declared.
    pub(crate) fn type_name(&self) -> &'static str {
        self.kind.map_or("", JsonType::name)
    }
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

impl JsonType {
    /// All of them, by name.
    pub(crate) const ALL: [Self; 6] =
        [Self::Array, Self::Boolean, Self::Integer, Self::Number, Self::Object, Self::String];

    /// The name in schemas and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// The type of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
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
