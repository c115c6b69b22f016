//! CEL over ordered values with metered cost; the parser is the `cel` crate's.
//!
//! A [`Program`] is compiled once from a rule's source and evaluated many times against JSON
//! documents. The crate exists because a validation rule runs inside a replicated state machine:
//! every replica must come to the same verdict, the same error text and the same cost, whatever the
//! machine. Hence its invariants:
//!
//! * evaluation reads nothing but its arguments: no clock, no randomness, no time-zone database, no
//!   iteration over hash maps;
//! * every step is charged to a [`Budget`] before the work is done, by the table in [`budget`];
//! * recursion is bounded at compile time ([`MAX_DEPTH`]) and, over values, at run time
//!   ([`MAX_VALUE_DEPTH`]); no value a rule builds outgrows [`MAX_TEXT_BYTES`] or [`MAX_ITEMS`];
//! * nothing a source or a document holds can panic.
//!
//! What a schema knows and JSON cannot say (that a number is a double, a string a timestamp, a list
//! a set, a property declared) enters through [`TypeHints`].
//!
//! What differs from cel-go on purpose: types are checked when a function runs, not when a rule is
//! compiled (but see [`Program::check`] for fields); list and map literals may mix types; time zones are
//! UTC or a fixed offset, since the names of the IANA database mean what the machine's copy says;
//! `cel.bind` evaluates its value at once. Messages cannot be constructed.
//!
//! Sources: the CEL language definition (github.com/google/cel-spec, `doc/langdef.md`), cel-go's
//! `ext` libraries, and Kubernetes' `k8s.io/apiserver/pkg/cel/library`.

pub mod budget;
mod compare;
mod compile;
mod error;
mod eval;
mod hints;
mod library;
mod program;
mod time;
mod value;

pub use budget::{Budget, PER_CALL_LIMIT, TOTAL_LIMIT};
pub use compile::{MAX_DEPTH, MAX_NESTING, MAX_SOURCE_BYTES};
pub use error::{CompileError, CompileErrorKind, EvalError};
pub use hints::{Hint, TypeHints};
pub use program::{Binding, Presence, Program};
pub use time::{Duration, Timestamp};
pub use value::{Extension, Key, List, MAX_ITEMS, MAX_TEXT_BYTES, MAX_VALUE_DEPTH, Map, Text, Type, Value};

#[cfg(test)]
mod tests;
