//! Maps and their keys: an object of the document with what its schema says, or entries a rule
//! gathered, always in key order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{TWO_TO_63, Text, Value};
use crate::error::EvalError;
use crate::hints::{Hint, TypeHints, unescape};

/// A CEL map or object.
#[derive(Clone)]
pub struct Map<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Json { object: &'a serde_json::Map<String, Json>, hints: Option<&'a dyn TypeHints> },
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

impl<'a> Map<'a> {
    pub(crate) fn json(object: &'a serde_json::Map<String, Json>, hints: Option<&'a dyn TypeHints>) -> Self {
        Self(Repr::Json { object, hints })
    }

    pub(crate) fn owned(entries: BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self(Repr::Owned(Arc::new(entries)))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Json { object, .. } => object.len(),
            Repr::Owned(entries) => entries.len(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `key`, taken literally.
    pub fn get(&self, key: &Key<'_>) -> Result<Option<Value<'a>>, EvalError> {
        match &self.0 {
            Repr::Json { object, hints } => {
                let Key::String(name) = key else { return Ok(None) };
                object
                    .get(&**name)
                    .map(|value| Value::from_json(value, entry_hints(*hints, name)))
                    .transpose()
            }
            Repr::Owned(entries) => Ok(entries.get(key).cloned()),
        }
    }

    /// The field written `name` in a rule: undeclared properties are an error, escapes are undone.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Value<'a>>, EvalError> {
        let Repr::Json { object, hints } = &self.0 else {
            return self.get(&Key::String(Text::Borrowed(name)));
        };
        let kind = hints.map_or(Hint::Dyn, |h| h.kind());
        if let (Hint::Object, Some(hints)) = (kind, hints) {
            let unescaped = unescape(name);
            let property = unescaped.as_deref().unwrap_or(name);
            let Some(declared) = hints.field(property) else {
                return Err(EvalError::NoSuchField(property.into()));
            };
            return object.get(property).map(|value| Value::from_json(value, Some(declared))).transpose();
        }
        if let Some(value) = object.get(name) {
            return Value::from_json(value, entry_hints(*hints, name)).map(Some);
        }
        if kind == Hint::Map {
            return Ok(None);
        }
        let Some(property) = unescape(name) else { return Ok(None) };
        object.get(&property).map(|value| Value::from_json(value, entry_hints(*hints, &property))).transpose()
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key<'a>> {
        match &self.0 {
            Repr::Json { object, .. } => object.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Repr::Owned(entries) => entries.keys().cloned().collect(),
        }
    }

    /// All entries, converted.
    pub(crate) fn to_entries(&self) -> Result<BTreeMap<Key<'a>, Value<'a>>, EvalError> {
        match &self.0 {
            Repr::Owned(entries) => Ok(entries.as_ref().clone()),
            Repr::Json { object, hints } => object
                .iter()
                .map(|(name, value)| {
                    let value = Value::from_json(value, entry_hints(*hints, name))?;
                    Ok((Key::String(Text::Borrowed(name)), value))
                })
                .collect(),
        }
    }
}

fn entry_hints<'a>(hints: Option<&'a dyn TypeHints>, name: &str) -> Option<&'a dyn TypeHints> {
    let hints = hints?;
    match hints.kind() {
        Hint::Map => hints.item(),
        _ => hints.field(name),
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Json { object, .. } => f.debug_map().entries(object.iter()).finish(),
            Repr::Owned(entries) => f.debug_map().entries(entries.iter()).finish(),
        }
    }
}

/// A map key. Numbers compare by value whatever their type, as CEL's lookups do.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A `bool` key.
    Bool(bool),
    /// An `int` key.
    Int(i64),
    /// A `uint` key.
    UInt(u64),
    /// A `string` key.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The key a map literal makes of `value`.
    pub(crate) fn literal(value: Value<'a>) -> Result<Self, EvalError> {
        match value {
            Value::Bool(value) => Ok(Self::Bool(value)),
            Value::Int(value) => Ok(Self::Int(value)),
            Value::UInt(value) => Ok(Self::UInt(value)),
            Value::String(value) => Ok(Self::String(value)),
            other => Err(EvalError::UnsupportedKeyType(other.type_name())),
        }
    }

    /// The key a lookup by `value` is for: a double finds the integer it equals. `None` where no key can
    /// equal it.
    pub(crate) fn lookup(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::UInt(value) => Some(Self::UInt(*value)),
            Value::String(value) => Some(Self::String(value.clone())),
            Value::Double(value) =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "guarded: an integral double in range")]
                if value.fract() == 0.0 && *value >= -TWO_TO_63 && *value < TWO_TO_63 {
                    Some(Self::Int(*value as i64))
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// The key as a value.
    pub fn to_value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::String(value) => Value::String(value.clone()),
        }
    }

    fn rank(&self) -> (u8, i128) {
        match self {
            Self::Bool(value) => (0, i128::from(*value)),
            Self::Int(value) => (1, i128::from(*value)),
            Self::UInt(value) => (1, i128::from(*value)),
            Self::String(_) => (2, 0),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::String(value) => f.write_str(value),
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(left), Self::String(right)) => (**left).cmp(&**right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}
