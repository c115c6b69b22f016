//! Lists: an array of the document with what its schema says, or elements a rule gathered.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Value;
use crate::error::EvalError;
use crate::hints::{Hint, TypeHints};

/// A CEL list.
#[derive(Clone)]
pub struct List<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Json { items: &'a [Json], hints: Option<&'a dyn TypeHints> },
    Owned(Arc<Vec<Value<'a>>>),
}

/// How a list of the document is identified, if not by order.
pub(crate) enum Identity<'a> {
    Ordered,
    Set,
    Keyed(&'a [String]),
}

impl<'a> List<'a> {
    pub(crate) fn json(items: &'a [Json], hints: Option<&'a dyn TypeHints>) -> Self {
        Self(Repr::Json { items, hints })
    }

    pub(crate) fn owned(items: Vec<Value<'a>>) -> Self {
        Self(Repr::Owned(Arc::new(items)))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Json { items, .. } => items.len(),
            Repr::Owned(items) => items.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`; `None` past the end, an error if the schema reads the element otherwise
    /// than the document has it.
    pub fn get(&self, index: usize) -> Result<Option<Value<'a>>, EvalError> {
        match &self.0 {
            Repr::Json { items, hints } => {
                items.get(index).map(|item| Value::from_json(item, hints.and_then(|h| h.item()))).transpose()
            }
            Repr::Owned(items) => Ok(items.get(index).cloned()),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index).transpose())
    }

    /// All elements, converted.
    pub(crate) fn to_vec(&self) -> Result<Vec<Value<'a>>, EvalError> {
        match &self.0 {
            Repr::Json { .. } => self.iter().collect(),
            Repr::Owned(items) => Ok(items.as_ref().clone()),
        }
    }

    /// The elements to append to, without copying if nobody else holds them.
    pub(crate) fn into_vec(self) -> Result<Vec<Value<'a>>, EvalError> {
        match self.0 {
            Repr::Owned(items) => Ok(Arc::try_unwrap(items).unwrap_or_else(|shared| shared.as_ref().clone())),
            Repr::Json { .. } => self.to_vec(),
        }
    }

    pub(crate) fn identity(&self) -> Identity<'a> {
        match &self.0 {
            Repr::Json { hints: Some(hints), .. } => match hints.kind() {
                Hint::Set => Identity::Set,
                Hint::MapList => Identity::Keyed(hints.list_keys()),
                _ => Identity::Ordered,
            },
            _ => Identity::Ordered,
        }
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Json { items, .. } => f.debug_list().entries(items.iter()).finish(),
            Repr::Owned(items) => f.debug_list().entries(items.iter()).finish(),
        }
    }
}
