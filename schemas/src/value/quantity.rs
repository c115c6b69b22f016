//! Amounts of a resource in Kubernetes' notation.

use super::{IntOrString, InvalidValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// An amount that is not negative: `50m`, `16Mi`, `1.5`, `2e3` (`k8s.io/apimachinery/pkg/api/resource`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntOrString", into = "IntOrString")]
pub struct Quantity(IntOrString);

const EXPECTED: &str = "a quantity such as 50m, 16Mi or 1.5";
const MAX_LENGTH: usize = 32;
const NANOS: i128 = 1_000_000_000;

impl Quantity {
    /// Reads the notation.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        match nanos(text) {
            Some(_) => Ok(Self(IntOrString::String(text.to_owned()))),
            None => Err(InvalidValue::new(EXPECTED, text)),
        }
    }

    /// The amount in billionths of the unit, rounded up as Kubernetes rounds what is finer.
    pub fn nanos(&self) -> i128 {
        match &self.0 {
            IntOrString::Int(whole) => i128::from(*whole) * NANOS,
            IntOrString::String(text) => nanos(text).unwrap_or_default(),
        }
    }

    /// The amount in thousandths, rounded up.
    pub fn millis(&self) -> i128 {
        ceil_div(self.nanos(), NANOS / 1_000)
    }

    /// The amount in whole units, rounded up.
    pub fn units(&self) -> i128 {
        ceil_div(self.nanos(), NANOS)
    }
}

/// For a numerator that is not negative.
fn ceil_div(numerator: i128, denominator: i128) -> i128 {
    numerator / denominator + i128::from(numerator % denominator != 0)
}

/// `None` for what is not a quantity, and for amounts beyond 2^63 units.
fn nanos(text: &str) -> Option<i128> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let places = i32::try_from(fraction.len()).ok()?;
    let (binary, exponent) = scale(suffix)?;
    let amount = digits.checked_mul(1i128.checked_shl(binary)?)?;
    let shift = exponent.checked_add(9)?.checked_sub(places)?;
    let amount = match u32::try_from(shift) {
        Ok(up) if amount != 0 => amount.checked_mul(10i128.checked_pow(up)?)?,
        Ok(_) => 0,
        Err(_) => match 10i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => ceil_div(amount, divisor),
            None => i128::from(amount != 0),
        },
    };
    (amount <= i128::from(i64::MAX) * NANOS).then_some(amount)
}

/// Powers of two and of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || digits.len() > 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (0, exponent.parse().ok()?)
        }
    })
}

impl TryFrom<IntOrString> for Quantity {
    type Error = InvalidValue;

    fn try_from(value: IntOrString) -> Result<Self, InvalidValue> {
        match &value {
            IntOrString::Int(whole) if *whole < 0 => Err(InvalidValue::new(EXPECTED, &whole.to_string())),
            IntOrString::String(text) if nanos(text).is_none() => Err(InvalidValue::new(EXPECTED, text)),
            _ => Ok(Self(value)),
        }
    }
}

impl From<Quantity> for IntOrString {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            IntOrString::Int(whole) => whole.fmt(f),
            IntOrString::String(text) => f.write_str(text),
        }
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maxLength": MAX_LENGTH,
            "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_round_up() {
        let millis = |text| Quantity::parse(text).unwrap().millis();
        assert_eq!(millis("50m"), 50);
        assert_eq!(millis("1.5"), 1_500);
        assert_eq!(millis(".5"), 500);
        assert_eq!(millis("2e3"), 2_000_000);
        assert_eq!(millis("5e-1"), 500);
        assert_eq!(millis("1n"), 1);
        let units = |text| Quantity::parse(text).unwrap().units();
        assert_eq!(units("16Mi"), 16 << 20);
        assert_eq!(units("1.5Gi"), 3 << 29);
        assert_eq!(units("1k"), 1_000);
        assert_eq!(units("1e-99"), 1);
        assert_eq!(units("0e99"), 0);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "1.2.3",
            "Mi",
            "1 Mi",
            "1mi",
            "1e",
            "1e999",
            "1e30",
            "9Ei9",
            "1KiB",
            "٣",
            "99999999999999999999999999999999",
        ] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Quantity>("-1").is_err());
    }

    #[test]
    fn the_text_survives() {
        for text in ["\"1.50Gi\"", "3", "\"0.1\""] {
            let quantity: Quantity = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&quantity).unwrap(), text);
        }
    }
}
