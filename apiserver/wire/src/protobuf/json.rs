//! JSON objects as Go writes structs: one method for each way in which a field's emptiness is treated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_pb::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A JSON object being built.
#[derive(Debug, Default)]
pub(super) struct Object(Map<String, Value>);

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// A field that is always there.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// `omitempty` string.
    pub fn text(mut self, key: &str, value: &Option<String>) -> Self {
        if let Some(text) = value.as_deref().filter(|text| !text.is_empty()) {
            self.set(key, text);
        }
        self
    }

    /// `omitempty` number.
    pub fn number<N: Copy + Into<i64>>(mut self, key: &str, value: Option<N>) -> Self {
        if let Some(number) = value.map(Into::into).filter(|number: &i64| *number != 0) {
            self.set(key, number);
        }
        self
    }

    /// A pointer to a scalar: its zero is a value.
    pub fn pointer<V: Clone + Into<Value>>(mut self, key: &str, value: &Option<V>) -> Self {
        if let Some(value) = value {
            self.set(key, value.clone());
        }
        self
    }

    /// `omitempty` list of strings.
    pub fn texts(mut self, key: &str, values: &[String]) -> Self {
        if !values.is_empty() {
            self.set(key, values);
        }
        self
    }

    /// `omitempty` list of structs.
    pub fn list<T>(self, key: &str, values: &[T], each: impl Fn(&T) -> Object) -> Self {
        let Ok(object) = self.try_list::<T, Infallible>(key, values, |value| Ok(each(value)));
        object
    }

    /// [`Object::list`] of what may fail.
    pub fn try_list<T, E>(
        mut self,
        key: &str,
        values: &[T],
        each: impl Fn(&T) -> Result<Object, E>,
    ) -> Result<Self, E> {
        if !values.is_empty() {
            let items =
                values.iter().map(|value| each(value).map(Value::from)).collect::<Result<Vec<_>, E>>()?;
            self.set(key, items);
        }
        Ok(self)
    }

    /// A struct within: absent where it is empty.
    pub fn nested<T>(mut self, key: &str, value: &Option<T>, fields: impl Fn(&T) -> Object) -> Self {
        if let Some(object) = value.as_ref().map(fields).filter(|object| !object.0.is_empty()) {
            self.set(key, object);
        }
        self
    }

    /// A pointer to a struct: there even where it is empty.
    pub fn optional<T>(mut self, key: &str, value: &Option<T>, fields: impl Fn(&T) -> Object) -> Self {
        if let Some(value) = value {
            self.set(key, fields(value));
        }
        self
    }

    /// `omitempty` map of strings.
    pub fn text_map(mut self, key: &str, values: &BTreeMap<String, String>) -> Self {
        if !values.is_empty() {
            let map: Map<String, Value> =
                values.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
            self.set(key, map);
        }
        self
    }

    /// `omitempty` map of bytes.
    pub fn bytes_map(mut self, key: &str, values: &BTreeMap<String, Vec<u8>>) -> Self {
        if !values.is_empty() {
            let map: Map<String, Value> =
                values.iter().map(|(k, v)| (k.clone(), STANDARD.encode(v).into())).collect();
            self.set(key, map);
        }
        self
    }

    /// A point in time, in whole seconds.
    pub fn time(mut self, key: &str, value: &Option<Time>) -> Self {
        if let Some(text) = value.as_ref().and_then(|t| timestamp(t.seconds, t.nanos, Fraction::None)) {
            self.set(key, text);
        }
        self
    }

    /// A point in time, in microseconds.
    pub fn micro_time(mut self, key: &str, value: &Option<MicroTime>) -> Self {
        if let Some(text) = value.as_ref().and_then(|t| timestamp(t.seconds, t.nanos, Fraction::Micros)) {
            self.set(key, text);
        }
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fraction {
    None,
    Micros,
}

/// RFC 3339 in UTC. `None` for Go's zero time, and for what lies outside the years 1 to 9999, which RFC 3339 cannot
/// write.
fn timestamp(seconds: Option<i64>, nanos: Option<i32>, fraction: Fraction) -> Option<String> {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    let (seconds, nanos) = (seconds.unwrap_or_default(), nanos.unwrap_or_default());
    if (seconds, nanos) == (0, 0) || !(YEAR_1 + 1..YEAR_10000).contains(&seconds) {
        return None;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction == Fraction::Micros {
        text.push_str(&format!(".{:06}", nanos.clamp(0, 999_999_999) / 1000));
    }
    text.push('Z');
    Some(text)
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar (H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let shown = |seconds, nanos, fraction| timestamp(Some(seconds), Some(nanos), fraction);
        assert_eq!(shown(1_795_252_683, 5, Fraction::None).as_deref(), Some("2026-11-21T09:18:03Z"));
        assert_eq!(shown(951_782_400, 0, Fraction::None).as_deref(), Some("2000-02-29T00:00:00Z"));
        assert_eq!(shown(-1, 1_234_567, Fraction::Micros).as_deref(), Some("1969-12-31T23:59:59.001234Z"));
        assert_eq!(shown(253_402_300_799, 0, Fraction::None).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(shown(0, 0, Fraction::None), None);
        for absurd in [i64::MIN, i64::MAX, -62_135_596_800, 253_402_300_800] {
            assert_eq!(shown(absurd, 0, Fraction::None), None);
        }
        assert_eq!(shown(1, i32::MIN, Fraction::Micros).as_deref(), Some("1970-01-01T00:00:01.000000Z"));
    }
}
