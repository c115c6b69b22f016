//! `--sort-by`: the order of values that came as JSON. Numbers, quantities and times sort as what they are.

use crate::jsonpath::numbers;
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// What a field's values are taken for: one type for all of them.
#[derive(Clone, Debug, PartialEq)]
enum Key {
    Number(Number),
    Quantity(f64),
    Time(jiff::Timestamp),
    Text(String),
}

/// Sorts `items` by the value that `of` finds for each; what has none comes last, and equals keep their order. False
/// if none has one.
pub fn sort_by<T>(items: &mut Vec<T>, of: impl Fn(&T) -> Option<Value>) -> bool {
    let values: Vec<Option<Value>> = items.iter().map(of).map(|v| v.filter(|v| !v.is_null())).collect();
    if !items.is_empty() && values.iter().all(Option::is_none) {
        return false;
    }
    let read = reader(values.iter().flatten());
    let mut keyed: Vec<(Option<Key>, T)> =
        values.iter().map(|v| v.as_ref().map(read)).zip(items.drain(..)).collect();
    keyed.sort_by(|(left, _), (right, _)| match (left, right) {
        (Some(left), Some(right)) => compare(left, right),
        (left, right) => left.is_none().cmp(&right.is_none()),
    });
    items.extend(keyed.into_iter().map(|(_, item)| item));
    true
}

/// How to read values: the first way in which all of them can be.
fn reader<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> fn(&Value) -> Key {
    let text: fn(&Value) -> Key = |value| Key::Text(crate::jsonpath::shown(value));
    let ways: [fn(&Value) -> Option<Key>; 3] = [number, time, quantity_of];
    let Some(way) = ways.iter().position(|way| values.clone().all(|value| way(value).is_some())) else {
        return text;
    };
    match way {
        0 => |value| number(value).unwrap_or(Key::Text(String::new())),
        1 => |value| time(value).unwrap_or(Key::Text(String::new())),
        _ => |value| quantity_of(value).unwrap_or(Key::Text(String::new())),
    }
}

fn number(value: &Value) -> Option<Key> {
    value.as_number().cloned().map(Key::Number)
}

fn time(value: &Value) -> Option<Key> {
    value.as_str()?.parse().ok().map(Key::Time)
}

fn quantity_of(value: &Value) -> Option<Key> {
    match value {
        Value::Number(number) => number.as_f64().map(Key::Quantity),
        Value::String(text) => quantity(text).map(Key::Quantity),
        _ => None,
    }
}

/// `250m`, `1.5Gi`, `3e2`: `k8s.io/apimachinery/pkg/api/resource`.
pub fn quantity(text: &str) -> Option<f64> {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = text.find(|c| !digits(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => return text.parse().ok().filter(|_: &f64| exponent.starts_with(['e', 'E'])),
    };
    Some(number * factor)
}

fn compare(left: &Key, right: &Key) -> Ordering {
    match (left, right) {
        (Key::Number(left), Key::Number(right)) => numbers(left, right).unwrap_or(Ordering::Equal),
        (Key::Quantity(left), Key::Quantity(right)) => left.total_cmp(right),
        (Key::Time(left), Key::Time(right)) => left.cmp(right),
        (Key::Text(left), Key::Text(right)) => natural(left, right),
        _ => Ordering::Equal,
    }
}

/// `web-9` before `web-10`.
pub fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let (a, b) = (left.chars().next(), right.chars().next());
        let (Some(a), Some(b)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let run = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (x, rest) = left.split_at(run(left));
            let (y, others) = right.split_at(run(right));
            let (bare, other) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let order =
                bare.len().cmp(&other.len()).then_with(|| bare.cmp(other)).then(x.len().cmp(&y.len()));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (rest, others);
            continue;
        }
        if a != b {
            return a.cmp(&b);
        }
        (left, right) = (&left[a.len_utf8()..], &right[b.len_utf8()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sorted(values: Value) -> Value {
        let mut items = values.as_array().unwrap().clone();
        sort_by(&mut items, |v| Some(v.clone()));
        Value::from(items)
    }

    #[test]
    fn values_sort_as_what_they_are() {
        assert_eq!(
            sorted(json!([10, 9, -1.5, 9007199254740993_i64])),
            json!([-1.5, 9, 10, 9007199254740993_i64])
        );
        assert_eq!(
            sorted(json!(["1Gi", "900Mi", "1G", "250m", "0.5", 2])),
            json!(["250m", "0.5", 2, "900Mi", "1G", "1Gi"])
        );
        let times = json!(["2026-11-21T10:00:00+02:00", "2026-11-21T09:00:00Z", "2026-11-21T07:59:59.5Z"]);
        assert_eq!(
            sorted(times),
            json!(["2026-11-21T07:59:59.5Z", "2026-11-21T10:00:00+02:00", "2026-11-21T09:00:00Z"])
        );
        assert_eq!(
            sorted(json!(["web-10", "web-9", "db-1", "web-09"])),
            json!(["db-1", "web-9", "web-09", "web-10"])
        );
        // A word among the numbers makes words of them all.
        assert_eq!(sorted(json!([10, "x", null, 9])), json!([9, 10, "x", null]));
        assert_eq!(quantity("3e2"), Some(300.0));
        assert_eq!((quantity("x"), quantity(""), quantity("1Zi")), (None, None, None));
    }

    #[test]
    fn what_nobody_has_cannot_sort() {
        assert!(!sort_by(&mut vec![1, 2], |_| None));
        assert!(sort_by(&mut Vec::<i32>::new(), |_| None));
    }
}
