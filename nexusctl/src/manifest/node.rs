//! A YAML or JSON value in which every node knows its place in the text.
//!
//! Holds no I/O and no policy. Depth is bounded by the parser, so recursion here is bounded too.

use crate::manifest::path::{FieldPath, Step};
use serde_json::{Map, Number, Value};

/// A stretch of a source. `line` and `column` count from one; `start..end` are byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset past the last byte.
    pub end: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a node is. Keys keep the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean, YAML 1.1 spellings included, as every Kubernetes client reads them.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping with unique keys.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The plain value, places forgotten.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(b) => Value::Bool(*b),
            Content::Number(n) => Value::Number(n.clone()),
            Content::String(s) => Value::String(s.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|e| (e.key.clone(), e.value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The entry of a mapping called `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }

    /// The value of the entry called `key`.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|e| &e.value)
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::String(s) => Some(s),
            _ => None,
        }
    }

    /// The last line on which something of it begins.
    pub fn last_line(&self) -> usize {
        let below = match &self.content {
            Content::List(items) => items.iter().map(Self::last_line).max(),
            Content::Map(entries) => entries.iter().map(|e| e.key_span.line.max(e.value.last_line())).max(),
            _ => None,
        };
        below.unwrap_or_default().max(self.span.line)
    }

    /// The words for this type: `a mapping`, `a string`.
    pub fn type_name(&self) -> &'static str {
        match &self.content {
            Content::Null => "null",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::String(_) => "a string",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// Follows `path` as far as the text goes.
    pub fn locate<'a>(&'a self, path: &FieldPath) -> Located<'a> {
        let mut found = Located { node: self, key_span: None, matched: 0 };
        for (index, step) in path.steps().iter().enumerate() {
            let next = match (step, &found.node.content) {
                (Step::Field(name), Content::Map(entries)) => {
                    entries.iter().find(|e| e.key == *name).map(|e| (&e.value, Some(e.key_span)))
                }
                (Step::Index(at), Content::List(items)) => items.get(*at).map(|n| (n, None)),
                (Step::Keys(keys), Content::List(items)) => {
                    items.iter().find(|item| item.has_keys(keys)).map(|n| (n, None))
                }
                (Step::Value(value), Content::List(items)) => {
                    items.iter().find(|item| item.to_value() == *value).map(|n| (n, None))
                }
                // A map key written in brackets: `metadata.labels[app.kubernetes.io/name]`.
                (Step::Value(Value::String(name)), Content::Map(entries)) => {
                    entries.iter().find(|e| e.key == *name).map(|e| (&e.value, Some(e.key_span)))
                }
                _ => None,
            };
            let Some((node, key_span)) = next else { break };
            found = Located { node, key_span, matched: index + 1 };
        }
        found
    }

    fn has_keys(&self, keys: &[(String, Value)]) -> bool {
        keys.iter().all(|(key, value)| self.get(key).is_some_and(|n| n.to_value() == *value))
    }
}

/// How far a path could be followed.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    /// The deepest node on the path.
    pub node: &'a Node,
    /// The place of its key, where it has one.
    pub key_span: Option<Span>,
    /// How many steps of the path were followed.
    pub matched: usize,
}
