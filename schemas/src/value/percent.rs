//! Shares of a whole: `50%`, and counts that may be given as one.

use super::{IntOrString, InvalidValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A whole percentage from `0%` to `100%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u8);

const PATTERN: &str = "^(100|[1-9]?[0-9])%$";
const EXPECTED: &str = "a percentage from 0% to 100%";

impl Percent {
    /// The whole.
    pub const ALL: Self = Self(100);

    /// One part in four.
    pub const QUARTER: Self = Self(25);

    /// Reads `50%`.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue::new(EXPECTED, text);
        let digits = text.strip_suffix('%').ok_or_else(invalid)?;
        let plain =
            digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
        match digits.parse() {
            Ok(value @ 0..=100) if plain => Ok(Self(value)),
            _ => Err(invalid()),
        }
    }

    /// 0 to 100.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl TryFrom<String> for Percent {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::parse(&text)
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 4, "pattern": PATTERN})
    }
}

/// A number of things, or a percentage of how many there should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntOrString", into = "IntOrString")]
pub enum CountOrPercent {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(Percent),
}

/// Which way a fraction of a thing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next smaller whole.
    Down,
    /// To the next larger whole.
    Up,
}

impl CountOrPercent {
    /// How many of `total`.
    pub fn of(&self, total: u32, rounding: Rounding) -> u32 {
        match self {
            Self::Count(count) => *count,
            Self::Percent(percent) => {
                let hundredths = u64::from(total) * u64::from(percent.value());
                let whole = match rounding {
                    Rounding::Down => hundredths / 100,
                    Rounding::Up => hundredths.div_ceil(100),
                };
                u32::try_from(whole).unwrap_or(u32::MAX)
            }
        }
    }
}

impl TryFrom<IntOrString> for CountOrPercent {
    type Error = InvalidValue;

    fn try_from(value: IntOrString) -> Result<Self, InvalidValue> {
        match value {
            IntOrString::Int(count) => u32::try_from(count)
                .map(Self::Count)
                .map_err(|_| InvalidValue::new("a count or a percentage", &count.to_string())),
            IntOrString::String(text) => Percent::parse(&text).map(Self::Percent),
        }
    }
}

impl From<CountOrPercent> for IntOrString {
    fn from(value: CountOrPercent) -> Self {
        match value {
            CountOrPercent::Count(count) => Self::Int(count.into()),
            CountOrPercent::Percent(percent) => Self::String(percent.to_string()),
        }
    }
}

impl JsonSchema for CountOrPercent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CountOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": 100_000,
            "maxLength": 4,
            "pattern": PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_shares_of_a_whole_are_read() {
        assert_eq!(Percent::parse("50%").unwrap().value(), 50);
        assert_eq!(Percent::parse("100%").unwrap(), Percent::ALL);
        for text in ["", "%", "101%", "-1%", "+5%", "05%", "1.5%", "50", "50 %"] {
            assert!(Percent::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_rounds_the_way_that_is_asked_for() {
        let quarter = CountOrPercent::Percent(Percent::parse("25%").unwrap());
        assert_eq!(quarter.of(3, Rounding::Up), 1);
        assert_eq!(quarter.of(3, Rounding::Down), 0);
        assert_eq!(CountOrPercent::Count(7).of(3, Rounding::Down), 7);
    }
}
