//! The three patches of the Kubernetes API that do not record who owns what: JSON patch (RFC 6902), merge patch
//! (RFC 7386) and strategic merge patch (`k8s.io/apimachinery/pkg/util/strategicpatch`).
//!
//! A patch applies as a whole or not at all, and its work is bounded: what a patch of a few megabytes may cost on
//! every replica must not exceed what its size suggests.

mod budget;
mod element_order;
mod json;
mod merge;
mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic;

/// Levels of nesting that a patched object may have, so that it can be read back with room for an envelope.
pub const MAX_NESTING: usize = 120;

/// The most operations of a JSON patch (upstream's `maxJSONPatchOperations`).
pub const MAX_OPERATIONS: usize = 10_000;

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400: not a patch of this type.
    #[error("{0}")]
    Malformed(String),
    /// 413: more than [`MAX_OPERATIONS`].
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooManyOperations(usize),
    /// 422: a `test` operation found another value.
    #[error("operation {operation}: testing value {path} failed")]
    TestFailed {
        /// Index of the operation.
        operation: usize,
        /// Its JSON pointer.
        path: String,
    },
    /// 422: the patch does not fit the object.
    #[error("operation {operation}: {path:?}: {reason}")]
    Inapplicable {
        /// Index of the operation.
        operation: usize,
        /// The JSON pointer that cannot be followed.
        path: String,
        /// What is in the way.
        reason: &'static str,
    },
    /// 422: applying it would copy, move or nest too much.
    #[error("operation {operation}: {reason}")]
    TooCostly {
        /// Index of the operation.
        operation: usize,
        /// Which bound it exceeds.
        reason: &'static str,
    },
}

impl PatchError {
    /// The HTTP status code of the refusal.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooManyOperations(_) => 413,
            Self::TestFailed { .. } | Self::Inapplicable { .. } | Self::TooCostly { .. } => 422,
        }
    }
}

#[cfg(test)]
mod tests;
