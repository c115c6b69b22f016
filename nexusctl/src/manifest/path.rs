//! Field paths as API servers write them, parsed.
//!
//! Three dialects occur: `spec.containers[0].name` (field errors), `.spec.containers[name="web"].image` (apply
//! conflicts) and `metadata.labels[app.kubernetes.io/name]` (map keys in brackets). A text that fits none of them
//! yields the steps up to the point where it stops making sense: a path is a hint about where to point.

use serde_json::Value;
use std::fmt;

/// One step into an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `.name`
    Field(String),
    /// `[3]`
    Index(usize),
    /// `[name="web",port=80]`: the list item with these values.
    Keys(Vec<(String, Value)>),
    /// `[="x"]` (a set's member) or `[some/key]` (a map's key).
    Value(Value),
}

/// A path from an object's root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// Reads a path; never fails.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let Some(end) = closing_bracket(inner) else { break };
                steps.push(bracket(&inner[..end]));
                rest = &inner[end + 1..];
            } else {
                let trimmed = rest.strip_prefix('.').unwrap_or(rest);
                let end = trimmed.find(['.', '[']).unwrap_or(trimmed.len());
                if end == 0 {
                    break;
                }
                steps.push(Step::Field(trimmed[..end].to_owned()));
                rest = &trimmed[end..];
            }
        }
        Self(steps)
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path without its first `n` steps.
    pub fn skip(&self, n: usize) -> Self {
        Self(self.0.iter().skip(n).cloned().collect())
    }

    /// The last step and the path to it.
    pub fn split_last(&self) -> Option<(Self, &Step)> {
        self.0.split_last().map(|(last, init)| (Self(init.to_vec()), last))
    }
}

impl From<Vec<Step>> for FieldPath {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(at) => write!(f, "[{at}]")?,
                Step::Keys(keys) => {
                    let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    write!(f, "[{}]", keys.join(","))?;
                }
                Step::Value(Value::String(s)) => write!(f, "[{s}]")?,
                Step::Value(value) => write!(f, "[={value}]")?,
            }
        }
        Ok(())
    }
}

/// The offset of the bracket that ends this step, quotes respected.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Step {
    if let Ok(index) = inner.parse() {
        return Step::Index(index);
    }
    if let Some(value) = inner.strip_prefix('=') {
        return Step::Value(scalar(value));
    }
    let parts = split_unquoted(inner, ',');
    let keys: Option<Vec<(String, Value)>> = parts
        .iter()
        .map(|part| {
            let (key, value) = part.split_once('=')?;
            let simple =
                !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            simple.then(|| (key.to_owned(), scalar(value)))
        })
        .collect();
    match keys {
        Some(keys) => Step::Keys(keys),
        None => Step::Value(scalar(inner)),
    }
}

fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn scalar(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_the_dialects_of_api_servers() {
        let field = |s: &str| Step::Field(s.into());
        assert_eq!(
            FieldPath::parse("spec.containers[0].imagee").steps(),
            [field("spec"), field("containers"), Step::Index(0), field("imagee")]
        );
        assert_eq!(
            FieldPath::parse(r#".spec.ports[port=80,name="a]b,c"].x"#).steps(),
            [
                field("spec"),
                field("ports"),
                Step::Keys(vec![("port".into(), json!(80)), ("name".into(), json!("a]b,c"))]),
                field("x")
            ]
        );
        assert_eq!(
            FieldPath::parse("metadata.labels[app.kubernetes.io/name]").steps(),
            [field("metadata"), field("labels"), Step::Value(json!("app.kubernetes.io/name"))]
        );
        assert_eq!(FieldPath::parse(r#".s[="x"]"#).steps(), [field("s"), Step::Value(json!("x"))]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_prints_what_it_read(text in "\\PC{0,40}") {
            let path = FieldPath::parse(&text);
            let _ = path.to_string();
        }
    }
}
