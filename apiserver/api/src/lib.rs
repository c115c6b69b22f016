//! Kubernetes API conventions as types: statuses, field errors, request attributes, options, selectors.
//!
//! Pure: no I/O, no clock. The vocabulary that the pipeline, the wire and the clients share.

pub mod field;
pub mod status;

pub use field::{FieldError, FieldErrorKind};
pub use status::{Cause, Details, ListMeta, Status, Subject};
