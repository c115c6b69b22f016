//! Formats of dates, times and durations.

/// `2006-01-02`, of a day that exists.
pub(super) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<u32>().ok() } else { None }
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// RFC 3339's date-time, with `t` and `z` in either case; any character may stand before the fraction, and nothing
/// bounds the offset, as upstream.
pub(super) fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && is_time(time)
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let two = |at: usize, most: &str| {
        text.get(at..at + 2).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()) && part <= most)
    };
    if bytes.len() < 9
        || bytes[2] != b':'
        || bytes[5] != b':'
        || !two(0, "23")
        || !two(3, "59")
        || !two(6, "59")
    {
        return false;
    }
    let Some(rest) = text.get(8..) else { return false };
    is_zone(rest) || {
        let mut chars = rest.chars();
        chars.next();
        let digits = chars.as_str();
        let zone = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        zone.len() < digits.len() && is_zone(zone)
    }
}

fn is_zone(text: &str) -> bool {
    let bytes = text.as_bytes();
    text == "z"
        || (bytes.len() == 6
            && matches!(bytes[0], b'+' | b'-')
            && bytes[3] == b':'
            && [1, 2, 4, 5].iter().all(|&i| bytes[i].is_ascii_digit()))
}

/// What Go's `time.ParseDuration` takes, or text in which a number is followed by the name of a unit: `3 days`.
pub(super) fn is_duration(text: &str) -> bool {
    is_go_duration(text) || is_worded_duration(text)
}

/// `1h2.5m`; "0" needs no unit. At most 2^63 - 1 nanoseconds.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = take(&mut rest, |c| c.is_ascii_digit());
        let fraction = match rest.strip_prefix('.') {
            Some(after) => {
                rest = after;
                take(&mut rest, |c| c.is_ascii_digit())
            }
            None => "",
        };
        let unit = match take(&mut rest, |c| c != '.' && !c.is_ascii_digit()) {
            "ns" => 1u128,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return false,
        };
        if (number.is_empty() && fraction.is_empty()) || number.len() > 19 {
            return false;
        }
        let whole = number.parse::<u128>().unwrap_or_default();
        // Fractions add less than one unit.
        total += whole * unit + if fraction.is_empty() { 0 } else { fraction_of(fraction, unit) };
        if total > i64::MAX as u128 {
            return false;
        }
    }
    total <= i64::MAX as u128 && !text.is_empty() && !matches!(text, "+" | "-")
}

fn fraction_of(digits: &str, unit: u128) -> u128 {
    // Further digits are below a nanosecond for every unit.
    let digits = &digits[..digits.len().min(18)];
    digits.parse::<u128>().unwrap_or_default() * unit / 10u128.pow(digits.len() as u32)
}

fn take<'t>(rest: &mut &'t str, belongs: impl Fn(char) -> bool) -> &'t str {
    let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    *rest = tail;
    head
}

fn is_worded_duration(text: &str) -> bool {
    /// Matched as a whole.
    const UNITS: [&str; 9] = ["ns", "us", "\u{b5}s", "ms", "s", "m", "h", "d", "w"];
    /// Matched at the start of a word.
    const WORDS: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    /// Matched as a whole too: the middle names of their units.
    const SHORT: [&str; 2] = ["hr", "wk"];
    let mut rest = text;
    let mut found = false;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let number = take(&mut rest, |c| c.is_ascii_digit());
        let after = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        let mut word = after;
        let unit = take(&mut word, |c| c.is_ascii_alphabetic() || c == '\u{b5}').to_lowercase();
        if unit.is_empty() {
            continue;
        }
        rest = word;
        if number.parse::<i64>().is_err() {
            return false;
        }
        found |= UNITS.contains(&unit.as_str())
            || SHORT.contains(&unit.as_str())
            || WORDS.iter().any(|word| unit.starts_with(word));
    }
    found
}
