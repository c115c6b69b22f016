//! Lists seen as sets. Source: cel-go's `ext.Sets`.

use super::Context;
use crate::compare;
use crate::error::EvalError;
use crate::value::{List, Value};

fn lists<'v, 'a>(args: &'v [Value<'a>]) -> Result<(&'v List<'a>, &'v List<'a>), EvalError> {
    match args {
        [Value::List(a), Value::List(b)] => Ok((a, b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// Whether every element of `subset` is in `list`.
fn covers<'a>(context: &mut Context<'_>, list: &List<'a>, subset: &List<'a>) -> Result<bool, EvalError> {
    for item in subset.iter() {
        if compare::position(&mut context.meter, list, &item?)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn contains<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (list, subset) = lists(args)?;
    covers(context, list, subset).map(Value::Bool)
}

pub(crate) fn equivalent<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (a, b) = lists(args)?;
    Ok(Value::Bool(covers(context, a, b)? && covers(context, b, a)?))
}

pub(crate) fn intersects<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (a, b) = lists(args)?;
    for item in b.iter() {
        if compare::position(&mut context.meter, a, &item?)?.is_some() {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
