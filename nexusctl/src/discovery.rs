//! What a server serves, and by which names people call it.

pub mod cache;
mod fetch;
mod find;
mod resource;

pub use fetch::fetch;
pub use find::{Unknown, UnknownKind};
pub use resource::{NoPart, Resource, Subresource, Verb};

/// Everything that a server serves, in its order: the core group first, each group's preferred version first.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Discovery {
    /// The kinds.
    pub resources: Vec<Resource>,
}
