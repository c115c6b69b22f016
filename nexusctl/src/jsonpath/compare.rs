//! Comparing values in filters.

use super::{Fault, Operator};
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// Whether `left OPERATOR right` holds. Values of different types cannot be compared, since that is mostly a missing or
/// a superfluous pair of quotes.
pub(super) fn holds(
    left: &Value,
    operator: Operator,
    right: &Value,
    place: (usize, usize),
) -> Result<bool, Fault> {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::Bool(left), Value::Bool(right)) if equality(operator) => Some(left.cmp(right)),
        // What is not set equals nothing.
        (Value::Null, _) | (_, Value::Null) => return Ok(operator == Operator::NotEqual && left != right),
        _ => {
            let message = format!("{} cannot be compared with {}", described(left), described(right));
            let fault = Fault::new(message, place);
            return Err(match (left, right) {
                (Value::Number(_), Value::String(_)) => fault.help("leave the quotes out"),
                (Value::String(_), Value::Number(_)) => fault.help("put the number in quotes"),
                (Value::Bool(_), Value::String(_)) => fault.help("write true or false without quotes"),
                _ => fault,
            });
        }
    };
    Ok(match operator {
        Operator::Equal => ordering == Some(Ordering::Equal),
        Operator::NotEqual => ordering != Some(Ordering::Equal),
        Operator::Less => ordering == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Operator::Greater => ordering == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn equality(operator: Operator) -> bool {
    matches!(operator, Operator::Equal | Operator::NotEqual)
}

/// Whole numbers exactly, others as fractions.
pub(crate) fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A value, shortly, in words.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => format!("the truth value {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) => {
            let short: String = text.chars().take(40).collect();
            format!("the text {short:?}{}", if short.len() < text.len() { "…" } else { "" })
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
