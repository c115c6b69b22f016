//! Scalar values that several kinds share: each is one type with one schema and one reader.
//!
//! A value keeps the text it was written in, so that an object survives a round trip through these types byte for
//! byte; what the text means is computed when asked for.

mod duration;
mod int_or_string;
mod percent;
mod quantity;
mod text;

pub use duration::Duration;
pub use int_or_string::{IntOrString, PortRef};
pub use percent::{CountOrPercent, Percent, Rounding};
pub use quantity::Quantity;
pub use text::{
    AbsolutePath, Cidr, DnsLabel, DnsSubdomain, EnvName, FieldPath, IpAddress, LabelKey, LabelValue,
    PortName, PublicKey, RecordName, RelativePath, Uri, ZoneName,
};

/// A text that is not a value of the type it was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// What was expected, for people: `a duration such as 60s or 1h30m`.
    pub expected: &'static str,
    /// What was found, cut at 64 characters.
    pub found: String,
}

impl InvalidValue {
    pub(crate) fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(64).collect() }
    }
}

impl std::fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is not {}", self.found, self.expected)
    }
}

impl std::error::Error for InvalidValue {}

#[cfg(test)]
mod tests;
