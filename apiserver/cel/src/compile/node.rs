//! The lowered expression: what evaluation walks.
//!
//! Invariants: every variable and local is a valid position, every call has a number of arguments its
//! function takes, and no path from the root is longer than [`crate::MAX_DEPTH`].

use std::sync::Arc;

use crate::library::regex::Pattern;
use crate::library::{Call, RegexCall};
use crate::value::{Text, Type, Value};

pub(crate) enum Node {
    Literal(Literal),
    /// A variable of the program, by its position among the declared ones.
    Variable(usize),
    /// A comprehension's or binding's variable, by its position on the stack of locals.
    Local(usize),
    Select(Box<Select>),
    Index(Box<Index>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Conditional(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    Call(Call, Vec<Node>),
    /// A regular expression function whose pattern is a literal, compiled with the program.
    Regex(RegexCall, Arc<Pattern>, Vec<Node>),
    Fold(Box<Fold>),
    Bind(Box<Bind>),
    OptionalMap(Box<OptionalMap>),
}

pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Arc<[u8]>),
    Type(Type),
}

impl Literal {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(value) => Value::String(Text::Borrowed(value)),
            Self::Bytes(value) => Value::Bytes(Arc::clone(value)),
            Self::Type(value) => Value::Type(*value),
        }
    }
}

/// `operand.field`, `operand.?field` or `has(operand.field)`.
pub(crate) struct Select {
    pub(crate) operand: Node,
    pub(crate) field: Box<str>,
    pub(crate) access: Access,
    /// Where the field's name stands in the source, in bytes.
    pub(crate) at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A missing field is an error.
    Plain,
    /// A missing field is an absent optional.
    Optional,
    /// Whether the field is there.
    Test,
}

/// `operand[index]` or `operand[?index]`.
pub(crate) struct Index {
    pub(crate) operand: Node,
    pub(crate) index: Node,
    pub(crate) optional: bool,
}

pub(crate) struct Element {
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
}

/// A comprehension over a list or map.
pub(crate) struct Fold {
    pub(crate) kind: FoldKind,
    pub(crate) range: Node,
    /// Whether it binds two variables (index or key, and value) rather than one.
    pub(crate) pairs: bool,
    /// Position of its first variable on the stack of locals.
    pub(crate) slot: usize,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `filter`, `transformList`: a list of the bodies.
    List,
    /// `transformMap`: the bodies under the keys they came from.
    Map,
    /// `transformMapEntry`: the union of the bodies, which are maps.
    Entries,
    /// `sortBy`: the elements in the order of their bodies.
    SortBy,
}

/// `cel.bind(name, value, body)`.
pub(crate) struct Bind {
    pub(crate) slot: usize,
    pub(crate) value: Node,
    pub(crate) body: Node,
}

/// `optional.optMap(name, body)` and `optFlatMap`.
pub(crate) struct OptionalMap {
    pub(crate) operand: Node,
    pub(crate) slot: usize,
    pub(crate) body: Node,
    /// Whether the body is itself an optional.
    pub(crate) flat: bool,
}
