//! Timestamps and durations: parsing, printing and calendar arithmetic, without a clock or a time-zone
//! database.
//!
//! Invariants: a [`Timestamp`] lies in the years 1 to 9999; a [`Duration`] is a 64-bit count of
//! nanoseconds, as in Go, so about 292 years either way.

use std::fmt;

use crate::error::EvalError;

const NANOS: i128 = 1_000_000_000;
const DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z in seconds of the Unix epoch.
const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;

/// A point in time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// A span of time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

/// A point in time as a calendar and a clock on the wall show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) nanos: u32,
    /// Days since Sunday.
    pub(crate) weekday: i64,
    /// Days since 1 January.
    pub(crate) yearday: i64,
}

impl Timestamp {
    /// The point `seconds` and `nanos` after the Unix epoch; an error outside the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Result<Self, EvalError> {
        if (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) && i128::from(nanos) < NANOS {
            Ok(Self { seconds, nanos })
        } else {
            Err(EvalError::Overflow("timestamp"))
        }
    }

    /// Seconds since the Unix epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    fn total_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS + i128::from(self.nanos)
    }

    fn from_nanos(total: i128) -> Result<Self, EvalError> {
        let seconds = i64::try_from(total.div_euclid(NANOS)).map_err(|_| EvalError::Overflow("timestamp"))?;
        let nanos = u32::try_from(total.rem_euclid(NANOS)).map_err(|_| EvalError::Overflow("timestamp"))?;
        Self::new(seconds, nanos)
    }

    pub(crate) fn add(self, duration: Duration) -> Result<Self, EvalError> {
        Self::from_nanos(self.total_nanos() + i128::from(duration.0))
    }

    pub(crate) fn sub(self, duration: Duration) -> Result<Self, EvalError> {
        Self::from_nanos(self.total_nanos() - i128::from(duration.0))
    }

    pub(crate) fn since(self, earlier: Self) -> Result<Duration, EvalError> {
        i64::try_from(self.total_nanos() - earlier.total_nanos())
            .map(Duration)
            .map_err(|_| EvalError::Overflow("duration"))
    }

    /// The wall clock `offset` seconds east of UTC.
    pub(crate) fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let days = local.div_euclid(DAY);
        let time = local.rem_euclid(DAY);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
            nanos: self.nanos,
            weekday: (days + 4).rem_euclid(7),
            yearday: days - days_from_civil(year, 1, 1),
        }
    }

    /// Parses an RFC 3339 date-time.
    pub fn parse(text: &str) -> Result<Self, EvalError> {
        parse_rfc3339(text)
            .ok_or_else(|| EvalError::conversion("invalid timestamp: not an RFC 3339 date-time"))
            .and_then(|(seconds, nanos)| Self::new(seconds, nanos))
    }

    /// Parses an RFC 3339 date-time or a date, which is its midnight in UTC.
    pub(crate) fn parse_date_or_time(text: &str) -> Result<Self, EvalError> {
        let mut cursor = Cursor(text.as_bytes());
        if text.len() == 10
            && let Some(days) = cursor.date()
        {
            return Self::new(days * DAY, 0);
        }
        Self::parse(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.civil(0);
        write!(f, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)?;
        if self.nanos > 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Duration {
    /// Parses a duration as Go writes them: signed decimals with the units `h`, `m`, `s`, `ms`, `us`
    /// (or `µs`) and `ns`, as in `-1.5h` or `1h30m`.
    pub fn parse(text: &str) -> Result<Self, EvalError> {
        let invalid = || EvalError::conversion(format!("invalid duration: {}", clip(text)));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (nanos, tail) = duration_term(rest).ok_or_else(invalid)?;
            total =
                total.checked_add(nanos).filter(|t| *t <= i128::from(i64::MAX) + 1).ok_or_else(invalid)?;
            rest = tail;
        }
        i64::try_from(if negative { -total } else { total }).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Duration {
    /// Decimal seconds, as in `5400s` or `-0.25s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / 1_000_000_000)?;
        let fraction = magnitude % 1_000_000_000;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

/// A time zone given as `UTC`, `Z` or an offset (`+01:00`, `-08:00`, `02:00`), in seconds east of UTC.
///
/// Names of the IANA database are refused: what they mean changes with the machine's copy of it.
pub(crate) fn parse_zone(zone: &str) -> Result<i64, EvalError> {
    if matches!(zone, "" | "UTC" | "Z" | "Etc/UTC" | "GMT") {
        return Ok(0);
    }
    let (sign, digits) = match zone.as_bytes().first() {
        Some(b'-') => (-1, &zone[1..]),
        Some(b'+') => (1, &zone[1..]),
        _ => (1, zone),
    };
    let mut cursor = Cursor(digits.as_bytes());
    let offset = (|| {
        let hours = cursor.number(2)?;
        cursor.expect(b':')?;
        let minutes = cursor.number(2)?;
        (cursor.0.is_empty() && hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)
    })();
    match offset {
        Some(offset) => Ok(sign * offset),
        None => Err(EvalError::argument(format!(
            "unknown time zone {}: only UTC and fixed offsets such as +01:00 are supported",
            clip(zone)
        ))),
    }
}

fn duration_term(text: &str) -> Option<(i128, &str)> {
    const UNITS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut rest = &text[whole..];
    let mut fraction = "";
    if let Some(tail) = rest.strip_prefix('.') {
        let length = digits(tail);
        (fraction, rest) = tail.split_at(length);
    }
    if whole == 0 && fraction.is_empty() {
        return None;
    }
    let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
    let whole: i128 = if whole == 0 { 0 } else { text[..whole].parse::<u64>().ok()?.into() };
    let mut nanos = whole.checked_mul(*scale)?;
    // Digits past the eighteenth are below a nanosecond in every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    if !fraction.is_empty() {
        let value: i128 = fraction.parse::<u64>().ok()?.into();
        nanos = nanos.checked_add(value * scale / 10_i128.pow(u32::try_from(fraction.len()).ok()?))?;
    }
    Some((nanos, &rest[unit.len()..]))
}

struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, tail) = self.0.split_at_checked(digits)?;
        self.0 = tail;
        head.iter()
            .try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, tail) = self.0.split_first()?;
        self.0 = tail;
        (*first == byte).then_some(())
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.number(2)?;
        self.expect(b'-')?;
        let day = self.number(2)?;
        ((1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month))
            .then(|| days_from_civil(year, month, day))
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.expect(b'.')?;
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, tail) = self.0.split_at(length);
        self.0 = tail;
        if digits.is_empty() {
            return None;
        }
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        Some(padded.fold(0, |value, byte| value * 10 + u32::from(byte - b'0')))
    }

    fn offset(&mut self) -> Option<i64> {
        let (first, tail) = self.0.split_first()?;
        self.0 = tail;
        let sign = match first {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2)?;
        self.expect(b':')?;
        let minutes = self.number(2)?;
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn parse_rfc3339(text: &str) -> Option<(i64, u32)> {
    let mut cursor = Cursor(text.as_bytes());
    let days = cursor.date()?;
    let (separator, tail) = cursor.0.split_first()?;
    if !matches!(separator, b'T' | b't') {
        return None;
    }
    cursor.0 = tail;
    let hour = cursor.number(2)?;
    cursor.expect(b':')?;
    let minute = cursor.number(2)?;
    cursor.expect(b':')?;
    let second = cursor.number(2)?;
    let nanos = cursor.fraction()?;
    let offset = cursor.offset()?;
    if hour > 23 || minute > 59 || second > 59 || !cursor.0.is_empty() {
        return None;
    }
    Some((days * DAY + hour * 3600 + minute * 60 + second - offset, nanos))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Source: H. Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// The head of a text for use in an error: hostile input must not make errors large.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_printing() {
        for text in [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "2000-02-29T12:30:45.5Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2024-01-01T01:00:00+02:00").unwrap().to_string(),
            "2023-12-31T23:00:00Z"
        );
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in
            ["", "2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "é"]
        {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
        for text in ["", "-", "1", "1x", "s", ".s", "1h1", "9223372036854775807h", "1é"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_add_their_terms() {
        for (text, seconds) in [
            ("0", "0s"),
            ("1h30m", "5400s"),
            ("-1.5h", "-5400s"),
            ("250ms", "0.25s"),
            ("1us1ns", "0.000001001s"),
        ] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), seconds, "{text}");
        }
    }

    #[test]
    fn calendars_agree_in_both_directions() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
