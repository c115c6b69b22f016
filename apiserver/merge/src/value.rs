//! Equality and order of JSON values, as `structured-merge-diff/value` defines them: numbers compare by what they
//! count, not by how they were written.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

/// Equal, with `1` and `1.0` the same number.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => l == r || order_numbers(l, r) == Ordering::Equal,
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| equal(l, r)),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|((lk, lv), (rk, rv))| lk == rk && equal(lv, rv))
        }
        _ => left == right,
    }
}

/// A total order: numbers, strings, booleans, lists, maps, null.
pub(crate) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => order_numbers(l, r),
        (Value::String(l), Value::String(r)) => l.cmp(r),
        (Value::Bool(l), Value::Bool(r)) => l.cmp(r),
        (Value::Array(l), Value::Array(r)) => order_lists(l, r),
        (Value::Object(l), Value::Object(r)) => order_maps(l, r),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn order_numbers(left: &Number, right: &Number) -> Ordering {
    if let (Some(l), Some(r)) = (left.as_i64(), right.as_i64()) {
        return l.cmp(&r);
    }
    if let (Some(l), Some(r)) = (left.as_u64(), right.as_u64()) {
        return l.cmp(&r);
    }
    // JSON has no NaN, so the order is total.
    let (l, r) = (left.as_f64().unwrap_or(0.0), right.as_f64().unwrap_or(0.0));
    l.partial_cmp(&r).unwrap_or(Ordering::Equal)
}

fn order_lists(left: &[Value], right: &[Value]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(l, r)| order(l, r))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn order_maps(left: &Map<String, Value>, right: &Map<String, Value>) -> Ordering {
    left.iter()
        .zip(right)
        .map(|((lk, lv), (rk, rv))| lk.cmp(rk).then_with(|| order(lv, rv)))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// A value as a key of ordered maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed<'a>(pub(crate) &'a Value);

impl PartialEq for Keyed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Keyed<'_> {}

impl PartialOrd for Keyed<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyed<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.0, other.0)
    }
}

/// Levels of nesting: 0 for a scalar, 1 for a flat list or map. Stops counting above `limit`, so that it never
/// recurses further than the caller is prepared to accept.
pub(crate) fn depth(value: &Value, limit: usize) -> usize {
    fn children<'a>(values: impl Iterator<Item = &'a Value>, limit: usize) -> usize {
        if limit == 0 {
            return 1;
        }
        1 + values.map(|v| depth(v, limit - 1)).max().unwrap_or(0)
    }
    match value {
        Value::Array(items) => children(items.iter(), limit),
        Value::Object(map) => children(map.values(), limit),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_compared_by_what_they_count() {
        assert!(equal(&json!(1), &json!(1.0)));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(equal(&json!({"a": [1, {"b": 2.0}]}), &json!({"a": [1.0, {"b": 2}]})));
        assert!(!equal(&json!(u64::MAX), &json!(u64::MAX - 1)), "large integers keep their last digit");
        assert_eq!(order(&json!(80), &json!(443)), Ordering::Less);
        assert_eq!(order(&json!(-1), &json!(u64::MAX)), Ordering::Less);
    }

    #[test]
    fn kinds_are_ordered_as_upstream_orders_them() {
        let ascending = [json!(7), json!("a"), json!(true), json!([0]), json!({}), json!(null)];
        assert!(ascending.windows(2).all(|w| order(&w[0], &w[1]) == Ordering::Less));
    }

    #[test]
    fn depth_stops_at_the_limit() {
        assert_eq!(depth(&json!(1), 9), 0);
        assert_eq!(depth(&json!({"a": [1]}), 9), 2);
        let deep = (0..50).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(depth(&deep, 10), 11);
    }
}
