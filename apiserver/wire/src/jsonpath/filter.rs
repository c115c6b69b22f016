//! Filters: `@.type=="Ready"`, `@.count>=3`, `@.name`.

use super::JsonPath;
use serde_json::Value;
use std::cmp::Ordering;

/// A condition on an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub left: Operand,
    /// `None`: the left side must exist.
    pub test: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// Below the element.
    Path(JsonPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operand {
    fn value<'a>(&'a self, element: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.first(element),
            Self::Literal(value) => Some(value),
        }
    }
}

impl Filter {
    pub fn accepts(&self, element: &Value) -> bool {
        let left = self.left.value(element);
        let Some((comparison, right)) = &self.test else { return left.is_some() };
        let (Some(left), Some(right)) = (left, right.value(element)) else { return false };
        let ordering = order(left, right);
        match comparison {
            Comparison::Equal => left == right || ordering == Some(Ordering::Equal),
            Comparison::NotEqual => left != right && ordering != Some(Ordering::Equal),
            Comparison::Less => ordering.is_some_and(Ordering::is_lt),
            Comparison::LessOrEqual => ordering.is_some_and(Ordering::is_le),
            Comparison::Greater => ordering.is_some_and(Ordering::is_gt),
            Comparison::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
        }
    }
}

/// Numbers and strings have an order among their own.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}
