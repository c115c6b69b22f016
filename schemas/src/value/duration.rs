//! A length of time in the notation of Go's `time.ParseDuration`, which CEL's `duration()` reads too.

use super::InvalidValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A length of time: whole hours, minutes, seconds and milliseconds, largest first, as in `60s`, `24h` or `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(String);

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const EXPECTED: &str = "a duration such as 60s, 24h or 1h30m";
const DIGITS: usize = 9;

impl Duration {
    /// Reads the notation.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        millis(text).map(|_| Self(text.to_owned())).ok_or_else(|| InvalidValue::new(EXPECTED, text))
    }

    /// The length in milliseconds.
    pub fn as_millis(&self) -> u64 {
        millis(&self.0).unwrap_or_default()
    }

    /// The length as the standard library has it.
    pub fn as_std(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.as_millis())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For defaults, whose text this crate's tests read.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

/// `None` unless the whole text is one to four amounts in falling units.
fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| (1..=DIGITS).contains(n))?;
        let (amount, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let at = UNITS.iter().position(|(name, _)| *name == unit).filter(|at| *at >= next_unit)?;
        let (_, factor) = UNITS.get(at)?;
        total = total.checked_add(amount.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        next_unit = at + 1;
        rest = tail;
    }
    (next_unit > 0).then_some(total)
}

impl TryFrom<String> for Duration {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            "pattern": "^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact() {
        for (text, expected) in
            [("60s", 60_000), ("24h", 86_400_000), ("1h30m", 5_400_000), ("5m", 300_000), ("1s5ms", 1_005)]
        {
            assert_eq!(Duration::parse(text).unwrap().as_millis(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "m", "1m1h", "1h1h", "-5m", "1.5h", "1d", " 5m", "5m ", "9999999999s", "5µs"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
