//! One entry of `metadata.managedFields` (`meta/v1` ManagedFieldsEntry).

use crate::context::Context;
use crate::fieldset::FieldSet;
use hypermesh_api::printed::{push_json_string, quoted};
use serde_json::Value;

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What makes two entries the same: an applier has one entry whatever version it applies with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerId {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    /// Empty for appliers.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl ManagerId {
    /// The entry of `cx`'s manager.
    pub(crate) fn of(cx: &Context<'_>, operation: Operation) -> Self {
        Self::named(if cx.manager.is_empty() { "unknown" } else { cx.manager }, cx, operation)
    }

    pub(crate) fn named(manager: &str, cx: &Context<'_>, operation: Operation) -> Self {
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => cx.api_version.to_owned(),
            },
            subresource: cx.subresource.to_owned(),
        }
    }

    /// The text by which upstream orders managers.
    pub(crate) fn identifier(&self) -> String {
        let mut text = String::from("{");
        let mut field = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(if text.len() > 1 { ",\"" } else { "\"" });
                text.push_str(name);
                text.push_str("\":");
                push_json_string(&mut text, value);
            }
        };
        field("manager", &self.manager);
        field("operation", self.operation.text());
        field("apiVersion", &self.api_version);
        field("subresource", &self.subresource);
        text.push('}');
        text
    }

    /// How a conflict names the manager: `"m1" with subresource "status" using hm.example.com/v1`.
    ///
    /// Upstream would add the time of an update, but the identifier it prints from never holds one.
    pub(crate) fn shown(&self) -> String {
        let mut text = quoted(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(" with subresource ");
            text.push_str(&quoted(&self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(" using ");
            text.push_str(&self.api_version);
        }
        text
    }
}

/// What an entry says of its manager.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) set: FieldSet,
    pub(crate) time: Option<Time>,
}

/// When an entry last changed, to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    text: String,
    seconds: i64,
}

impl Time {
    /// Reads RFC 3339 of any offset and precision.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = plain_seconds(text) {
            return Some(Self { text: text.to_owned(), seconds });
        }
        let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
        // Kept in the one form in which times are written.
        let text = jiff::Timestamp::from_second(seconds).ok()?.to_string();
        Some(Self { text, seconds })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Upstream orders an entry without a time as one of the epoch.
    pub(crate) fn seconds(time: Option<&Self>) -> i64 {
        time.map_or(0, |t| t.seconds)
    }
}

/// Seconds since the epoch of `2026-11-21T09:18:03Z`, the form in which times are written, on a day that every month has;
/// nothing else is read here. Days of the civil calendar are counted as in Howard Hinnant's `days_from_civil`.
fn plain_seconds(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| digits.iter().fold(0_i64, |n, digit| n * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let usual = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !usual || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Reads one entry; `None` if it is malformed.
pub(super) fn decode(entry: &Value) -> Option<(ManagerId, Owner)> {
    let map = entry.as_object()?;
    let text = |name: &str| match map.get(name) {
        None | Some(Value::Null) => Some(""),
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => None,
    };
    let operation = match text("operation")? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let api_version = text("apiVersion")?;
    if api_version.is_empty() || text("fieldsType")? != "FieldsV1" {
        return None;
    }
    let set = match map.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::new(),
        Some(fields) => FieldSet::from_fields_v1(fields).ok()?,
    };
    let time = match text("time")? {
        "" => None,
        time => Some(Time::parse(time)?),
    };
    let id = ManagerId {
        manager: text("manager")?.to_owned(),
        operation,
        api_version: match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.to_owned(),
        },
        subresource: text("subresource")?.to_owned(),
    };
    Some((id, Owner { api_version: api_version.to_owned(), set, time }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_read_alike_both_ways(seconds in 0_i64..253_402_300_800) {
            let text = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(Time::parse(&text), Some(Time { text: text.clone(), seconds }));
            if let Some(plain) = plain_seconds(&text) {
                prop_assert_eq!(plain, seconds);
            }
        }
    }

    #[test]
    fn what_is_no_plain_time_is_left_to_the_library() {
        for text in [
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-0xT00:00:00Z",
            "",
        ] {
            assert_eq!(plain_seconds(text), None, "{text}");
        }
        assert_eq!(plain_seconds("2024-02-28T23:59:59Z"), Some(1_709_164_799));
    }
}
