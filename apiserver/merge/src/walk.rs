//! Walks over values by their types: which fields a value has, how two differ, how they merge.

mod check;
mod compare;
mod fields;
mod merge;
mod reconcile;
mod remove;

pub(crate) use check::check;
pub use compare::Comparison;
pub(crate) use compare::compare_typed;
pub(crate) use fields::{every_field, owned_fields};
pub(crate) use merge::merge;
pub(crate) use reconcile::{name_members, reconcile};
pub(crate) use remove::remove;

use crate::fieldset::FieldSet;
use crate::shape::Type;
use hypermesh_structural::Schema;
use serde_json::Value;

/// How `new` differs from `old`, two objects of the kind that `schema` describes.
pub fn compare(schema: &Schema, old: &Value, new: &Value) -> Comparison {
    compare_typed(Type::root(schema), old, new)
}

/// The fields that applying `value` would own: leaves, items, and maps that are empty or not named by the schema.
pub fn to_field_set(schema: &Schema, value: &Value) -> FieldSet {
    owned_fields(Type::root(schema), value)
}

#[cfg(test)]
mod tests;
