//! Conversions between types, and the types themselves.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::{Context, print, text};
use crate::error::EvalError;
use crate::time::{Duration, Timestamp, clip};
use crate::value::{Extension, TWO_TO_63, Type, Value};

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn unreadable(subject: &str, wanted: &str) -> EvalError {
    EvalError::conversion(format!("type conversion error from 'string' to '{wanted}': {}", clip(subject)))
}

pub(crate) fn type_of<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [value] => Ok(Value::Type(Type(value.type_name()))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The value itself: types are dynamic here anyway.
pub(crate) fn dynamic<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [value] => Ok(value.clone()),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn int<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(*value)),
        [Value::UInt(value)] => {
            i64::try_from(*value).map(Value::Int).map_err(|_| EvalError::Overflow("integer"))
        }
        #[expect(clippy::cast_possible_truncation, reason = "guarded: the double is within the range")]
        [Value::Double(value)] if value.trunc() >= -TWO_TO_63 && value.trunc() < TWO_TO_63 => {
            Ok(Value::Int(*value as i64))
        }
        [Value::Double(_)] => Err(EvalError::Overflow("integer")),
        [Value::String(subject)] => {
            context.meter.scan(subject.len())?;
            subject.parse().map(Value::Int).map_err(|_| unreadable(subject, "int"))
        }
        [Value::Timestamp(value)] => Ok(Value::Int(value.seconds())),
        [Value::Duration(value)] => Ok(Value::Int(value.0)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn uint<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::UInt(value)] => Ok(Value::UInt(*value)),
        [Value::Int(value)] => {
            u64::try_from(*value).map(Value::UInt).map_err(|_| EvalError::Overflow("unsigned integer"))
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "guarded: the double is within the range"
        )]
        [Value::Double(value)] if value.trunc() >= 0.0 && value.trunc() < TWO_TO_64 => {
            Ok(Value::UInt(*value as u64))
        }
        [Value::Double(_)] => Err(EvalError::Overflow("unsigned integer")),
        [Value::String(subject)] => {
            context.meter.scan(subject.len())?;
            subject.parse().map(Value::UInt).map_err(|_| unreadable(subject, "uint"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn double<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        #[expect(clippy::cast_precision_loss, reason = "the conversion is to the nearest double")]
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        #[expect(clippy::cast_precision_loss, reason = "the conversion is to the nearest double")]
        [Value::UInt(value)] => Ok(Value::Double(*value as f64)),
        [Value::String(subject)] => {
            context.meter.scan(subject.len())?;
            subject.parse().map(Value::Double).map_err(|_| unreadable(subject, "double"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn bool<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(subject)] => match &**subject {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(unreadable(other, "bool")),
        },
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn string<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let printed = match args {
        [Value::String(subject)] => return Ok(Value::String(subject.clone())),
        [Value::Bool(value)] => value.to_string(),
        [Value::Int(value)] => value.to_string(),
        [Value::UInt(value)] => value.to_string(),
        [Value::Double(value)] => print::double(*value),
        [Value::Bytes(bytes)] => {
            context.meter.write(bytes.len())?;
            let valid = std::str::from_utf8(bytes)
                .map_err(|_| EvalError::conversion("invalid UTF-8 in bytes, cannot convert to string"))?;
            return Ok(Value::text(valid));
        }
        [Value::Timestamp(value)] => value.to_string(),
        [Value::Duration(value)] => value.to_string(),
        [Value::Extension(value @ (Extension::Ip(_) | Extension::Cidr(_)))] => value.to_string(),
        _ => return Err(EvalError::NoSuchOverload),
    };
    context.meter.write(printed.len())?;
    Ok(Value::text(printed))
}

pub(crate) fn bytes<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(Arc::clone(bytes))),
        [Value::String(subject)] => {
            context.meter.write(subject.len())?;
            Ok(Value::Bytes(subject.as_bytes().into()))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn duration<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Duration(value)] => Ok(Value::Duration(*value)),
        [Value::Int(nanos)] => Ok(Value::Duration(Duration(*nanos))),
        [Value::String(subject)] => {
            context.meter.scan(subject.len())?;
            Duration::parse(subject).map(Value::Duration)
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn timestamp<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Timestamp(value)] => Ok(Value::Timestamp(*value)),
        [Value::Int(seconds)] => Timestamp::new(*seconds, 0).map(Value::Timestamp),
        [Value::String(subject)] => {
            context.meter.scan(subject.len())?;
            Timestamp::parse(subject).map(Value::Timestamp)
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn base64_encode<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let [Value::Bytes(bytes)] = args else { return Err(EvalError::NoSuchOverload) };
    context.meter.write(bytes.len().saturating_mul(4) / 3 + 4)?;
    Ok(Value::text(STANDARD.encode(bytes)))
}

/// Decodes base64, with or without padding.
pub(crate) fn base64_decode<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len())?;
    STANDARD
        .decode(subject.as_bytes())
        .or_else(|_| STANDARD_NO_PAD.decode(subject.as_bytes()))
        .map(|bytes| Value::Bytes(bytes.into()))
        .map_err(|_| EvalError::argument("illegal base64 data"))
}
