//! Values as text: what `string()` makes of them and what the verbs of `format` do.

use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::{MAX_VALUE_DEPTH, Value};

/// Digits after the point that `format` may be asked for.
const MAX_PRECISION: usize = 100;

/// Adds to a text that may not outgrow what a value may be.
pub(super) fn append(meter: &mut Meter<'_>, out: &mut String, text: &str) -> Result<(), EvalError> {
    if out.len().saturating_add(text.len()) > crate::value::MAX_TEXT_BYTES {
        meter.write(out.len().saturating_add(text.len()))?;
    }
    meter.write(text.len())?;
    out.push_str(text);
    Ok(())
}

/// A double as Go's shortest `%g`: in scientific form with exponents below -4 and from 6 on.
pub(super) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) { exponential(mantissa, exponent) } else { format!("{value}") }
}

fn exponential(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A verb of a format with its precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verb {
    letter: char,
    precision: usize,
}

impl Verb {
    /// Parses what follows a `%`.
    pub(super) fn parse(text: &str) -> Result<(Self, &str), EvalError> {
        let (precision, rest) = match text.strip_prefix('.') {
            Some(tail) => {
                let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
                let precision = tail.get(..digits).and_then(|digits| digits.parse().ok());
                let precision = precision.filter(|p| *p <= MAX_PRECISION).ok_or_else(|| {
                    EvalError::argument("could not parse formatting clause: error while parsing precision")
                })?;
                (precision, tail.get(digits..).unwrap_or_default())
            }
            None => (6, text),
        };
        match rest.chars().next() {
            Some(letter @ ('s' | 'd' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X')) => {
                Ok((Self { letter, precision }, rest.get(1..).unwrap_or_default()))
            }
            Some(other) => Err(EvalError::argument(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            ))),
            None => Err(EvalError::argument("could not parse formatting clause: unexpected end of string")),
        }
    }

    pub(super) fn print(
        self,
        meter: &mut Meter<'_>,
        out: &mut String,
        value: &Value<'_>,
    ) -> Result<(), EvalError> {
        let printed = match (self.letter, value) {
            ('s', value) => return write(meter, out, value, MAX_VALUE_DEPTH),
            ('d', Value::Int(value)) => value.to_string(),
            ('d', Value::UInt(value)) => value.to_string(),
            ('f', value) => match number(value) {
                Some(value) if value.is_finite() => format!("{value:.*}", self.precision),
                Some(value) => special(value),
                None => return Err(self.misuse(value)),
            },
            ('e', value) => match number(value) {
                Some(value) if value.is_finite() => {
                    let printed = format!("{value:.*e}", self.precision);
                    let (mantissa, exponent) = printed.split_once('e').unwrap_or((&printed, "0"));
                    exponential(mantissa, exponent.parse().unwrap_or(0))
                }
                Some(value) => special(value),
                None => return Err(self.misuse(value)),
            },
            ('b', Value::Bool(value)) => u8::from(*value).to_string(),
            ('b' | 'o' | 'x' | 'X', Value::Int(value)) => {
                let sign = if *value < 0 { "-" } else { "" };
                format!("{sign}{}", self.radix(value.unsigned_abs()))
            }
            ('b' | 'o' | 'x' | 'X', Value::UInt(value)) => self.radix(*value),
            ('x' | 'X', Value::String(text)) => return self.hex(meter, out, text.as_bytes()),
            ('x' | 'X', Value::Bytes(bytes)) => return self.hex(meter, out, bytes),
            (_, value) => return Err(self.misuse(value)),
        };
        append(meter, out, &printed)
    }

    fn radix(self, value: u64) -> String {
        match self.letter {
            'b' => format!("{value:b}"),
            'o' => format!("{value:o}"),
            'x' => format!("{value:x}"),
            _ => format!("{value:X}"),
        }
    }

    fn hex(self, meter: &mut Meter<'_>, out: &mut String, bytes: &[u8]) -> Result<(), EvalError> {
        meter.write(out.len().saturating_add(bytes.len().saturating_mul(2)))?;
        for byte in bytes {
            let printed = if self.letter == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
            out.push_str(&printed);
        }
        Ok(())
    }

    fn misuse(self, value: &Value<'_>) -> EvalError {
        EvalError::argument(format!(
            "error during formatting: %{} cannot be applied to a value of type {}",
            self.letter,
            value.type_name()
        ))
    }
}

fn special(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
    .to_owned()
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        #[expect(clippy::cast_precision_loss, reason = "a float verb prints the nearest float")]
        Value::Int(value) => Some(*value as f64),
        #[expect(clippy::cast_precision_loss, reason = "a float verb prints the nearest float")]
        Value::UInt(value) => Some(*value as f64),
        _ => None,
    }
}

/// Writes a value as `%s` does: lists and maps with their elements, maps in key order.
fn write(meter: &mut Meter<'_>, out: &mut String, value: &Value<'_>, depth: usize) -> Result<(), EvalError> {
    let depth = depth.checked_sub(1).ok_or(EvalError::TooDeep)?;
    meter.charge(1)?;
    let printed = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Double(value) if value.is_finite() => value.to_string(),
        Value::Double(value) => special(*value),
        Value::String(text) => return append(meter, out, text),
        Value::Bytes(bytes) => {
            meter.scan(bytes.len())?;
            let text = String::from_utf8_lossy(bytes);
            return append(meter, out, &text);
        }
        Value::Duration(value) => value.to_string(),
        Value::Timestamp(value) => value.to_string(),
        Value::Type(name) => name.0.to_owned(),
        Value::Extension(value) => value.to_string(),
        Value::Optional(None) => "optional.none()".to_owned(),
        Value::Optional(Some(value)) => {
            append(meter, out, "optional(")?;
            write(meter, out, value, depth)?;
            ")".to_owned()
        }
        Value::List(list) => {
            append(meter, out, "[")?;
            for (index, item) in list.iter().enumerate() {
                append(meter, out, if index == 0 { "" } else { ", " })?;
                write(meter, out, &item?, depth)?;
            }
            "]".to_owned()
        }
        Value::Map(map) => {
            append(meter, out, "{")?;
            meter.grow(map.len(), 0)?;
            for (index, key) in map.keys().iter().enumerate() {
                append(meter, out, if index == 0 { "" } else { ", " })?;
                write(meter, out, &key.to_value(), depth)?;
                append(meter, out, ": ")?;
                if let Some(value) = map.get(key)? {
                    write(meter, out, &value, depth)?;
                }
            }
            "}".to_owned()
        }
    };
    append(meter, out, &printed)
}
