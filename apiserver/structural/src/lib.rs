//! Structural schemas: validation, defaulting, pruning and rules over JSON values.
//!
//! Pure and deterministic: no clock, no randomness, no unordered iteration; budgets are counted, never timed.

pub mod constraints;
pub mod schema;

pub use schema::{JsonType, ListType, Schema};
