//! Field selection, presence tests and indexing, on values and on optionals of them.

use super::{Evaluated, Evaluation};
use crate::compile::node::{Access, Index, Select};
use crate::error::EvalError;
use crate::value::{Key, List, Map, Value};

impl<'a> Evaluation<'a, '_> {
    pub(super) fn select(&mut self, select: &'a Select) -> Evaluated<'a> {
        let operand = self.eval(&select.operand)?;
        // A presence test costs nothing upstream; here no step inside a loop is free.
        self.context.meter.charge(1)?;
        match operand {
            Value::Optional(None) => Ok(absent(select.access)),
            Value::Optional(Some(inner)) => {
                let found = field(&inner, &select.field)?;
                Ok(match select.access {
                    Access::Test => Value::Bool(found.is_some()),
                    Access::Plain | Access::Optional => Value::Optional(found.map(std::sync::Arc::new)),
                })
            }
            operand => {
                let found = field(&operand, &select.field)?;
                match (select.access, found) {
                    (Access::Test, found) => Ok(Value::Bool(found.is_some())),
                    (Access::Optional, found) => Ok(Value::Optional(found.map(std::sync::Arc::new))),
                    (Access::Plain, Some(value)) => Ok(value),
                    (Access::Plain, None) => Err(EvalError::NoSuchKey(select.field.clone())),
                }
            }
        }
    }

    pub(super) fn index(&mut self, index: &'a Index) -> Evaluated<'a> {
        let operand = self.eval(&index.operand)?;
        let key = self.eval(&index.index)?;
        self.context.meter.charge(1)?;
        if let Value::String(key) = &key {
            self.context.meter.scan(key.len())?;
        }
        match operand {
            Value::Optional(None) => Ok(Value::none()),
            Value::Optional(Some(inner)) => Ok(optional(element(&inner, &key)?)),
            operand => match (index.optional, element(&operand, &key)?) {
                (true, found) => Ok(optional(found)),
                (false, Ok(value)) => Ok(value),
                (false, Err(error)) => Err(error),
            },
        }
    }
}

fn absent<'a>(access: Access) -> Value<'a> {
    match access {
        Access::Test => Value::Bool(false),
        Access::Plain | Access::Optional => Value::none(),
    }
}

fn optional<'a>(found: Result<Value<'a>, EvalError>) -> Value<'a> {
    match found {
        Ok(value) => Value::some(value),
        Err(_) => Value::none(),
    }
}

fn field<'a>(operand: &Value<'a>, name: &str) -> Result<Option<Value<'a>>, EvalError> {
    match operand {
        Value::Map(map) => map.field(name),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The element at `key`: the outer error is a misuse, the inner one an absence, which an optional
/// access forgives.
fn element<'a>(operand: &Value<'a>, key: &Value<'a>) -> Result<Result<Value<'a>, EvalError>, EvalError> {
    match operand {
        Value::Map(map) => entry(map, key),
        Value::List(list) => item(list, key),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn entry<'a>(map: &Map<'a>, key: &Value<'a>) -> Result<Result<Value<'a>, EvalError>, EvalError> {
    let Some(found) = Key::lookup(key) else {
        return match key {
            Value::Double(value) => Ok(Err(EvalError::NoSuchKey(value.to_string().into()))),
            other => Err(EvalError::UnsupportedKeyType(other.type_name())),
        };
    };
    Ok(match map.get(&found)? {
        Some(value) => Ok(value),
        None => Err(EvalError::NoSuchKey(short(&found).into())),
    })
}

fn item<'a>(list: &List<'a>, key: &Value<'a>) -> Result<Result<Value<'a>, EvalError>, EvalError> {
    let index = match Key::lookup(key) {
        Some(Key::Int(index)) => index,
        Some(Key::UInt(index)) => i64::try_from(index).unwrap_or(i64::MAX),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let found = match usize::try_from(index) {
        Ok(index) => list.get(index)?,
        Err(_) => None,
    };
    Ok(found.ok_or(EvalError::IndexOutOfRange(index)))
}

fn short(key: &Key<'_>) -> String {
    let text = key.to_string();
    match text.char_indices().nth(128) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
