//! Texts as Go prints them, where they become part of the API: path elements in `FieldsV1`, paths and manager names
//! in conflicts, the last-applied annotation.

use serde_json::{Number, Value};
use std::fmt::Write as _;

/// `%q` of a string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{07}' => out.push_str("\\a"),
            '\u{08}' => out.push_str("\\b"),
            '\u{0c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => push_escape(&mut out, u32::from(c)),
        }
    }
    out.push('"');
    out
}

fn push_escape(out: &mut String, code: u32) {
    // Writing to a String cannot fail.
    let _ = match code {
        0..=0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// `unicode.IsPrint` for what names and labels hold: controls, format characters, odd spaces and private use are not
/// printable.
fn is_printable(c: char) -> bool {
    if c.is_control() || (c.is_whitespace() && c != ' ') {
        return false;
    }
    !matches!(u32::from(c),
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f
        | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb | 0xfffe | 0xffff | 0xe0000..=0x10_ffff)
}

/// JSON as jsoniter and encoding/json write it by default: `<`, `>`, `&` and the line separators escaped, whole
/// floats without a fraction.
pub(crate) fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => write_number(n, out),
        Value::String(s) => write_json_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (name, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(name, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

/// A JSON string with the escapes of Go.
pub(crate) fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{00}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_number(number: &Number, out: &mut String) {
    let _ = match number.as_f64() {
        Some(float) if number.is_f64() => write_float(float, out),
        _ => write!(out, "{number}"),
    };
}

/// The shortest form that reads back, with an exponent only below 1e-6 and from 1e21 on.
fn write_float(float: f64, out: &mut String) -> std::fmt::Result {
    let size = float.abs();
    if size != 0.0 && size < 1e-6 {
        return write!(out, "{float:e}");
    }
    if size >= 1e21 {
        return out.write_str(&format!("{float:e}").replacen('e', "e+", 1));
    }
    write!(out, "{float}")
}

/// A value in a path of a conflict: `value.ToString`.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => quoted(s),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect(),
        scalar => {
            let mut out = String::new();
            write_json(scalar, &mut out);
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        assert_eq!(quoted("a\"b\\c\n\u{7}\u{1}\u{200b}é\u{e0001}"), r#""a\"b\\c\n\a\x01\u200bé\U000e0001""#);
    }

    #[test]
    fn json_escapes_what_html_would_read() {
        let mut out = String::new();
        write_json(&json!({"a<": ["&", "\u{2028}\u{1}\n"]}), &mut out);
        assert_eq!(out, "{\"a\\u003c\":[\"\\u0026\",\"\\u2028\\u0001\\n\"]}");
    }

    #[test]
    fn floats_have_no_needless_fraction_or_exponent() {
        let text = |v| {
            let mut out = String::new();
            write_json(&v, &mut out);
            out
        };
        assert_eq!(text(json!(1.0)), "1");
        assert_eq!(text(json!(1e20)), "100000000000000000000");
        assert_eq!(text(json!(1e21)), "1e+21");
        assert_eq!(text(json!(1.5e-7)), "1.5e-7");
        assert_eq!(text(json!(0.000_001)), "0.000001");
        assert_eq!(text(json!(-3)), "-3");
    }
}
