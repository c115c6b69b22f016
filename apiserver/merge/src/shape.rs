//! How a value merges: the view of a structural schema that ownership needs.
//!
//! Follows `k8s.io/kube-openapi/pkg/schemaconv`, which turns schemas into those of structured-merge-diff, with one
//! difference: it is total. A value of another type than its schema says is one leaf, and an undeclared field is
//! treated as if unknown fields were preserved, so that objects older than their schema still merge.

use crate::MAX_DEPTH;
use crate::fieldset::Element;
use hypermesh_structural::{JsonType, ListType, Schema};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The type at some place of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type<'a> {
    /// Described by a schema.
    Declared {
        schema: &'a Schema,
        /// Unknown fields are preserved here because a schema above says so.
        preserve: bool,
        /// A whole object, with `apiVersion`, `kind` and `metadata`.
        resource: bool,
    },
    /// Not described: maps are granular, lists atomic.
    Deduced,
    /// One value, whatever it is.
    Opaque,
}

/// How a value at some place merges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// As a whole.
    Leaf,
    /// Field by field.
    Map,
    /// Item by item.
    List(Items<'a>),
}

/// The items of a set or list map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items<'a> {
    /// Names of the keys; none for a set.
    keys: &'a [String],
    schema: Option<&'a Schema>,
    pub(crate) item: Type<'a>,
}

/// Why an item cannot be told apart from others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemError {
    #[error("associative list with keys may not have a null element")]
    NullItem,
    #[error("associative list with keys may not have non-map elements")]
    NotAMap,
    #[error(
        "associative list with keys has an element that omits all key fields {0:?} \
         (and doesn't have default values for any key fields)"
    )]
    NoKeys(Vec<String>),
    #[error("associative list without keys has an element that's a map type")]
    MapInSet,
    #[error("not supported: associative list with lists as elements")]
    ListInSet,
    #[error("associative list without keys has an element that's an explicit null")]
    NullInSet,
}

impl<'a> Type<'a> {
    /// The type of a whole object.
    pub(crate) fn root(schema: &'a Schema) -> Self {
        Self::Declared { schema, preserve: schema.preserve_unknown, resource: true }
    }

    fn of(schema: &'a Schema, preserve: bool) -> Self {
        Self::Declared {
            schema,
            preserve: preserve || schema.preserve_unknown,
            resource: schema.embedded_resource,
        }
    }

    pub(crate) fn schema(self) -> Option<&'a Schema> {
        match self {
            Self::Declared { schema, .. } => Some(schema),
            Self::Deduced | Self::Opaque => None,
        }
    }

    /// How `value` merges here, `depth` levels below the root.
    pub(crate) fn form(self, value: &Value, depth: usize) -> Form<'a> {
        if depth >= MAX_DEPTH {
            return Form::Leaf;
        }
        let (schema, resource) = match self {
            Self::Opaque => return Form::Leaf,
            Self::Deduced => {
                return if value.is_object() || value.is_null() { Form::Map } else { Form::Leaf };
            }
            Self::Declared { schema, resource, .. } => (schema, resource),
        };
        match (schema.kind, value) {
            (Some(JsonType::Object) | None, Value::Object(_) | Value::Null)
                if schema.atomic_map && !resource =>
            {
                Form::Leaf
            }
            (Some(JsonType::Object) | None, Value::Object(_) | Value::Null) => Form::Map,
            (Some(JsonType::Array) | None, Value::Array(_)) | (Some(JsonType::Array), Value::Null) => {
                self.list_form()
            }
            _ => Form::Leaf,
        }
    }

    /// How lists merge here.
    fn list_form(self) -> Form<'a> {
        let Some(schema) = self.schema() else { return Form::Leaf };
        let keys: &[String] = match &schema.list_type {
            ListType::Atomic => return Form::Leaf,
            ListType::Set => &[],
            ListType::Map(keys) => keys,
        };
        Form::List(Items { keys, schema: schema.items.as_deref(), item: self.item() })
    }

    /// Whether maps here are one value.
    pub(crate) fn is_atomic_map(self) -> bool {
        self.schema().is_some_and(|s| s.kind == Some(JsonType::Object) && s.atomic_map)
    }

    /// Whether lists are the only values here, and are one value.
    pub(crate) fn is_atomic_list(self) -> bool {
        self.schema().is_some_and(|s| s.kind == Some(JsonType::Array) && s.list_type == ListType::Atomic)
    }

    /// The type of a list's items.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Declared { schema, preserve, .. } => {
                schema.items.as_deref().map_or(Self::Opaque, |items| Self::of(items, preserve))
            }
            Self::Deduced | Self::Opaque => Self::Opaque,
        }
    }

    /// The type of a field; `None` where the schema knows no such field.
    pub(crate) fn known_field(self, name: &str) -> Option<Self> {
        let (schema, preserve, resource) = match self {
            Self::Declared { schema, preserve, resource } => (schema, preserve, resource),
            other => return Some(other),
        };
        match name {
            "apiVersion" | "kind" if resource => return Some(Self::Opaque),
            "metadata" if resource => return Some(Self::of(&OBJECT_META, false)),
            _ => {}
        }
        if let Some(field) = schema.properties.get(name) {
            return Some(Self::of(field, preserve));
        }
        match &schema.additional {
            Some(additional) => Some(Self::of(additional, preserve)),
            None if preserve || is_free(schema) => Some(Self::Deduced),
            None => None,
        }
    }

    /// The type of a field, as if unknown fields were preserved everywhere.
    pub(crate) fn field(self, name: &str) -> Self {
        self.known_field(name).unwrap_or(Self::Deduced)
    }

    /// Whether the schema names this field, as opposed to allowing any.
    pub(crate) fn names(self, field: &str) -> bool {
        match self {
            Self::Declared { schema, resource, .. } => {
                schema.properties.contains_key(field)
                    || (resource && matches!(field, "apiVersion" | "kind" | "metadata"))
            }
            Self::Deduced | Self::Opaque => false,
        }
    }
}

impl Items<'_> {
    /// What tells `item` apart.
    pub(crate) fn element(&self, item: &Value) -> Result<Element, ItemError> {
        if self.keys.is_empty() {
            return match item {
                Value::Object(_) => Err(ItemError::MapInSet),
                Value::Array(_) => Err(ItemError::ListInSet),
                Value::Null => Err(ItemError::NullInSet),
                scalar => Ok(Element::Value(scalar.clone())),
            };
        }
        let map = match item {
            Value::Object(map) => map,
            Value::Null => return Err(ItemError::NullItem),
            _ => return Err(ItemError::NotAMap),
        };
        let keys: Vec<(Box<str>, Value)> = self
            .keys
            .iter()
            .filter_map(|name| Some((name.as_str().into(), self.key(map, name)?.clone())))
            .collect();
        if keys.is_empty() {
            return Err(ItemError::NoKeys(self.keys.to_vec()));
        }
        Ok(Element::key(keys))
    }

    /// The value of a key, or its default. A key with neither is left out, and that tells items apart too.
    fn key<'v>(&'v self, item: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
        let default = || self.schema?.properties.get(name)?.default.as_ref();
        item.get(name).or_else(default)
    }

    /// What tells each item apart; `None` if one cannot be told apart.
    pub(crate) fn elements(&self, items: &[Value]) -> Option<Vec<Element>> {
        items.iter().map(|item| self.element(item).ok()).collect()
    }
}

/// Declares no field, and so allows any.
fn is_free(schema: &Schema) -> bool {
    schema.properties.values().all(|property| property.implied)
}

/// `metadata`, as `meta/v1` ObjectMeta declares it. A kind's own schema of `metadata` constrains it and no more.
static OBJECT_META: LazyLock<Schema> = LazyLock::new(hypermesh_structural::object_meta);
