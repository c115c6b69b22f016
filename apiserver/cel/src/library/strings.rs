//! String functions of the language and of cel-go's `ext.Strings`.
//!
//! Positions are code points. What is found in the document's own text is returned as part of it,
//! without copying.

use super::print::{self, Verb};
use super::{Context, int, length, text};
use crate::error::EvalError;
use crate::value::{Text, Value};

pub(crate) fn contains<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, needle) = (text(args, 0)?, text(args, 1)?);
    context.meter.search(subject.len(), needle.len())?;
    Ok(Value::Bool(subject.contains(&**needle)))
}

pub(crate) fn starts_with<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, prefix) = (text(args, 0)?, text(args, 1)?);
    context.meter.scan(prefix.len())?;
    Ok(Value::Bool(subject.starts_with(&**prefix)))
}

pub(crate) fn ends_with<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, suffix) = (text(args, 0)?, text(args, 1)?);
    context.meter.scan(suffix.len())?;
    Ok(Value::Bool(subject.ends_with(&**suffix)))
}

/// The byte offset of code point `index`; `None` past the end.
fn offset(subject: &str, index: usize) -> Option<usize> {
    if subject.is_ascii() {
        return (index <= subject.len()).then_some(index);
    }
    subject.char_indices().map(|(at, _)| at).chain([subject.len()]).nth(index)
}

fn out_of_range(index: i64) -> EvalError {
    EvalError::argument(format!("index out of range: {index}"))
}

/// The byte offset of the code point an argument gives; an error outside the string.
fn checked_offset(subject: &str, index: i64) -> Result<usize, EvalError> {
    usize::try_from(index).ok().and_then(|index| offset(subject, index)).ok_or_else(|| out_of_range(index))
}

/// How many code points precede a byte offset.
fn code_points(subject: &str, offset: usize) -> usize {
    subject.get(..offset).map_or(0, |head| head.chars().count())
}

/// The code point at a position as a string; empty just past the end.
pub(crate) fn char_at<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    let start = checked_offset(subject, int(args, 1)?)?;
    let width = subject.get(start..).and_then(|tail| tail.chars().next()).map_or(0, char::len_utf8);
    Ok(Value::String(subject.slice(start..start + width)))
}

pub(super) fn index_of<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, needle) = (text(args, 0)?, text(args, 1)?);
    context.meter.search(subject.len(), needle.len())?;
    let start = if args.len() > 2 { checked_offset(subject, int(args, 2)?)? } else { 0 };
    let found = subject.get(start..).and_then(|tail| tail.find(&**needle));
    Ok(found.map_or(Value::Int(-1), |at| length(code_points(subject, start + at))))
}

/// The last occurrence that starts no later than the position given, or anywhere.
pub(super) fn last_index_of<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let (subject, needle) = (text(args, 0)?, text(args, 1)?);
    context.meter.search(subject.len(), needle.len())?;
    let latest = if args.len() > 2 { checked_offset(subject, int(args, 2)?)? } else { subject.len() };
    let end = latest.saturating_add(needle.len()).min(subject.len());
    // `end` may fall inside a code point, where no occurrence can end.
    let end = (end..=subject.len()).find(|at| subject.is_char_boundary(*at)).unwrap_or(subject.len());
    let mut found = subject.get(..end).and_then(|head| head.rfind(&**needle));
    if let Some(at) = found
        && at > latest
    {
        found =
            subject.get(..at.saturating_add(needle.len()).saturating_sub(1)).and_then(|h| h.rfind(&**needle));
    }
    Ok(found.map_or(Value::Int(-1), |at| length(code_points(subject, at))))
}

pub(crate) fn substring<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    let start_index = int(args, 1)?;
    let start = checked_offset(subject, start_index)?;
    let end = if args.len() > 2 {
        let end_index = int(args, 2)?;
        if start_index > end_index {
            return Err(EvalError::argument(format!(
                "invalid substring range. start: {start_index}, end: {end_index}"
            )));
        }
        checked_offset(subject, end_index)?
    } else {
        subject.len()
    };
    context.meter.write(end - start)?;
    Ok(Value::String(subject.slice(start..end)))
}

fn rebuilt<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
    build: impl Fn(&str) -> String,
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len())?;
    Ok(Value::text(build(subject)))
}

pub(crate) fn lower_ascii<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    rebuilt(context, args, str::to_ascii_lowercase)
}

pub(crate) fn upper_ascii<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    rebuilt(context, args, str::to_ascii_uppercase)
}

pub(super) fn reverse<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    rebuilt(context, args, |subject| subject.chars().rev().collect())
}

/// Without white space, in Unicode's sense, at either end.
pub(crate) fn trim<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len())?;
    let start = subject.len() - subject.trim_start().len();
    let end = subject.trim_end().len().max(start);
    Ok(Value::String(subject.slice(start..end)))
}

/// The limit of replacements or parts: negative is none.
fn limit(args: &[Value<'_>], index: usize) -> Result<usize, EvalError> {
    if args.len() > index {
        Ok(usize::try_from(int(args, index)?).unwrap_or(usize::MAX))
    } else {
        Ok(usize::MAX)
    }
}

pub(crate) fn replace<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let limit = limit(args, 3)?;
    context.meter.search(subject.len(), old.len())?;
    let count = if old.is_empty() { subject.chars().count() + 1 } else { subject.matches(&**old).count() };
    let count = count.min(limit);
    let total = subject
        .len()
        .saturating_add(count.saturating_mul(new.len()))
        .saturating_sub(count.saturating_mul(old.len()));
    context.meter.write(total)?;
    Ok(Value::text(subject.replacen(&**old, new, count)))
}

pub(crate) fn split<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (subject, separator) = (text(args, 0)?, text(args, 1)?);
    let limit = limit(args, 2)?;
    context.meter.search(subject.len(), separator.len())?;
    context.meter.write(subject.len())?;
    let mut parts = Vec::new();
    let mut start = 0;
    let mut add = |context: &mut Context<'_>, range| {
        context.meter.grow(1, parts.len() + 1)?;
        parts.push(Value::String(subject.slice(range)));
        Ok::<_, EvalError>(parts.len())
    };
    if limit == 0 {
        return Ok(Value::list(parts));
    }
    let mut made = 0;
    while made + 1 < limit {
        let Some(tail) = subject.get(start..) else { break };
        let (end, next) = if separator.is_empty() {
            match tail.chars().next() {
                // The last code point is what remains.
                Some(first) if first.len_utf8() < tail.len() => {
                    (start + first.len_utf8(), start + first.len_utf8())
                }
                _ => break,
            }
        } else {
            match tail.find(&**separator) {
                Some(at) => (start + at, start + at + separator.len()),
                None => break,
            }
        };
        made = add(context, start..end)?;
        start = next;
    }
    if !(separator.is_empty() && subject.is_empty()) {
        add(context, start..subject.len())?;
    }
    Ok(Value::list(parts))
}

pub(crate) fn join<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let Some(Value::List(list)) = args.first() else { return Err(EvalError::NoSuchOverload) };
    let separator = if args.len() > 1 { text(args, 1)?.clone() } else { Text::Borrowed("") };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::String(item) = item? else { return Err(EvalError::NoSuchOverload) };
        let separator = if index == 0 { "" } else { &*separator };
        context.meter.charge(1)?;
        print::append(&mut context.meter, &mut joined, separator)?;
        print::append(&mut context.meter, &mut joined, &item)?;
    }
    Ok(Value::text(joined))
}

/// The string as a literal of the language, in double quotes.
pub(crate) fn quote<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len().saturating_mul(2).saturating_add(2))?;
    let mut out = String::with_capacity(subject.len() + 2);
    out.push('"');
    for c in subject.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    Ok(Value::text(out))
}

/// Fills the verbs of a format (`%s %d %f %e %b %o %x %X`, with a precision) from a list.
pub(crate) fn format<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (template, Some(Value::List(list))) = (text(args, 0)?, args.get(1)) else {
        return Err(EvalError::NoSuchOverload);
    };
    context.meter.scan(template.len())?;
    let mut out = String::new();
    let mut next = 0;
    let mut rest: &str = template;
    while let Some((literal, tail)) = rest.split_once('%') {
        print::append(&mut context.meter, &mut out, literal)?;
        if let Some(tail) = tail.strip_prefix('%') {
            print::append(&mut context.meter, &mut out, "%")?;
            rest = tail;
            continue;
        }
        let (verb, tail) = Verb::parse(tail)?;
        let Some(value) = list.get(next)? else {
            return Err(EvalError::argument(format!("index {next} out of range")));
        };
        next += 1;
        verb.print(&mut context.meter, &mut out, &value)?;
        rest = tail;
    }
    print::append(&mut context.meter, &mut out, rest)?;
    Ok(Value::text(out))
}
