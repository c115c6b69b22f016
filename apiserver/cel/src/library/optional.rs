//! Optional values. Source: cel-go's `OptionalTypes`.

use super::Context;
use crate::error::EvalError;
use crate::value::Value;

pub(crate) fn of<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [value] => Ok(Value::some(value.clone())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn none<'a>(_: &mut Context<'_>, _: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::none())
}

/// Absent for the zero value of its type: false, 0, empty, null.
pub(crate) fn of_non_zero_value<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let [value] = args else { return Err(EvalError::NoSuchOverload) };
    let zero = match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::UInt(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(value) => value.is_empty(),
        Value::Bytes(value) => value.is_empty(),
        Value::Duration(value) => value.0 == 0,
        Value::List(value) => value.is_empty(),
        Value::Map(value) => value.is_empty(),
        _ => false,
    };
    Ok(if zero { Value::none() } else { Value::some(value.clone()) })
}

pub(crate) fn has_value<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn value<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Optional(Some(inner))] => Ok(inner.as_ref().clone()),
        [Value::Optional(None)] => Err(EvalError::EmptyOptional),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn or<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [first @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(first.clone()),
        [Value::Optional(None), second @ Value::Optional(_)] => Ok(second.clone()),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn or_value<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Optional(Some(inner)), _] => Ok(inner.as_ref().clone()),
        [Value::Optional(None), fallback] => Ok(fallback.clone()),
        _ => Err(EvalError::NoSuchOverload),
    }
}
