//! CEL over ordered values with metered cost; the parser is the cel crate's.
