//! Regular expressions in RE2's syntax, run in linear time.
//!
//! The `regex` crate shares RE2's engine family and most of its syntax. Where they differ, patterns are
//! rewritten to mean what RE2 means: `\d`, `\w`, `\s` and `\b` are ASCII, brackets and set operators in
//! a class are literal, `\Q…\E` quotes. Compiled programs are limited in size, so a pattern cannot be
//! made large by counted repetition.

use ::regex::{Regex, RegexBuilder};

use super::{Context, int, text};
use crate::error::EvalError;
use crate::value::{Text, Value};

/// Bytes of memory a compiled program may take.
const PROGRAM_LIMIT: usize = 512 * 1024;
/// Bytes of memory one match may cache; without enough of it matching falls back to a slower engine.
const CACHE_LIMIT: usize = 256 * 1024;
/// Levels groups may nest.
const NEST_LIMIT: u32 = 64;
/// Bytes of a pattern.
const PATTERN_LIMIT: usize = 8 * 1024;

/// A compiled pattern and its weight, which is what running it costs by.
pub(crate) struct Pattern {
    regex: Regex,
    weight: usize,
}

impl Pattern {
    /// Compiles a pattern; the error is one line.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        if source.len() > PATTERN_LIMIT {
            return Err(format!("pattern exceeds {PATTERN_LIMIT} bytes"));
        }
        RegexBuilder::new(&translate(source))
            .size_limit(PROGRAM_LIMIT)
            .dfa_size_limit(CACHE_LIMIT)
            .nest_limit(NEST_LIMIT)
            .octal(false)
            .build()
            .map(|regex| Self { regex, weight: weight(source).max(source.len()) })
            .map_err(|error| match error {
                ::regex::Error::CompiledTooBig(_) => "pattern is too large when compiled".to_owned(),
                // The crate draws the pattern over several lines; its last line says what is wrong.
                other => other
                    .to_string()
                    .lines()
                    .next_back()
                    .map(|line| line.trim().trim_start_matches("error: ").to_owned())
                    .unwrap_or_default(),
            })
    }
}

/// About how many states a pattern compiles to, in bytes of a plain pattern: counted repetitions
/// multiply what they repeat, and classes weigh more than characters. An estimate over the text, so
/// that it does not change with the engine.
fn weight(source: &str) -> usize {
    // For each open group the weight before its last atom, and that of the last atom.
    let mut groups = vec![(0_usize, 0_usize)];
    let mut chars = source.chars().peekable();
    while let Some(first) = chars.next() {
        let atom = match first {
            '(' => {
                groups.push((0, 0));
                continue;
            }
            ')' => {
                let (before, last) = if groups.len() > 1 { groups.pop().unwrap_or_default() } else { (0, 0) };
                before.saturating_add(last)
            }
            '{' => {
                let counts: String = chars.by_ref().take_while(|c| *c != '}').take(16).collect();
                let count =
                    counts.split(',').filter_map(|n| n.trim().parse::<usize>().ok()).max().unwrap_or(1);
                if let Some((_, last)) = groups.last_mut() {
                    *last = last.saturating_mul(count.max(1));
                }
                continue;
            }
            '*' | '+' | '?' | '|' | '^' | '$' => continue,
            '\\' => match chars.next() {
                Some('p' | 'P') => 256,
                _ => 2,
            },
            '[' => {
                let mut escaped = false;
                while let Some(next) = chars.next_if(|next| escaped || *next != ']') {
                    escaped = !escaped && next == '\\';
                }
                chars.next();
                8
            }
            '.' => 8,
            _ => 1,
        };
        if let Some((before, last)) = groups.last_mut() {
            *before = before.saturating_add(*last);
            *last = atom;
        }
    }
    groups.iter().fold(0, |total, (before, last)| total.saturating_add(*before).saturating_add(*last))
}

/// Rewrites RE2 syntax that the crate reads otherwise.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut class = false;
    // Position in the class where a `]` would be literal: right after `[` or `[^`.
    let mut class_start = 0;
    while let Some(first) = rest.chars().next() {
        if first == '\\' {
            let Some(escaped) = rest.chars().nth(1) else {
                out.push('\\');
                break;
            };
            rest = &rest[1 + escaped.len_utf8()..];
            match (escaped, class) {
                ('Q', false) => {
                    let (literal, tail) = rest.split_once("\\E").unwrap_or((rest, ""));
                    out.push_str(&::regex::escape(literal));
                    rest = tail;
                }
                _ => push_escape(&mut out, escaped, class),
            }
            continue;
        }
        rest = &rest[first.len_utf8()..];
        match (first, class) {
            ('[', false) => {
                class = true;
                out.push('[');
                if let Some(tail) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = tail;
                }
                class_start = rest.len();
            }
            (']', true) if rest.len() + 1 != class_start => {
                class = false;
                out.push(']');
            }
            ('[', true) => match rest.strip_prefix(':').and_then(|tail| tail.split_once(":]")) {
                Some((name, tail)) if name.chars().all(|c| c.is_ascii_alphabetic() || c == '^') => {
                    out.push_str(&format!("[:{name}:]"));
                    rest = tail;
                }
                _ => out.push_str("\\["),
            },
            ('&' | '~' | ']', true) => {
                out.push('\\');
                out.push(first);
            }
            ('-', true) if rest.starts_with('-') => out.push_str("-\\"),
            _ => out.push(first),
        }
    }
    out
}

fn push_escape(out: &mut String, escaped: char, class: bool) {
    let set = match escaped {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => "\\t\\n\\f\\r ",
        'b' | 'B' if !class => {
            out.push_str(if escaped == 'b' { "(?-u:\\b)" } else { "(?-u:\\B)" });
            return;
        }
        _ => {
            out.push('\\');
            out.push(escaped);
            return;
        }
    };
    match (escaped.is_ascii_uppercase(), class) {
        (false, true) => out.push_str(set),
        (false, false) => out.push_str(&format!("[{set}]")),
        (true, _) => out.push_str(&format!("[^{set}]")),
    }
}

pub(crate) fn matches<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let pattern = context.pattern(text(args, 1)?)?;
    matches_compiled(context, &pattern, args)
}

/// Whether the pattern is found anywhere in the string.
pub(crate) fn matches_compiled<'a>(
    context: &mut Context<'_>,
    pattern: &Pattern,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.regex(subject.len(), pattern.weight)?;
    Ok(Value::Bool(pattern.regex.is_match(subject)))
}

pub(crate) fn find<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let pattern = context.pattern(text(args, 1)?)?;
    find_compiled(context, &pattern, args)
}

/// The first match, or the empty string.
pub(crate) fn find_compiled<'a>(
    context: &mut Context<'_>,
    pattern: &Pattern,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.regex(subject.len(), pattern.weight)?;
    Ok(match pattern.regex.find(subject) {
        Some(found) => {
            context.meter.write(found.len())?;
            Value::String(subject.slice(found.range()))
        }
        None => Value::String(Text::Borrowed("")),
    })
}

pub(crate) fn find_all<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let pattern = context.pattern(text(args, 1)?)?;
    find_all_compiled(context, &pattern, args)
}

/// All matches that do not overlap; at most the third argument, if it is not negative.
pub(crate) fn find_all_compiled<'a>(
    context: &mut Context<'_>,
    pattern: &Pattern,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    let limit = if args.len() > 2 { int(args, 2)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    context.meter.regex(subject.len(), pattern.weight)?;
    let mut items = Vec::new();
    for found in pattern.regex.find_iter(subject).take(limit) {
        // A search may look far past the match it returns, so that all of them together are quadratic.
        let rest = subject.len().saturating_sub(found.end());
        context.meter.grow(1 + rest / 1000, items.len() + 1)?;
        context.meter.write(found.len())?;
        items.push(Value::String(subject.slice(found.range())));
    }
    Ok(Value::list(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_re2_means() {
        for (pattern, subject, expected) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "١٢٣", false),
            (r"^\w+$", "é", false),
            (r"^[\w-]+$", "a-b_c", true),
            (r"^[^\s]+$", "a b", false),
            (r"^[\D]$", "1", false),
            (r"^[a[b]+$", "a[b", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name", true),
            (r"^[+--]+$", "+,-", true),
        ] {
            assert_eq!(
                Pattern::compile(pattern).unwrap().regex.is_match(subject),
                expected,
                "{pattern} {subject}"
            );
        }
    }

    #[test]
    fn patterns_are_limited() {
        for pattern in ["(", "a{1000}{1000}", "\\", "[a", "(?=x)", "\\1"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::compile(&"(".repeat(10_000)).is_err());
    }
}
