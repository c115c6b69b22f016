//! What a cell is read from: one path, or a call over paths ([`hypermesh_schemas::cell`]).

use crate::age::human_duration;
use crate::jsonpath::JsonPath;
use hypermesh_schemas::cell::Cell;
use serde_json::Value;
use std::borrow::Cow;

/// A compiled `jsonPath` of a column.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Path(JsonPath),
    Count(Vec<JsonPath>),
    First(Vec<JsonPath>),
    Join(Vec<JsonPath>),
    Reference { kind: JsonPath, name: JsonPath },
    List { values: JsonPath, with: Option<JsonPath> },
    Duration(JsonPath),
    Approval { types: JsonPath, certificate: JsonPath },
}

impl Source {
    /// `None` where the text is neither a path nor a call, or a path of it does not compile.
    pub fn parse(text: &str) -> Option<Self> {
        let path = |text: &str| JsonPath::parse(text).ok();
        let all = |texts: &[&str]| texts.iter().map(|text| path(text)).collect::<Option<Vec<_>>>();
        Some(match Cell::parse(text).ok()? {
            Cell::Path(text) => Self::Path(path(text)?),
            Cell::Count(texts) => Self::Count(all(&texts)?),
            Cell::First(texts) => Self::First(all(&texts)?),
            Cell::Join(texts) => Self::Join(all(&texts)?),
            Cell::Reference { kind, name } => Self::Reference { kind: path(kind)?, name: path(name)? },
            Cell::Duration(text) => Self::Duration(path(text)?),
            Cell::Approval { types, certificate } => {
                Self::Approval { types: path(types)?, certificate: path(certificate)? }
            }
            Cell::List { values, with } => {
                let with = match with {
                    Some(text) => Some(path(text)?),
                    None => None,
                };
                Self::List { values: path(values)?, with }
            }
        })
    }

    /// The value of an object, before it is shown by the column's type.
    pub fn value<'a>(&self, object: &'a Value) -> Option<Cow<'a, Value>> {
        let text = |text: String| Some(Cow::Owned(Value::String(text)));
        match self {
            Self::Path(path) => path.first(object).map(Cow::Borrowed),
            Self::Count(paths) => {
                let values = paths.iter().flat_map(|path| path.select(object));
                Some(Cow::Owned(Value::from(values.map(members).sum::<usize>())))
            }
            Self::First(paths) => {
                let mut values = paths.iter().filter_map(|path| path.first(object));
                values.find(|value| !is_empty(value)).map(Cow::Borrowed)
            }
            Self::Join(paths) => {
                let parts: Vec<String> = paths.iter().map(|path| first_text(path, object)).collect();
                text(parts.join("/"))
            }
            Self::Reference { kind, name } => {
                text(format!("{}/{}", first_text(kind, object).to_lowercase(), first_text(name, object)))
            }
            Self::Duration(path) => {
                let seconds = path.first(object).and_then(Value::as_i64);
                text(seconds.map_or_else(|| "<none>".to_owned(), human_duration))
            }
            Self::Approval { types, certificate } => {
                text(approval(&types.select(object), certificate.first(object)))
            }
            Self::List { values, with: None } => {
                text(values.select(object).into_iter().map(plain).collect::<Vec<_>>().join(", "))
            }
            Self::List { values, with: Some(with) } => {
                let pairs = values.select(object).into_iter().zip(with.select(object));
                text(pairs.map(|(a, b)| format!("{}/{}", plain(a), plain(b))).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Source: `k8s.io/kubernetes/pkg/printers/internalversion` extractCSRStatus.
fn approval(types: &[&Value], certificate: Option<&Value>) -> String {
    let has = |wanted: &str| types.iter().any(|found| found.as_str() == Some(wanted));
    let mut words = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        words.push_str(",Failed");
    }
    if certificate.is_some_and(|certificate| !is_empty(certificate)) {
        words.push_str(",Issued");
    }
    words
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn first_text(path: &JsonPath, object: &Value) -> String {
    path.first(object).map(plain).unwrap_or_default()
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls() {
        let object = json!({
            "data": {"a": "1", "b": "2"}, "binaryData": {"c": ""}, "list": [1, 2],
            "series": {"count": null}, "count": 3, "note": "",
            "ref": {"kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "ann"},
                {"kind": "ServiceAccount", "name": "x", "namespace": "a"},
                {"kind": "User", "name": "bob"},
            ],
        });
        let shown = |text: &str| Source::parse(text).map(|source| source.value(&object).map(Cow::into_owned));
        let cases = [
            ("count(.data, .binaryData)", json!(3)),
            ("count(.absent, .list)", json!(2)),
            ("first(.series.count, .note, .count)", json!(3)),
            ("join(.ref.kind, .ref.name)", json!("ClusterRole/view")),
            ("reference(.ref.kind, .ref.name)", json!("clusterrole/view")),
            ("reference(.none, .none)", json!("/")),
            (r#"list(.subjects[?(@.kind=="User")].name)"#, json!("ann, bob")),
            (
                r#"list(.subjects[?(@.kind=="ServiceAccount")].namespace, .subjects[?(@.kind=="ServiceAccount")].name)"#,
                json!("a/x"),
            ),
            ("list(.absent)", json!("")),
            ("duration(.count)", json!("3s")),
            ("duration(.absent)", json!("<none>")),
            ("approval(.list[*].type, .note)", json!("Pending")),
            ("approval(.ref.kind, .note)", json!("Pending")),
            (".ref.name", json!("view")),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), Some(Some(expected)), "{text}");
        }
        let request = |types: &[&str], certificate: Value| {
            let types: Vec<Value> = types.iter().map(|kind| json!({"type": kind})).collect();
            let object = json!({"conditions": types, "certificate": certificate});
            let source = Source::parse("approval(.conditions[*].type, .certificate)").unwrap();
            source.value(&object).map(Cow::into_owned).unwrap()
        };
        assert_eq!(request(&["Approved"], json!("Zm9v")), json!("Approved,Issued"));
        assert_eq!(request(&["Approved", "Failed"], Value::Null), json!("Approved,Failed"));
        assert_eq!(request(&["Denied", "Other"], json!("")), json!("Denied"));
        assert_eq!(shown("first(.absent)"), Some(None));
        assert_eq!(shown("size(.data)"), None);
        assert_eq!(shown("count(..data)"), None);
    }
}
