//! Server-side apply with managed fields, and the patches of the Kubernetes API.
//!
//! Job: given a live object and what a client sent, compute the new object and who owns which of its fields. The
//! semantics are those of `sigs.k8s.io/structured-merge-diff/v6` and of `k8s.io/apimachinery/pkg/util/managedfields`.
//!
//! It must not validate values against a schema, store anything, or read a clock: the time of an entry is an argument.
//! Invariants: every function is total over hostile input (recursion is bounded by [`MAX_DEPTH`]), and the same
//! arguments give the same bytes on every replica.

mod apply;
mod context;
mod created;
pub mod fieldset;
mod last_applied;
mod managed;
pub mod patch;
mod shape;
mod track;
mod value;
mod walk;

pub use apply::{ApplyError, apply, apply_stored};
pub use context::Context;
pub use created::write_created;
pub use fieldset::{Element, FieldSet, FieldsError, Path};
pub use track::{TrackError, track_stored, track_update};
pub use walk::{Comparison, compare, to_field_set};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

/// Levels below an object's root at which fields are still told apart; what lies deeper merges as one value.
///
/// `FieldsV1` repeats the nesting of the object four levels down in `metadata`, and must stay below the 127 levels at
/// which `serde_json` refuses to read an object back.
pub const MAX_DEPTH: usize = 100;
