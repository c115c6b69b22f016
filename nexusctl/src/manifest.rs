//! Manifests: from files to objects whose every field knows its line.
//!
//! Sends nothing. A fault anywhere in any file means that there are no objects at all.

pub mod diagnostic;
pub mod document;
pub mod json;
pub mod node;
pub mod path;
pub mod plan;
pub mod refusal;
pub mod source;
#[cfg(test)]
mod tests;
pub mod yaml;

pub use diagnostic::{Diagnostic, Source};
pub use document::{Document, documents};
pub use node::Span;
pub use path::FieldPath;
pub(crate) use plan::{Judge, unknown_kind};
pub use plan::{Placed, place};
pub use source::{Unread, read_all};
