//! Kubernetes API conventions as types: statuses, field errors, request attributes, options, selectors.
//!
//! Pure: no I/O, no clock. The vocabulary that the pipeline, the wire and the clients share.

pub mod field;
pub mod json;
pub mod legacy_watch;
pub mod name;
pub mod options;
pub mod printed;
pub mod query;
pub mod request;
pub mod selector;
pub mod status;

pub use field::{FieldError, FieldErrorKind};
pub use json::{JsonError, check_json, decode_json, duplicate_field};
pub use options::{
    DeleteOptions, FieldValidation, GetOptions, ListOptions, Preconditions, Propagation, VersionMatch,
    WriteKind, WriteOptions,
};
pub use query::Query;
pub use request::{NonResource, RequestInfo, Target, Verb};
pub use selector::{
    FieldRequirement, FieldSelector, LabelOperator, LabelRequirement, LabelSelector, SelectorError,
};
pub use status::{Cause, Details, ListMeta, Status, Subject};
