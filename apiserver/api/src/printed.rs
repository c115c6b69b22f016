//! Values as Go prints them.
//!
//! Messages of Kubernetes hold values in the forms of Go's `%q`, `%v` and `encoding/json`, and so do path elements of
//! `FieldsV1` and the last-applied annotation; clients and people compare them. These are the forms that differ from
//! Rust's.

use serde_json::Value;
use std::fmt::Write;

/// A string as `%q` prints it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            c if c.is_ascii() => push_escape(&mut out, 'x', 2, c),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => push_escape(&mut out, 'u', 4, c),
            c => push_escape(&mut out, 'U', 8, c),
        }
    }
    out.push('"');
    out
}

fn push_escape(out: &mut String, letter: char, digits: usize, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{letter}{:0digits$x}", c as u32);
}

/// Rust's own table of what it prints plainly; the letter in front keeps a combining mark from being escaped alone.
fn is_printable(c: char) -> bool {
    let pair = String::from_iter(['a', c]);
    pair.escape_debug().eq(pair.chars())
}

/// A number as `%v` prints a `float64`: the shortest digits, with an exponent below 1e-4 and from 1e+06 on.
pub fn float(number: f64) -> String {
    with_exponent_outside(number, 1e-4, 1e6, 2)
}

fn with_exponent_outside(number: f64, least: f64, most: f64, width: usize) -> String {
    if number == 0.0 || !number.is_finite() || (least..most).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>width$}")
}

/// A value as a field error shows it: scalars by `%v` and `%q`, lists and objects as `encoding/json` writes them.
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) if number.is_f64() => float(number.as_f64().unwrap_or_default()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            let mut out = String::new();
            push_json(&mut out, value);
            out
        }
    }
}

/// A value as `%v` prints it: `map[a:1 b:[x y] c:<nil>]`.
pub fn plain(value: &Value) -> String {
    let mut out = String::new();
    push_plain(&mut out, value);
    out
}

fn push_plain(out: &mut String, value: &Value) {
    let separate = |out: &mut String, i: usize| {
        if i > 0 {
            out.push(' ');
        }
    };
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                separate(out, i);
                push_plain(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("map[");
            for (i, (name, field)) in fields.iter().enumerate() {
                separate(out, i);
                out.push_str(name);
                out.push(':');
                push_plain(out, field);
            }
            out.push(']');
        }
        Value::Bool(_) | Value::Number(_) => out.push_str(&self::value(value)),
    }
}

/// A value as `encoding/json` writes it: what HTML would interpret is escaped, whole floats have no fraction, and there
/// is an exponent below 1e-6 and from 1e+21 on.
pub fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_json(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (i, (name, field)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_json_string(out, name);
                out.push(':');
                push_json(out, field);
            }
            out.push('}');
        }
        Value::String(text) => push_json_string(out, text),
        Value::Number(number) if number.is_f64() => {
            out.push_str(&with_exponent_outside(number.as_f64().unwrap_or_default(), 1e-6, 1e21, 1));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// A string as `encoding/json` writes it.
pub fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // Where the two line separators begin (U+2028, U+2029), and what else is never written as it is.
    let special = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    while let Some(at) = rest.bytes().position(special) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut following = from.chars();
        match following.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\x08') => out.push_str("\\b"),
            Some('\x0c') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) if c < ' ' || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                push_escape(out, 'u', 4, c);
            }
            Some(c) => out.push(c),
            None => {}
        }
        rest = following.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\u{0}\u{7f}", r#""\x00\x7f""#),
            ("é日本", "\"é日本\""),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{200b}\u{a0}", r#""\u200b\u00a0""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.9, "0.9"),
            (-2.5, "-2.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789.0, "1.23456789e+08"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(float(number), expected, "{number:e}");
        }
    }

    #[test]
    fn strings_are_written_as_go_writes_json() {
        let mut out = String::new();
        push_json_string(&mut out, "a\"b\\c<&>\u{2028}\u{2029}\u{20ac}\u{1}\u{8}\u{c}\n\r\t\u{7f}\u{e9}");
        let expected =
            "\"a\\\"b\\\\c\\u003c\\u0026\\u003e\\u2028\\u2029\u{20ac}\\u0001\\b\\f\\n\\r\\t\u{7f}\u{e9}\"";
        assert_eq!(out, expected);
    }

    #[test]
    fn compound_values_are_written_as_go_writes_json() {
        let compound = json!({"b": [1, 1.0, 1e20, 1e21, 1e-7, null, true], "a": "<&>"});
        let expected = r#"{"a":"\u003c\u0026\u003e","b":[1,1,100000000000000000000,1e+21,1e-7,null,true]}"#;
        assert_eq!(value(&compound), expected);
    }
}
