//! Value validations and rules of one schema node.

/// What a value must satisfy beyond its type.
#[derive(Clone, Debug, Default)]
pub struct Constraints {}
