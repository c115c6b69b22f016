//! Semantic versions (semver.org 2.0.0). Source: Kubernetes' `library/semver.go`.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{Context, text};
use crate::error::EvalError;
use crate::time::clip;
use crate::value::{Extension, Value};

/// A version.
#[derive(Clone, Debug)]
pub struct Semver {
    core: [u64; 3],
    prerelease: Vec<Identifier>,
    written: String,
}

/// A part of a pre-release, in the order the specification gives: numbers before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl PartialEq for Semver {
    /// Build metadata does not count.
    fn eq(&self, other: &Self) -> bool {
        compare(self, other) == Ordering::Equal
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Semver {
    fn parse(source: &str) -> Option<Self> {
        let (rest, build) = match source.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (source, None),
        };
        let (core, prerelease) = match rest.split_once('-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (rest, None),
        };
        let mut parts = core.split('.');
        let core = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
        if parts.next().is_some() || !build.is_none_or(|build| build.split('.').all(is_identifier)) {
            return None;
        }
        let prerelease = match prerelease {
            Some(text) => text.split('.').map(identifier).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self { core, prerelease, written: source.to_owned() })
    }

    /// Parses leniently: a leading `v`, leading zeros, and missing minor and patch are allowed.
    fn parse_normalized(source: &str) -> Option<Self> {
        let source = source.strip_prefix('v').unwrap_or(source);
        let end = source.find(['-', '+']).unwrap_or(source.len());
        let (core, tail) = source.split_at_checked(end)?;
        let mut parts: Vec<String> = core
            .split('.')
            .map(|part| match part.trim_start_matches('0') {
                "" if !part.is_empty() => "0".to_owned(),
                trimmed => trimmed.to_owned(),
            })
            .collect();
        if parts.len() < 3 && !tail.is_empty() {
            return None;
        }
        while parts.len() < 3 {
            parts.push("0".to_owned());
        }
        Self::parse(&(parts.join(".") + tail))
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn identifier(text: &str) -> Option<Identifier> {
    if !is_identifier(text) {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).map(Identifier::Number);
    }
    Some(Identifier::Word(text.to_owned()))
}

/// Precedence: a pre-release comes before its release.
pub(super) fn compare(a: &Semver, b: &Semver) -> Ordering {
    a.core.cmp(&b.core).then_with(|| match (a.prerelease.is_empty(), b.prerelease.is_empty()) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.prerelease.cmp(&b.prerelease),
    })
}

fn parsed(context: &mut Context<'_>, args: &[Value<'_>]) -> Result<Option<Semver>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len())?;
    match args.get(1) {
        None | Some(Value::Bool(false)) => Ok(Semver::parse(subject)),
        Some(Value::Bool(true)) => Ok(Semver::parse_normalized(subject)),
        Some(_) => Err(EvalError::NoSuchOverload),
    }
}

fn receiver<'v>(args: &'v [Value<'_>]) -> Result<&'v Semver, EvalError> {
    match args.first() {
        Some(Value::Extension(Extension::Semver(semver))) => Ok(semver),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn part<'a>(args: &[Value<'a>], index: usize) -> Result<Value<'a>, EvalError> {
    let part = receiver(args)?.core.get(index).copied().unwrap_or_default();
    i64::try_from(part).map(Value::Int).map_err(|_| EvalError::Overflow("integer"))
}

pub(crate) fn semver<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match parsed(context, args)? {
        Some(semver) => Ok(Value::Extension(Extension::Semver(Arc::new(semver)))),
        None => Err(EvalError::argument(format!("semver parse error: {}", clip(text(args, 0)?)))),
    }
}

pub(crate) fn is_semver<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(parsed(context, args)?.is_some()))
}

pub(crate) fn major<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(args, 0)
}

pub(crate) fn minor<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(args, 1)
}

pub(crate) fn patch<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(args, 2)
}
