//! JSONPath as printer columns use it: the part of `k8s.io/client-go/util/jsonpath` that names places.
//!
//! Fields (`.a`, `['a']`, `.a\.b`), indices (`[0]`, `[-1]`), slices (`[1:3]`), wildcards (`[*]`, `.*`) and filters
//! (`[?(@.type=="Ready")]`). No recursive descent and no templates: a path is compiled once and costs at most one
//! visit of each value below it.

mod filter;
mod parser;

pub use parser::PathError;

use filter::Filter;
use serde_json::Value;

/// A compiled path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Filter(Filter),
}

impl JsonPath {
    /// Compiles `.spec.color`; a pair of braces around it is taken off.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parser::parse(text)
    }

    /// The values at the path, in the order of the document. Absent fields select nothing.
    pub fn select<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut current = vec![root];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in current {
                step.apply(value, &mut next);
            }
            current = next;
        }
        current
    }

    /// The first value at the path, which is the one that a column shows.
    pub fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.select(root).into_iter().next()
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value, out: &mut Vec<&'a Value>) {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => out.extend(map.get(name)),
            (Self::Wildcard, Value::Object(map)) => out.extend(map.values()),
            (Self::Wildcard, Value::Array(items)) => out.extend(items),
            (Self::Index(index), Value::Array(items)) => out.extend(items.get(offset(*index, items.len()))),
            (Self::Slice(from, to), Value::Array(items)) => {
                let from = from.map_or(0, |from| offset(from, items.len()).min(items.len()));
                let to = to.map_or(items.len(), |to| offset(to, items.len()).min(items.len()));
                out.extend(items.get(from..to).unwrap_or_default());
            }
            (Self::Filter(filter), Value::Array(items)) => {
                out.extend(items.iter().filter(|item| filter.accepts(item)));
            }
            (Self::Filter(filter), Value::Object(map)) => {
                out.extend(map.values().filter(|item| filter.accepts(item)));
            }
            _ => {}
        }
    }
}

/// An index from the front; a negative one counts from the end. Out of range is past the end.
fn offset(index: i64, length: usize) -> usize {
    if index >= 0 {
        return usize::try_from(index).unwrap_or(usize::MAX);
    }
    let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    length.checked_sub(back).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
