//! `FieldsV1`: the JSON form of a set (`fieldpath/serialize.go`).
//!
//! Names are path elements, `.` says that the path itself is a member beside what lies below it, and a path with
//! nothing below is a member.

use super::{Element, FieldSet, Node};
use crate::MAX_DEPTH;
use serde_json::{Map, Value};

/// Why a text or value is no `FieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A name that is no path element.
    #[error("{0:?} is no path element")]
    Element(String),
    /// Something else than an object.
    #[error("a set of fields must be an object")]
    NotAnObject,
    /// Nested deeper than objects can be.
    #[error("a set of fields may be nested {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl FieldSet {
    /// Reads `FieldsV1`. Elements of unknown kinds are ignored, together with what lies below them.
    pub fn from_fields_v1(value: &Value) -> Result<Self, FieldsError> {
        Ok(read(value, 0)?.0)
    }

    /// Writes `FieldsV1` as a value; its names are then in the order of their text.
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for node in &self.nodes {
            let mut name = String::new();
            node.element.write(&mut name);
            let mut below = node.children.to_fields_v1();
            if let (Value::Object(below), true) = (&mut below, node.member && !node.children.is_empty()) {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            map.insert(name, below);
        }
        Value::Object(map)
    }

    /// Writes `FieldsV1` as JSON, in upstream's order (which orders numbers in keys by what they count).
    pub fn to_fields_v1_json(&self) -> String {
        let mut out = String::new();
        self.write_json(false, &mut out);
        out
    }

    fn write_json(&self, dot: bool, out: &mut String) {
        out.push('{');
        let mut name = String::new();
        if dot {
            out.push_str("\".\":{}");
        }
        for (i, node) in self.nodes.iter().enumerate() {
            if dot || i > 0 {
                out.push(',');
            }
            name.clear();
            node.element.write(&mut name);
            out.push_str(&Value::String(std::mem::take(&mut name)).to_string());
            out.push(':');
            node.children.write_json(node.member && !node.children.is_empty(), out);
        }
        out.push('}');
    }
}

/// The set below, and whether the path itself is a member.
fn read(value: &Value, depth: usize) -> Result<(FieldSet, bool), FieldsError> {
    if depth > MAX_DEPTH + 1 {
        return Err(FieldsError::TooDeep);
    }
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Ok((FieldSet::new(), true)),
        _ => return Err(FieldsError::NotAnObject),
    };
    let mut nodes = Vec::with_capacity(map.len());
    let mut member = false;
    for (name, below) in map {
        if name == "." {
            member = true;
        } else if let Some(element) = Element::parse(name)? {
            let (children, member) = read(below, depth + 1)?;
            nodes.push(Node { element, member, children });
        }
    }
    // What holds only elements of unknown kinds has nothing below that is understood.
    let children = FieldSet::from_nodes(nodes);
    let member = member || children.is_empty();
    Ok((children, member))
}
