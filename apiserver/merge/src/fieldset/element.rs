//! One step of a path: which child of a map or list. Text forms are those of `fieldpath/serialize-pe.go`.

use super::FieldsError;
use crate::value;
use hypermesh_api::printed::{push_json, push_json_string, quoted};
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;

/// Which child of a map or list.
///
/// Ordered as upstream orders them: fields, then keys, values and indices.
#[derive(Clone, Debug)]
pub enum Element {
    /// A field of a map: `f:name`.
    Field(Box<str>),
    /// An item of a list map, by its keys, ordered by name: `k:{"name":"a"}`.
    Key(Vec<(Box<str>, Value)>),
    /// An item of a set: `v:"x"`.
    Value(Value),
    /// An item of an atomic list: `i:0`. Read from objects written elsewhere, never produced.
    Index(i64),
}

impl Element {
    /// The field `name`.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// The item of a list map with these keys.
    pub fn key(mut keys: Vec<(Box<str>, Value)>) -> Self {
        keys.sort_by(|l, r| l.0.cmp(&r.0));
        Self::Key(keys)
    }

    /// Appends the text that `FieldsV1` uses as a name.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(keys) => {
                out.push_str("k:{");
                for (i, (name, value)) in keys.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    push_json_string(out, name);
                    out.push(':');
                    push_json(out, value);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out.push_str("v:");
                push_json(out, value);
            }
            Self::Index(index) => {
                out.push_str("i:");
                out.push_str(&index.to_string());
            }
        }
    }

    /// Reads that text. `None` for a kind of element from a later version, which is to be ignored.
    pub fn parse(text: &str) -> Result<Option<Self>, FieldsError> {
        let malformed = || FieldsError::Element(text.to_owned());
        let Some((kind, body)) = text.split_at_checked(2) else { return Err(malformed()) };
        match kind {
            "f:" => Ok(Some(Self::field(body))),
            "v:" => {
                let value = serde_json::from_str(body).map_err(|_| malformed())?;
                Ok(Some(Self::Value(value)))
            }
            "k:" => {
                let map: serde_json::Map<String, Value> =
                    serde_json::from_str(body).map_err(|_| malformed())?;
                Ok(Some(Self::Key(map.into_iter().map(|(k, v)| (k.into_boxed_str(), v)).collect())))
            }
            "i:" => body.parse().map(|i| Some(Self::Index(i))).map_err(|_| malformed()),
            other if other.ends_with(':') => Ok(None),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Element {
    /// `.name`, `[name="a"]`, `[="x"]`, `[0]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, value)) in keys.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", shown(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", shown(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A value in a path of a conflict: `value.ToString`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => quoted(s),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect(),
        scalar => {
            let mut out = String::new();
            push_json(&mut out, scalar);
            out
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(l), Self::Field(r)) => l.cmp(r),
            (Self::Key(l), Self::Key(r)) => l
                .iter()
                .zip(r)
                .map(|((ln, lv), (rn, rv))| ln.cmp(rn).then_with(|| value::order(lv, rv)))
                .find(|o| o.is_ne())
                .unwrap_or_else(|| l.len().cmp(&r.len())),
            (Self::Value(l), Self::Value(r)) => value::order(l, r),
            (Self::Index(l), Self::Index(r)) => l.cmp(r),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}
