//! The functions rules call, a file a library.
//!
//! A function gets its arguments with the receiver first, in the number its entry in the table of
//! functions allows; it checks their types itself and answers `no such overload` to others. It charges
//! for what it reads before reading it and for what it writes before writing it.

pub(crate) mod convert;
pub(crate) mod format;
pub(crate) mod lists;
pub(crate) mod net;
pub(crate) mod optional;
pub(crate) mod print;
pub(crate) mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
pub(crate) mod sets;
pub(crate) mod shared;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::{Text, Value};
use regex::Pattern;

/// A function's implementation.
pub(crate) type Call = for<'a> fn(&mut Context<'_>, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// The implementation of a regular expression function for a pattern compiled beforehand.
pub(crate) type RegexCall =
    for<'a> fn(&mut Context<'_>, &Pattern, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// What functions may use besides their arguments.
pub(crate) struct Context<'b> {
    pub(crate) meter: Meter<'b>,
    /// Patterns computed and compiled in this evaluation.
    patterns: BTreeMap<Box<str>, Arc<Pattern>>,
}

impl<'b> Context<'b> {
    pub(crate) fn new(meter: Meter<'b>) -> Self {
        Self { meter, patterns: BTreeMap::new() }
    }

    /// The compiled form of a pattern that is not a literal.
    fn pattern(&mut self, source: &str) -> Result<Arc<Pattern>, EvalError> {
        self.meter.scan(source.len())?;
        if let Some(known) = self.patterns.get(source) {
            return Ok(Arc::clone(known));
        }
        let length = u64::try_from(source.len()).unwrap_or(u64::MAX);
        self.meter.charge(length.saturating_mul(10).saturating_add(1000))?;
        let pattern = Pattern::compile(source)
            .map(Arc::new)
            .map_err(|message| EvalError::argument(format!("invalid regular expression: {message}")))?;
        self.patterns.insert(source.into(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// The string among the arguments at `index`.
fn text<'v, 'a>(args: &'v [Value<'a>], index: usize) -> Result<&'v Text<'a>, EvalError> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The integer among the arguments at `index`.
fn int(args: &[Value<'_>], index: usize) -> Result<i64, EvalError> {
    match args.get(index) {
        Some(Value::Int(value)) => Ok(*value),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The length as CEL counts it.
fn length<'a>(length: usize) -> Value<'a> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}
