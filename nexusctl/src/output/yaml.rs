//! Block-style YAML as kubectl prints it.
//!
//! Lists stand at their key's indentation, text is quoted only where another YAML reader would take it for something
//! else, and text of several lines is a literal block. Unlike kubectl's, long lines are never folded, so that output
//! can be searched. The rules follow `go.yaml.in/yaml/v2` (emitterc.go, resolve.go), which YAML 1.1 readers share.

use serde_json::Value;
use std::fmt::Write as _;

/// A document without its `---`; ends with a line break.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, by: usize) {
    out.extend(std::iter::repeat_n(' ', by));
}

/// `inline`: the first key follows a list's dash, so its indentation is already there.
fn mapping(out: &mut String, map: &serde_json::Map<String, Value>, by: usize, inline: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline {
            indent(out, by);
        }
        self::key(out, key);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, by + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, by);
            }
            other => {
                out.push(' ');
                scalar(out, other, by);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Value], by: usize) {
    for item in items {
        indent(out, by);
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(out, inner, by + 2, true),
            Value::Array(inner) if !inner.is_empty() => {
                let mut nested = String::new();
                sequence(&mut nested, inner, by + 2);
                // The first dash stands on this line.
                out.push_str(nested.trim_start_matches(' '));
            }
            other => {
                scalar(out, other, by);
                out.push('\n');
            }
        }
    }
}

fn key(out: &mut String, key: &str) {
    match style(key) {
        Style::Literal => double_quoted(out, key),
        style => text(out, key, style, 0),
    }
}

fn scalar(out: &mut String, value: &Value, by: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(s) => text(out, s, style(s), by),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str) -> Style {
    let special = text.chars().any(|c| !printable(c));
    let first = text.chars().next();
    let last = text.chars().next_back();
    if text.contains('\n') {
        let space_before_break = text.contains(" \n");
        return if special
            || space_before_break
            || last == Some(' ')
            || text.contains('\r')
            || text.contains('\u{85}')
        {
            Style::Double
        } else {
            Style::Literal
        };
    }
    if special || looks_like_another_type(text) {
        return Style::Double;
    }
    if first == Some(' ') || last == Some(' ') || indicators(text) { Style::Single } else { Style::Plain }
}

/// What stands unescaped; the tab is left out, as it cannot be seen, and so is what misleads who reads a terminal.
fn printable(c: char) -> bool {
    c == '\n' || !super::misleads(c)
}

/// Whether a plain text would be read as structure.
fn indicators(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    if text.starts_with("---") || text.starts_with("...") || matches!(text, "<<" | "=") {
        return true;
    }
    let mut previous = None;
    while let Some(c) = chars.next() {
        let next_is_space = chars.peek().is_none_or(|n| *n == ' ');
        let structural = match (previous, c) {
            (
                None,
                ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`',
            ) => true,
            (None, '?' | '-' | ':') => next_is_space,
            (_, ':') => next_is_space,
            (Some(' '), '#') => true,
            _ => false,
        };
        if structural {
            return true;
        }
        previous = Some(c);
    }
    false
}

/// Whether a YAML 1.1 or 1.2 reader would take the plain text for null, a boolean, a number or a time.
fn looks_like_another_type(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "+.inf"];
    if text.len() > 64 {
        return false;
    }
    let lowered = text.to_ascii_lowercase();
    WORDS.contains(&lowered.as_str()) || lowered == "-.inf" || number(&lowered) || time(text)
}

fn number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let plain: String = unsigned.chars().filter(|c| *c != '_').collect();
    if let Some(digits) = plain.strip_prefix("0x") {
        return digits.chars().all(|c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = plain.strip_prefix("0o").or_else(|| plain.strip_prefix("0b")) {
        return !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    }
    // Numbers to the base of sixty: `10:30`.
    if plain.contains(':') {
        return plain
            .split(':')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.'));
    }
    let (mantissa, exponent) = plain.split_once('e').map_or((plain.as_str(), None), |(m, e)| (m, Some(e)));
    let digits = mantissa.chars().filter(char::is_ascii_digit).count();
    let dots = mantissa.chars().filter(|c| *c == '.').count();
    let mantissa_fits = digits > 0 && dots <= 1 && digits + dots == mantissa.len();
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && e.chars().all(|c| c.is_ascii_digit())
    });
    mantissa_fits && exponent_fits
}

/// `2026-11-21`, with or without a time of day.
fn time(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |s: &str| !s.is_empty() && s.len() <= 4 && s.chars().all(|c| c.is_ascii_digit());
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    year.len() == 4 && digits(year) && month.len() <= 2 && digits(month) && !day.is_empty() && day.len() <= 2
}

fn text(out: &mut String, text: &str, style: Style, by: usize) {
    match style {
        Style::Plain => out.push_str(text),
        Style::Single => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Style::Double => double_quoted(out, text),
        Style::Literal => literal(out, text, by),
    }
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{1b}' => out.push_str("\\e"),
            c if printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ =
                    if code < 0x100 { write!(out, "\\x{code:02X}") } else { write!(out, "\\u{code:04X}") };
            }
        }
    }
    out.push('"');
}

fn literal(out: &mut String, text: &str, by: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) => {
            if body.is_empty() || body.ends_with('\n') {
                out.push('+');
            }
            body
        }
    };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, by + 2);
            out.push_str(line);
        }
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
