//! Arithmetic, comparison and membership.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Evaluated, Evaluation};
use crate::budget::Meter;
use crate::compare;
use crate::compile::node::{Node, Operator};
use crate::error::EvalError;
use crate::time::Duration;
use crate::value::{Key, Value};

impl<'a> Evaluation<'a, '_> {
    pub(super) fn binary(&mut self, operator: Operator, operands: &'a [Node; 2]) -> Evaluated<'a> {
        let [left, right] = operands;
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        let meter = &mut self.context.meter;
        meter.charge(1)?;
        match operator {
            Operator::Add => add(meter, left, right),
            Operator::Subtract => subtract(&left, &right),
            Operator::Multiply => multiply(&left, &right),
            Operator::Divide => divide(&left, &right),
            Operator::Modulo => modulo(&left, &right),
            Operator::Equal => Ok(Value::Bool(compare::equal(meter, &left, &right)?)),
            Operator::NotEqual => Ok(Value::Bool(!compare::equal(meter, &left, &right)?)),
            Operator::In => Ok(Value::Bool(contains(meter, &left, &right)?)),
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                let ordering = compare::order(meter, &left, &right)?;
                Ok(Value::Bool(holds(operator, ordering)))
            }
        }
    }

    pub(super) fn negate(&mut self, operand: &'a Node) -> Evaluated<'a> {
        let operand = self.eval(operand)?;
        self.context.meter.charge(1)?;
        match operand {
            Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(EvalError::Overflow("integer")),
            Value::Double(value) => Ok(Value::Double(-value)),
            Value::Duration(value) => value
                .0
                .checked_neg()
                .map(|n| Value::Duration(Duration(n)))
                .ok_or(EvalError::Overflow("duration")),
            _ => Err(EvalError::NoSuchOverload),
        }
    }
}

fn holds(operator: Operator, ordering: Option<Ordering>) -> bool {
    match (operator, ordering) {
        // Nothing is less than, equal to or greater than a NaN.
        (_, None) => false,
        (Operator::Less, Some(ordering)) => ordering == Ordering::Less,
        (Operator::LessEqual, Some(ordering)) => ordering != Ordering::Greater,
        (Operator::Greater, Some(ordering)) => ordering == Ordering::Greater,
        (_, Some(ordering)) => ordering != Ordering::Less,
    }
}

fn int<'a>(result: Option<i64>) -> Evaluated<'a> {
    result.map(Value::Int).ok_or(EvalError::Overflow("integer"))
}

fn uint<'a>(result: Option<u64>) -> Evaluated<'a> {
    result.map(Value::UInt).ok_or(EvalError::Overflow("unsigned integer"))
}

fn add<'a>(meter: &mut Meter<'_>, left: Value<'a>, right: Value<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_add(b)),
        (Value::UInt(a), Value::UInt(b)) => uint(a.checked_add(b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            meter.write(a.len() + b.len())?;
            let mut joined = String::with_capacity(a.len() + b.len());
            joined.push_str(&a);
            joined.push_str(&b);
            Ok(Value::text(joined))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.write(a.len() + b.len())?;
            Ok(Value::Bytes(Arc::from([&*a, &*b].concat())))
        }
        (Value::List(a), Value::List(b)) => compare::concatenate(meter, a, &b),
        (Value::Duration(a), Value::Duration(b)) => {
            a.0.checked_add(b.0).map(|n| Value::Duration(Duration(n))).ok_or(EvalError::Overflow("duration"))
        }
        (Value::Timestamp(a), Value::Duration(b)) | (Value::Duration(b), Value::Timestamp(a)) => {
            a.add(b).map(Value::Timestamp)
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn subtract<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_sub(*b)),
        (Value::UInt(a), Value::UInt(b)) => uint(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => {
            a.0.checked_sub(b.0).map(|n| Value::Duration(Duration(n))).ok_or(EvalError::Overflow("duration"))
        }
        (Value::Timestamp(a), Value::Duration(b)) => a.sub(*b).map(Value::Timestamp),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.since(*b).map(Value::Duration),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn multiply<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_mul(*b)),
        (Value::UInt(a), Value::UInt(b)) => uint(a.checked_mul(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn divide<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::UInt(_), Value::UInt(0)) => Err(EvalError::DivideByZero),
        (Value::Int(a), Value::Int(b)) => int(a.checked_div(*b)),
        (Value::UInt(a), Value::UInt(b)) => uint(a.checked_div(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn modulo<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::UInt(_), Value::UInt(0)) => Err(EvalError::ModulusByZero),
        (Value::Int(a), Value::Int(b)) => int(a.checked_rem(*b)),
        (Value::UInt(a), Value::UInt(b)) => uint(a.checked_rem(*b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn contains(meter: &mut Meter<'_>, needle: &Value<'_>, haystack: &Value<'_>) -> Result<bool, EvalError> {
    match haystack {
        Value::List(list) => compare::position(meter, list, needle).map(|found| found.is_some()),
        Value::Map(map) => match Key::lookup(needle) {
            Some(key) => {
                if let Key::String(text) = &key {
                    meter.scan(text.len())?;
                }
                Ok(map.get(&key)?.is_some())
            }
            None => Ok(false),
        },
        _ => Err(EvalError::NoSuchOverload),
    }
}
