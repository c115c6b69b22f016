//! What compiling and evaluating can fail with, worded as cel-go words it.

use std::fmt;

/// A rule that is not a program: what is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERROR: <input>:{line}:{column}: {message}")]
pub struct CompileError {
    /// What sort of mistake it is.
    pub kind: CompileErrorKind,
    /// Line in the source, from 1.
    pub line: usize,
    /// Column in code points, from 1.
    pub column: usize,
    /// What is wrong, without the position.
    pub message: String,
}

/// The sort of mistake a [`CompileError`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileErrorKind {
    /// The source is longer than [`crate::MAX_SOURCE_BYTES`].
    TooLong,
    /// The expression nests deeper than [`crate::MAX_DEPTH`] or [`crate::MAX_NESTING`].
    TooDeep,
    /// The source is not an expression of the language.
    Syntax,
    /// A variable, type or function that does not exist.
    UndeclaredReference,
    /// A function that exists, with a number of arguments it does not take.
    NoMatchingOverload,
    /// A literal argument that can never be valid: a malformed regular expression, timestamp or duration.
    InvalidLiteral,
    /// A field the schema does not declare, or a field of something that has none.
    UndefinedField,
    /// Something the language has and this dialect does not: message construction.
    Unsupported,
}

/// An evaluation that yields no value.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalError {
    /// A map or object lacks this key.
    NoSuchKey(Box<str>),
    /// The schema declares no property of this name.
    NoSuchField(Box<str>),
    /// A variable of the program was not bound.
    NoSuchAttribute(Box<str>),
    /// An operator or function applied to types it is not defined for.
    NoSuchOverload,
    /// Division by integer zero.
    DivideByZero,
    /// Remainder by integer zero.
    ModulusByZero,
    /// A result outside its type; holds the type (`integer`, `unsigned integer`, `duration`, `timestamp`).
    Overflow(&'static str),
    /// A list index outside the list.
    IndexOutOfRange(i64),
    /// A value that cannot become another type.
    InvalidConversion(Box<str>),
    /// An argument a function does not accept.
    InvalidArgument(Box<str>),
    /// A value of a type that cannot be a map key.
    UnsupportedKeyType(&'static str),
    /// A map literal or comprehension that gives one key twice.
    DuplicateKey(Box<str>),
    /// `value()` of an absent optional.
    EmptyOptional,
    /// The cost limit of this evaluation, or what was left of the budget, is spent.
    BudgetExceeded,
    /// A string or collection larger than any value may be.
    TooLarge {
        /// The most there may be.
        limit: usize,
        /// Of what: `bytes` or `elements`.
        unit: &'static str,
    },
    /// A value nested deeper than [`crate::MAX_VALUE_DEPTH`].
    TooDeep,
    /// The program's result is not of the type asked for.
    UnexpectedResult {
        /// The type asked for.
        wanted: &'static str,
        /// The type of the result.
        got: &'static str,
    },
}

impl EvalError {
    /// Whether `&&`, `||`, `all` and `exists` may not absorb it: the limits hold whatever the other
    /// operand says.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::BudgetExceeded | Self::TooLarge { .. } | Self::TooDeep)
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::InvalidArgument(message.into().into_boxed_str())
    }

    pub(crate) fn conversion(message: impl Into<String>) -> Self {
        Self::InvalidConversion(message.into().into_boxed_str())
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey(key) => write!(f, "no such key: {key}"),
            Self::NoSuchField(name) => write!(f, "undefined field '{name}'"),
            Self::NoSuchAttribute(name) => write!(f, "no such attribute(s): {name}"),
            Self::NoSuchOverload => f.write_str("no such overload"),
            Self::DivideByZero => f.write_str("division by zero"),
            Self::ModulusByZero => f.write_str("modulus by zero"),
            Self::Overflow(what) => write!(f, "{what} overflow"),
            Self::IndexOutOfRange(index) => write!(f, "index out of bounds: {index}"),
            Self::InvalidConversion(message) | Self::InvalidArgument(message) => f.write_str(message),
            Self::UnsupportedKeyType(name) => write!(f, "unsupported key type: {name}"),
            Self::DuplicateKey(key) => write!(f, "failed with repeated key: {key}"),
            Self::EmptyOptional => f.write_str("optional.none() dereference"),
            Self::BudgetExceeded => f.write_str("operation cancelled: actual cost limit exceeded"),
            Self::TooLarge { limit, unit } => write!(f, "value exceeds the limit of {limit} {unit}"),
            Self::TooDeep => write!(f, "value nests deeper than {} levels", crate::MAX_VALUE_DEPTH),
            Self::UnexpectedResult { wanted, got } => {
                write!(f, "expression evaluates to {got}, not {wanted}")
            }
        }
    }
}

impl std::error::Error for EvalError {}
