//! Functions that several types share a name for.

use super::{Context, length, lists, quantity, semver, strings};
use crate::error::EvalError;
use crate::value::{Extension, Value};

/// `size` of strings (code points), bytes, lists and maps.
pub(crate) fn size<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::String(text)] => {
            context.meter.scan(text.len())?;
            Ok(length(text.chars().count()))
        }
        [Value::Bytes(bytes)] => Ok(length(bytes.len())),
        [Value::List(list)] => Ok(length(list.len())),
        [Value::Map(map)] => Ok(length(map.len())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// `indexOf` of strings and lists.
pub(crate) fn index_of<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args.first() {
        Some(Value::String(_)) => strings::index_of(context, args),
        _ => lists::index_of(context, args),
    }
}

/// `lastIndexOf` of strings and lists.
pub(crate) fn last_index_of<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    match args.first() {
        Some(Value::String(_)) => strings::last_index_of(context, args),
        _ => lists::last_index_of(context, args),
    }
}

/// `reverse` of strings and lists.
pub(crate) fn reverse<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args.first() {
        Some(Value::String(_)) => strings::reverse(context, args),
        _ => lists::reverse(context, args),
    }
}

fn compared(args: &[Value<'_>]) -> Result<std::cmp::Ordering, EvalError> {
    match args {
        [Value::Extension(Extension::Quantity(a)), Value::Extension(Extension::Quantity(b))] => {
            Ok(quantity::compare(a, b))
        }
        [Value::Extension(Extension::Semver(a)), Value::Extension(Extension::Semver(b))] => {
            Ok(semver::compare(a, b))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// `isGreaterThan` of quantities and versions.
pub(crate) fn is_greater_than<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(compared(args)?.is_gt()))
}

/// `isLessThan` of quantities and versions.
pub(crate) fn is_less_than<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(compared(args)?.is_lt()))
}

/// `compareTo` of quantities and versions: -1, 0 or 1.
pub(crate) fn compare_to<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Int(compared(args)? as i64))
}
