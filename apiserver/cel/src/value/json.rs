//! Between values and JSON: in by reference and by what the schema says, out by copy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::{List, MAX_VALUE_DEPTH, Map, TWO_TO_63, Text, Value};
use crate::error::EvalError;
use crate::hints::{Hint, TypeHints};
use crate::time::{Duration, Timestamp};

impl<'a> Value<'a> {
    /// The value of `json`, read as `hints` say. Objects and arrays are borrowed, not walked.
    ///
    /// Fails where the schema reads a string otherwise than the document has it; a value of another
    /// JSON type than the schema's is taken as it is, since structural validation tells of it.
    pub fn from_json(json: &'a Json, hints: Option<&'a dyn TypeHints>) -> Result<Self, EvalError> {
        let kind = hints.map_or(Hint::Dyn, |hints| hints.kind());
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => number_value(number, kind),
            Json::String(text) => match kind {
                Hint::Timestamp => Self::Timestamp(Timestamp::parse_date_or_time(text)?),
                Hint::Duration => Self::Duration(Duration::parse(text)?),
                Hint::Bytes => {
                    let bytes = STANDARD
                        .decode(text)
                        .map_err(|_| EvalError::conversion("string is not valid base64"))?;
                    Self::Bytes(bytes.into())
                }
                _ => Self::String(Text::Borrowed(text)),
            },
            Json::Array(items) => Self::List(List::json(items, hints)),
            Json::Object(object) => Self::Map(Map::json(object, hints)),
        })
    }

    /// The value as JSON: timestamps, durations and library values as their strings, bytes in base64,
    /// absent optionals and numbers that JSON lacks as null, keys as strings.
    ///
    /// Fails on values nested deeper than [`MAX_VALUE_DEPTH`].
    pub fn to_json(&self) -> Result<Json, EvalError> {
        self.to_json_within(MAX_VALUE_DEPTH)
    }

    fn to_json_within(&self, depth: usize) -> Result<Json, EvalError> {
        let depth = depth.checked_sub(1).ok_or(EvalError::TooDeep)?;
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::UInt(value) => Json::from(*value),
            Self::Double(value) => Json::from(*value),
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
            Self::Duration(value) => Json::String(value.to_string()),
            Self::Timestamp(value) => Json::String(value.to_string()),
            Self::Type(name) => Json::String(name.0.to_owned()),
            Self::Extension(value) => Json::String(value.to_string()),
            Self::Optional(Some(value)) => value.to_json_within(depth)?,
            Self::List(list) => {
                Json::Array(list.iter().map(|item| item?.to_json_within(depth)).collect::<Result<_, _>>()?)
            }
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                for key in map.keys() {
                    if let Some(value) = map.get(&key)? {
                        object.insert(key.to_string(), value.to_json_within(depth)?);
                    }
                }
                Json::Object(object)
            }
        })
    }
}

fn number_value<'a>(number: &serde_json::Number, kind: Hint) -> Value<'a> {
    let double = || Value::Double(number.as_f64().unwrap_or(f64::NAN));
    match (kind, number.as_i64()) {
        (Hint::Double, _) | (_, None) if kind != Hint::Int => double(),
        (_, Some(value)) => Value::Int(value),
        (_, None) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "guarded: an integral double in range")]
            Some(value) if value.fract() == 0.0 && value.abs() < TWO_TO_63 => Value::Int(value as i64),
            _ => double(),
        },
    }
}
