//! What a file named `.json` has to be: JSON, and not the YAML around it. Values are read as YAML is, which keeps their places.

use super::node::Span;
use super::yaml::SyntaxError;
use serde::de::IgnoredAny;

/// Whether a text is JSON: one document, or several after one another.
pub fn check(text: &str) -> Result<(), SyntaxError> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let Some(error) = documents.find_map(Result::err) else { return Ok(()) };
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = format!("this is not JSON: {}", message.strip_suffix(&place).unwrap_or(&message));
    Err(SyntaxError {
        message,
        span: Some(span(text, error.line(), error.column())),
        first: None,
        help: Some("a file named .json is read as JSON; YAML goes into a file named .yaml"),
    })
}

/// The character at a line, from one, and a column in bytes, from one.
fn span(text: &str, line: usize, column: usize) -> Span {
    let begins = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let mut start = (begins + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = text.get(begins..start).unwrap_or_default();
    let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    Span { line: line.max(1), column: before.chars().count() + 1, start, end: start + length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_no_json_and_is_pointed_at() {
        for (text, line, column) in [
            ("{\"a\": 1,}", 1, 9),
            ("{\n  a: 1\n}", 2, 3),
            ("{'a': 1}", 1, 2),
            ("{\"ä\": 1} # word", 1, 10),
            ("{\"a\": ", 1, 6),
        ] {
            let error = check(text).unwrap_err();
            let span = error.span.unwrap();
            assert_eq!((span.line, span.column), (line, column), "{text}: {error}");
            assert!(text.get(span.start..span.end).is_some());
        }
        for text in ["", "{}", "{\"a\": 1}\n{\"b\": [2]}\n", " [1] "] {
            check(text).unwrap();
        }
    }
}
