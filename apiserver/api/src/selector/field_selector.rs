//! Field selectors: `metadata.name=a,spec.color!=red`, with `\\`, `\,` and `\=` escaped in values.

use super::SelectorError;
use crate::status::Status;
use std::fmt;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// `metadata.name`, as written by the client.
    pub field: String,
    /// `!=` instead of `=` or `==`.
    pub negated: bool,
    /// The unescaped value.
    pub value: String,
}

/// Conditions that must all hold, in the order of their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Parses the text of a `fieldSelector` parameter; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let requirements = terms
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| {
                let (field, negated, value) = split_term(term).ok_or_else(|| {
                    SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'"))
                })?;
                Ok(FieldRequirement { field: field.to_owned(), negated, value: unescape(value)? })
            })
            .collect::<Result<_, SelectorError>>()?;
        Ok(Self { requirements })
    }

    /// A selector of one name.
    pub fn of_name(name: &str) -> Self {
        let requirement =
            FieldRequirement { field: "metadata.name".into(), negated: false, value: name.to_owned() };
        Self { requirements: vec![requirement] }
    }

    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that `field` must have, where the selector pins one.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| !r.negated && r.field == field).map(|r| r.value.as_str())
    }

    /// 400 where a requirement names a field that `supported` does not know.
    pub fn check_fields(&self, supported: impl Fn(&str) -> bool) -> Result<(), Box<Status>> {
        match self.requirements.iter().find(|r| !supported(&r.field)) {
            Some(r) => Err(Box::new(Status::bad_request(format!("field label not supported: {}", r.field)))),
            None => Ok(()),
        }
    }

    /// Whether an object whose fields `value_of` tells is selected. An absent field is the empty string.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| (value_of(&r.field).unwrap_or_default() == r.value) != r.negated)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if requirement.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", requirement.field, escape(&requirement.value))?;
        }
        Ok(())
    }
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Cuts at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.extend(text.get(start..));
    terms
}

/// Cuts at the first operator: field, whether it is `!=`, value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.as_bytes().windows(2).position(|w| w == b"!=").unwrap_or(usize::MAX);
    let equals = term.find('=')?;
    if at < equals {
        return Some((term.get(..at)?, true, term.get(at + 2..)?));
    }
    let rest = term.get(equals + 1..)?;
    Some((term.get(..equals)?, false, rest.strip_prefix('=').unwrap_or(rest)))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                Some(next) => {
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: \\{next}"
                    )));
                }
                None => {
                    return Err(SelectorError("invalid field selector: invalid escape sequence: \\".into()));
                }
            },
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: '{c}'"
                )));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_sorts_and_unescapes() {
        let selector = FieldSelector::parse(r"z==1,a!=b\,c\=\\,,metadata.name=x").unwrap();
        assert_eq!(selector.to_string(), r"a!=b\,c\=\\,metadata.name=x,z=1");
        assert_eq!(selector.requires_exact_match("metadata.name"), Some("x"));
        assert_eq!(selector.requires_exact_match("a"), None);
        assert!(FieldSelector::parse("").unwrap().is_empty());
    }

    #[test]
    fn matching() {
        let selector = FieldSelector::parse("a=1,b!=2,c=").unwrap();
        let value = |a: &'static str, b: &'static str| {
            move |field: &str| match field {
                "a" => Some(a),
                "b" => Some(b),
                _ => None,
            }
        };
        assert!(selector.matches(value("1", "3")));
        assert!(!selector.matches(value("1", "2")));
        assert!(!selector.matches(value("2", "3")));
    }

    #[test]
    fn refusals() {
        let shown = |text| FieldSelector::parse(text).unwrap_err().to_string();
        assert_eq!(shown("abc"), "invalid selector: 'abc'; can't understand 'abc'");
        assert_eq!(shown("a=b=c"), "invalid field selector: unescaped character in value: '='");
        assert_eq!(shown(r"a=\x"), r"invalid field selector: invalid escape sequence: \x");
        assert_eq!(shown("a=\\"), "invalid field selector: invalid escape sequence: \\");
    }

    #[test]
    fn golden_unsupported_field() {
        let selector = FieldSelector::parse("metadata.name=a,spec.replicas=1").unwrap();
        let status = selector.check_fields(|field| field.starts_with("metadata.")).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (400, "field label not supported: spec.replicas"));
        assert!(selector.check_fields(|_| true).is_ok());
    }

    proptest! {
        #[test]
        fn text_and_value_round_trip(value in r"[a-z\\,=é]{0,20}") {
            let text = format!("f={}", escape(&value));
            let selector = FieldSelector::parse(&text).unwrap();
            prop_assert_eq!(selector.requires_exact_match("f"), Some(value.as_str()));
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = FieldSelector::parse(&text);
        }
    }
}
