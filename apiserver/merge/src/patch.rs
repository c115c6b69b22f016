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

use hypermesh_api::printed;

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
    /// 422: a `test` operation found another value. Which one is not told: who may patch an object need not be allowed
    /// to read it.
    #[error("operation {operation}: test {} failed: {found}", excerpt(path))]
    TestFailed {
        /// Index of the operation.
        operation: usize,
        /// Its JSON pointer.
        path: String,
        /// What is there, by its type.
        found: String,
    },
    /// 422: the patch does not fit the object.
    #[error("operation {operation}: {word} {}: {reason}", excerpt(path))]
    Inapplicable {
        /// Index of the operation.
        operation: usize,
        /// What it does: `replace`.
        word: &'static str,
        /// The JSON pointer that cannot be followed.
        path: String,
        /// What is in the way.
        reason: String,
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

/// A pointer, or a name within it, as a message shows it: what clients make up has any length.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 200;
    if text.len() <= LONGEST {
        return printed::quoted(text);
    }
    format!("{}…", printed::quoted(&text[..text.floor_char_boundary(LONGEST)]))
}

#[cfg(test)]
mod tests;
