//! Accessors of timestamps, in UTC or a fixed offset, and of durations.

use super::{Context, text};
use crate::error::EvalError;
use crate::time::{Civil, parse_zone};
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;

/// A field of the wall clock in the zone given, or UTC.
fn civil<'a>(args: &[Value<'a>], field: impl Fn(&Civil) -> i64) -> Result<Value<'a>, EvalError> {
    let Some(Value::Timestamp(timestamp)) = args.first() else { return Err(EvalError::NoSuchOverload) };
    let offset = if args.len() > 1 { parse_zone(text(args, 1)?)? } else { 0 };
    Ok(Value::Int(field(&timestamp.civil(offset))))
}

/// A field of the wall clock, or of a duration that amount of nanoseconds.
fn clock<'a>(args: &[Value<'a>], unit: i64, field: impl Fn(&Civil) -> i64) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Duration(duration)] => Ok(Value::Int(duration.0 / unit)),
        _ => civil(args, field),
    }
}

pub(crate) fn full_year<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.year)
}

/// From 0, as CEL has it.
pub(crate) fn month<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.month - 1)
}

/// Day of the month from 1.
pub(crate) fn date<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.day)
}

/// Day of the month from 0.
pub(crate) fn day_of_month<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.day - 1)
}

/// From Sunday, 0.
pub(crate) fn day_of_week<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.weekday)
}

/// From 1 January, 0.
pub(crate) fn day_of_year<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    civil(args, |c| c.yearday)
}

pub(crate) fn hours<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    clock(args, 3600 * SECOND, |c| c.hour)
}

pub(crate) fn minutes<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    clock(args, 60 * SECOND, |c| c.minute)
}

pub(crate) fn seconds<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    clock(args, SECOND, |c| c.second)
}

/// Of a duration all of it, as cel-go has it; of a timestamp those past the second.
pub(crate) fn milliseconds<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    clock(args, 1_000_000, |c| i64::from(c.nanos / 1_000_000))
}
