//! Label and field selectors.
//!
//! Syntax, order and error texts are those of `k8s.io/apimachinery/pkg/{labels,fields}`.

mod field_selector;
mod label;
mod label_parser;

pub use field_selector::{FieldRequirement, FieldSelector};
pub use label::{LabelOperator, LabelRequirement, LabelSelector};

/// A selector that does not parse. Its text is what the 400 says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);
