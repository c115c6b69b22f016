//! What the documents of OpenAPI v2 and v3 have in common in gnostic's protobuf, and how a client chooses a form.

use crate::media::accept_clauses;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;

/// The specification that a document follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// OpenAPI v2, which is Swagger.
    V2,
    /// OpenAPI v3.
    V3,
}

impl Edition {
    /// The subtypes of the protobuf form: its name, and the one that it had before, which clients ask for.
    fn subtypes(self) -> [&'static str; 2] {
        match self {
            Self::V2 => [
                "com.github.proto-openapi.spec.v2.v1.0+protobuf",
                "com.github.proto-openapi.spec.v2@v1.0+protobuf",
            ],
            Self::V3 => [
                "com.github.proto-openapi.spec.v3.v1.0+protobuf",
                "com.github.proto-openapi.spec.v3@v1.0+protobuf",
            ],
        }
    }
}

/// The forms that a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// gnostic's `Document`.
    Protobuf,
}

impl Form {
    /// What an `Accept` header asks for, the best first; the empty one takes JSON. `None` where it is neither.
    ///
    /// Source: `k8s.io/kube-openapi/pkg/handler` and `pkg/handler3`.
    pub fn negotiate(accept: &str, edition: Edition) -> Option<Self> {
        let accept = if accept.trim().is_empty() { "*/*" } else { accept };
        accept_clauses(accept).iter().find_map(|clause| {
            match (clause.kind.as_str(), clause.subtype.as_str()) {
                ("*" | "application", "*" | "json") => Some(Self::Json),
                ("*" | "application", subtype) => {
                    edition.subtypes().contains(&subtype).then_some(Self::Protobuf)
                }
                _ => None,
            }
        })
    }

    /// The `Content-Type` of the reply.
    pub fn content_type(self, edition: Edition) -> &'static str {
        match (self, edition) {
            (Self::Json, _) => "application/json",
            (Self::Protobuf, Edition::V2) => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            (Self::Protobuf, Edition::V3) => "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
        }
    }
}

/// Any value, as YAML. The first field, a message of a known type, is never set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "2")]
    pub yaml: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NamedAny {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Any>,
}

/// Appends a field that holds a message.
pub(crate) fn field(number: u32, message: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// Everything that begins with `x-`.
pub(crate) fn extensions(of: &Value) -> Vec<NamedAny> {
    let all = of.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
    all.map(|(name, value)| NamedAny { name: name.clone(), value: Some(any(value)) }).collect()
}

pub(crate) fn any(value: &Value) -> Any {
    Any { yaml: yaml(value) }
}

/// Any value as YAML, of which JSON is a part but for some characters that YAML takes for breaks, or not at all. They
/// stand in strings alone.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

pub(crate) fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn texts(of: &Value, name: &str) -> Vec<String> {
    list(of, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(crate) fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn number(of: &Value, name: &str) -> f64 {
    of.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

pub(crate) fn whole(of: &Value, name: &str) -> i64 {
    of.get(name).and_then(Value::as_i64).unwrap_or(0)
}

pub(crate) fn flag(of: &Value, name: &str) -> bool {
    of.get(name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_yaml_reads_otherwise_is_escaped() {
        assert_eq!(yaml(&json!({"a": "\u{85}\u{2028}é\u{7f}"})), "{\"a\":\"\\u0085\\u2028é\\u007f\"}\n");
    }

    #[test]
    fn the_form_is_the_one_that_is_asked_for() {
        for (edition, name) in [(Edition::V2, "v2"), (Edition::V3, "v3")] {
            let (now, before) = (
                format!("application/com.github.proto-openapi.spec.{name}.v1.0+protobuf"),
                format!("application/com.github.proto-openapi.spec.{name}@v1.0+protobuf"),
            );
            let cases = [
                (String::new(), Some(Form::Json)),
                ("*/*".into(), Some(Form::Json)),
                ("application/*".into(), Some(Form::Json)),
                ("application/json".into(), Some(Form::Json)),
                (before.clone(), Some(Form::Protobuf)),
                (now.clone(), Some(Form::Protobuf)),
                (format!("application/json;q=0.5, {before}"), Some(Form::Protobuf)),
                (format!("{before};q=0.5, application/json"), Some(Form::Json)),
                // Of equals the one that is named first; what is named goes before what is not.
                (format!("{now}, application/json"), Some(Form::Protobuf)),
                (format!("application/json, {now}"), Some(Form::Json)),
                (format!("*/*, {now}"), Some(Form::Protobuf)),
                (format!("{now};q=0, */*;q=0.1"), Some(Form::Json)),
                (format!("{now};q=0"), None),
                ("application/yaml".into(), None),
                ("text/html".into(), None),
                (before.replace(name, "v1"), None),
            ];
            for (accept, form) in cases {
                assert_eq!(Form::negotiate(&accept, edition), form, "{accept}");
            }
            assert_eq!(Form::Protobuf.content_type(edition), now);
        }
    }
}
