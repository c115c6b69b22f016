//! What is waited for, and whether an object has come to it. Pure.

use crate::{
    error::Error,
    jsonpath::{Template, shown},
    output::escape,
};
use serde_json::Value;
use std::fmt;

/// `--for`
#[derive(Clone, Debug)]
pub(super) enum Goal {
    Create,
    Delete,
    Condition {
        kind: String,
        status: String,
    },
    /// With a value, or any value.
    Path {
        text: String,
        template: Template,
        value: Option<String>,
    },
}

/// Whether an object has come to a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Met,
    /// Not yet, since this is how it is.
    NotYet(String),
}

impl Goal {
    /// Reads the value of `--for`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match name.to_lowercase().as_str() {
            "create" | "delete" if !value.is_empty() => {
                Err(Error::Message(format!("--for={name} takes no value; this has {value:?}")))
            }
            "create" => Ok(Self::Create),
            "delete" => Ok(Self::Delete),
            "condition" => {
                let (kind, status) = value.split_once('=').unwrap_or((value, "True"));
                if kind.is_empty() || status.is_empty() {
                    return Err(Error::Message("--for=condition needs a name: --for=condition=Ready".into()));
                }
                Ok(Self::Condition { kind: kind.to_owned(), status: status.to_owned() })
            }
            "jsonpath" => {
                let (path, value) = split(value);
                if path.is_empty() || value == Some("") {
                    return Err(Error::Message(
                        "--for=jsonpath needs a path and a value, or a path alone: --for=jsonpath='{.status.phase}'=Active".into(),
                    ));
                }
                let template = Template::relaxed("--for jsonpath", path)?;
                let value = value.map(|value| unquoted(value).to_owned());
                Ok(Self::Path { text: path.to_owned(), template, value })
            }
            _ => Err(Error::Message(format!(
                "--for: {text:?} is not one of create, delete, condition=NAME[=VALUE], jsonpath=PATH[=VALUE]"
            ))),
        }
    }

    /// What is said of an object that has come to it.
    pub(super) fn met(&self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Delete => "deleted",
            _ => "condition met",
        }
    }

    /// Judges an object; `None` is one that is not there, `another` one that has only the name.
    pub(super) fn judge(&self, object: Option<&Value>, another: bool) -> Judgement {
        match (self, object) {
            (Self::Delete, None) => Judgement::Met,
            (Self::Delete, Some(_)) if another => Judgement::Met,
            (Self::Delete, Some(_)) => Judgement::NotYet("it is still there".to_owned()),
            (Self::Create, Some(_)) => Judgement::Met,
            (_, None) => Judgement::NotYet("it does not exist".to_owned()),
            (Self::Condition { kind, status }, Some(object)) => condition(object, kind, status),
            (Self::Path { template, value, .. }, Some(object)) => path(object, template, value.as_deref()),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Delete => f.write_str("delete"),
            Self::Condition { kind, status } => write!(f, "condition {kind}={status}"),
            Self::Path { text, value: Some(value), .. } => write!(f, "{text}={value}"),
            Self::Path { text, value: None, .. } => write!(f, "a value of {text}"),
        }
    }
}

/// A path and what follows the equals sign that stands in no brackets.
fn split(text: &str) -> (&str, Option<&str>) {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(' | '{') => depth += 1,
            (None, ']' | ')' | '}') => depth = depth.saturating_sub(1),
            (None, '=') if depth == 0 => {
                let rest = text[at + 1..].trim_start_matches('=');
                return (unquoted(&text[..at]), Some(rest));
            }
            _ => {}
        }
    }
    (unquoted(text), None)
}

/// Quotes that a shell has left.
fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

fn condition(object: &Value, kind: &str, wanted: &str) -> Judgement {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|c| text(c, "type").eq_ignore_ascii_case(kind));
    let Some(found) = found else {
        let known: Vec<String> = conditions.into_iter().flatten().map(|c| text(c, "type")).collect();
        let known =
            if known.is_empty() { "no conditions".to_owned() } else { format!("only {}", known.join(", ")) };
        return Judgement::NotYet(escape(&format!("it has no condition {kind}, {known}")));
    };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let seen = found.get("observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(seen)) = (generation, seen)
        && seen < generation
    {
        return Judgement::NotYet(format!(
            "{kind} speaks of generation {seen}, the object is at {generation}"
        ));
    }
    let status = text(found, "status");
    if status.eq_ignore_ascii_case(wanted) {
        return Judgement::Met;
    }
    let mut words = format!("{} is {status}", text(found, "type"));
    for part in [text(found, "reason"), text(found, "message")].iter().filter(|part| !part.is_empty()) {
        words.push_str(": ");
        words.push_str(part);
    }
    Judgement::NotYet(escape(&words).replace('\n', " "))
}

fn path(object: &Value, template: &Template, wanted: Option<&str>) -> Judgement {
    let values = match template.values(object) {
        Ok(values) => values,
        // What is not there yet may not be a list yet.
        Err(fault) => return Judgement::NotYet(fault.title),
    };
    let texts: Vec<String> = values.iter().map(|value| shown(value)).collect();
    match (wanted, texts.as_slice()) {
        (_, []) => Judgement::NotYet("the field is not set".to_owned()),
        (None, texts) if texts.iter().any(|text| !text.is_empty()) => Judgement::Met,
        (None, _) => Judgement::NotYet("the field is empty".to_owned()),
        (Some(wanted), [text]) if text == wanted => Judgement::Met,
        (Some(_), texts) => {
            let short: String = texts.join(" ").chars().take(200).collect();
            Judgement::NotYet(escape(&format!("the field is {short:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(goal: &str, object: &Value) -> Judgement {
        Goal::parse(goal).unwrap().judge(Some(object), false)
    }

    #[test]
    fn goals_are_judged() {
        let object = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": 3, "empty": "", "containers": [{"name": "a", "image": "x=1"}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "False", "reason": "Pull", "message": "no\nimage"},
                {"type": "Old", "status": "True", "observedGeneration": 1},
            ]},
        });
        let not = |words: &str| Judgement::NotYet(words.to_owned());
        assert_eq!(judge("condition=ready=false", &object), Judgement::Met);
        assert_eq!(judge("condition=Ready", &object), not("Ready is False: Pull: no image"));
        assert_eq!(judge("condition=Old", &object), not("Old speaks of generation 1, the object is at 2"));
        assert_eq!(judge("condition=New", &object), not("it has no condition New, only Ready, Old"));
        assert_eq!(judge("jsonpath={.spec.replicas}=3", &object), Judgement::Met);
        assert_eq!(judge("jsonpath='{.spec.replicas}'=3", &object), Judgement::Met);
        assert_eq!(judge("jsonpath=.spec.replicas=4", &object), not("the field is \"3\""));
        assert_eq!(judge("jsonpath={.spec.containers[?(@.name==\"a\")].image}=x=1", &object), Judgement::Met);
        assert_eq!(judge("jsonpath={.spec.replicas}", &object), Judgement::Met);
        assert_eq!(judge("jsonpath={.spec.empty}", &object), not("the field is empty"));
        assert_eq!(judge("jsonpath={.spec.none}=1", &object), not("the field is not set"));
        assert_eq!(judge("delete", &object), not("it is still there"));
        assert_eq!(Goal::parse("delete").unwrap().judge(Some(&object), true), Judgement::Met);
        assert_eq!(judge("create", &object), Judgement::Met);
        for wrong in [
            "",
            "ready",
            "condition",
            "condition=",
            "jsonpath=",
            "jsonpath={.a}=",
            "jsonpath={.a",
            "delete=x",
        ] {
            assert!(Goal::parse(wrong).is_err(), "{wrong}");
        }
    }
}
