//! `x-kubernetes-validations`: rules in CEL, and the only place where this crate meets CEL.
//!
//! A rule sees the value of its node as `self` and, on updates, the value before as `oldSelf`. One that looks at
//! `oldSelf` runs only where there is such a value, unless it asks for an optional. Source:
//! `apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`. Types are known to the evaluator by hints, so that
//! what upstream's compiler finds in a rule is here partly found when it runs.

mod program;
mod walk;

pub(crate) use program::{PathStep, Rule, RuleSource, field_path};
pub(crate) use walk::check;

use crate::formats::Format;
use crate::schema::{JsonType, ListType, Schema};
use hypermesh_cel::{Hint, TypeHints};

impl TypeHints for Schema {
    fn kind(&self) -> Hint {
        if self.int_or_string {
            return Hint::IntOrString;
        }
        match self.kind {
            None => Hint::Dyn,
            Some(JsonType::Boolean) => Hint::Bool,
            Some(JsonType::Integer) => Hint::Int,
            Some(JsonType::Number) => Hint::Double,
            Some(JsonType::Object) if self.additional.is_some() && self.properties.is_empty() => Hint::Map,
            Some(JsonType::Object) => Hint::Object,
            Some(JsonType::Array) => match self.list_type {
                ListType::Atomic => Hint::List,
                ListType::Set => Hint::Set,
                ListType::Map(_) => Hint::MapList,
            },
            Some(JsonType::String) => match self.constraints.format {
                Some(Format::Byte) => Hint::Bytes,
                Some(Format::Date | Format::DateTime) => Hint::Timestamp,
                Some(Format::Duration) => Hint::Duration,
                _ => Hint::String,
            },
        }
    }

    fn field(&self, name: &str) -> Option<&dyn TypeHints> {
        // Of the root's ObjectMeta, rules see the names alone.
        if self.implied && !matches!(name, "name" | "generateName") {
            return None;
        }
        self.properties.get(name).map(|schema| schema.as_ref() as &dyn TypeHints)
    }

    fn item(&self) -> Option<&dyn TypeHints> {
        self.items.as_deref().or(self.additional.as_deref()).map(|schema| schema as &dyn TypeHints)
    }

    fn list_keys(&self) -> &[String] {
        match &self.list_type {
            ListType::Map(keys) => keys,
            ListType::Atomic | ListType::Set => &[],
        }
    }
}

#[cfg(test)]
mod tests;
