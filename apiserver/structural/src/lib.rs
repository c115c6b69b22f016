//! Structural schemas: validation, defaulting, pruning and rules over JSON values.
//!
//! Pure and deterministic: no clock, no randomness, no unordered iteration; budgets are counted, never timed. Walks
//! recurse along the schema, whose depth is bounded when it is compiled; values are expected to be no deeper than
//! serde_json parses (128 levels).
//!
//! Semantics and words are those of Kubernetes 1.36 for custom resources (`k8s.io/apiextensions-apiserver`,
//! `k8s.io/kube-openapi/pkg/validation`), the few departures being named where they are made.

pub mod constraints;
pub mod schema;

mod compile;
mod defaults;
mod embedded;
mod findings;
mod formats;
mod keyed_lists;
mod number;
mod pattern;
mod place;
mod prune;
mod rules;
mod same;
mod validate;

pub use compile::{SchemaError, object_meta};
pub use embedded::EmbeddedResource;
pub use hypermesh_cel::{Budget, TOTAL_LIMIT as RULE_BUDGET};
pub use schema::{JsonType, ListType, Schema};
pub use validate::MOST_ERRORS;
