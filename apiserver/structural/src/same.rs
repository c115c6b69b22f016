//! Whether a value is unchanged, and which old value belongs to a new one.
//!
//! The rule of ratcheting (KEP-4008): what an update leaves as it was is not held against it. Fields belong together by
//! name, items of a list of type map by their keys; items of other lists do not belong together at all. Source:
//! `k8s.io/apiserver/pkg/cel/common` (CorrelatedObject, MapList).

use crate::schema::{ListType, Schema};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Whether two values say the same: lists of type map in any order, everything else exactly. A departure from upstream:
/// what the schema does not know is compared too, where upstream never takes it as unchanged.
pub(crate) fn is_same(schema: &Schema, new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            new.len() == old.len()
                && new.iter().zip(old).all(|((name, value), (old_name, old_value))| {
                    name == old_name
                        && match schema.child(name) {
                            Some(schema) => is_same(schema, value, old_value),
                            None => value == old_value,
                        }
                })
        }
        (Value::Array(new), Value::Array(old)) => match (OldItems::of(schema, Some(old)), &schema.items) {
            (Some(items), Some(schema)) => {
                new.len() == old.len()
                    && new.iter().all(|item| items.get(item).is_some_and(|old| is_same(schema, item, old)))
            }
            _ => new == old,
        },
        (new, old) => new == old,
    }
}

/// Items of a list of type map before an update, by their keys.
pub(crate) struct OldItems<'v> {
    keys: &'v [String],
    items: BTreeMap<Vec<Ordered<'v>>, &'v Value>,
}

impl<'v> OldItems<'v> {
    /// Nothing where items do not belong together.
    pub fn of(schema: &'v Schema, old: Option<&'v Vec<Value>>) -> Option<Self> {
        let ListType::Map(keys) = &schema.list_type else { return None };
        let old = old?;
        let mut items = BTreeMap::new();
        for item in old {
            if let Some(key) = key_of(keys, item) {
                items.entry(key).or_insert(item);
            }
        }
        Some(Self { keys, items })
    }

    /// The first old item with the keys of a new one.
    pub fn get(&self, item: &'v Value) -> Option<&'v Value> {
        self.items.get(&key_of(self.keys, item)?).copied()
    }
}

/// All keys must be there and scalar.
fn key_of<'v>(keys: &[String], item: &'v Value) -> Option<Vec<Ordered<'v>>> {
    keys.iter()
        .map(|key| match item.get(key)? {
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            scalar => Some(Ordered(scalar)),
        })
        .collect()
}

/// A value in a total order, under which integers differ from floats of the same size, as upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'v>(pub &'v Value);

impl Ordered<'_> {
    fn rank(self) -> u8 {
        match self.0 {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(number) if number.is_f64() => 2,
            Value::Number(_) => 3,
            Value::String(_) => 4,
            Value::Array(_) => 5,
            Value::Object(_) => 6,
        }
    }
}

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) if self.rank() == other.rank() => {
                let integers = a.as_i128().zip(b.as_i128());
                let floats = a.as_f64().zip(b.as_f64());
                match (integers, floats) {
                    (Some((a, b)), _) => a.cmp(&b),
                    (None, Some((a, b))) => a.total_cmp(&b),
                    (None, None) => Ordering::Equal,
                }
            }
            (Value::Array(a), Value::Array(b)) => a.iter().map(Ordered).cmp(b.iter().map(Ordered)),
            (Value::Object(a), Value::Object(b)) => {
                let ordered = |(name, value)| (name, Ordered(value));
                a.iter().map(ordered).cmp(b.iter().map(ordered))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ports() -> Schema {
        let port = Schema {
            properties: BTreeMap::from([
                ("name".to_owned(), Box::default()),
                ("port".to_owned(), Box::default()),
            ]),
            ..Schema::default()
        };
        Schema {
            items: Some(Box::new(port)),
            list_type: ListType::Map(vec!["name".to_owned()]),
            ..Schema::default()
        }
    }

    #[test]
    fn lists_of_type_map_are_the_same_in_any_order() {
        let old = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
        assert!(is_same(&ports(), &json!([{"name": "b", "port": 2}, {"name": "a", "port": 1}]), &old));
        assert!(!is_same(&ports(), &json!([{"name": "b", "port": 1}, {"name": "a", "port": 2}]), &old));
        assert!(!is_same(&ports(), &json!([{"name": "b", "port": 2}]), &old));
        assert!(!is_same(&Schema::default(), &json!([2, 1]), &json!([1, 2])));
    }

    #[test]
    fn the_first_of_several_items_with_one_key_counts() {
        let schema = ports();
        let old = json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}, {"port": 3}, 4]);
        let items = OldItems::of(&schema, old.as_array()).unwrap();
        assert_eq!(items.get(&json!({"name": "a", "port": 9})), Some(&json!({"name": "a", "port": 1})));
        assert_eq!(items.get(&json!({"port": 3})), None);
        assert_eq!(items.get(&json!(4)), None);
    }

    #[test]
    fn integers_are_not_floats() {
        assert_ne!(Ordered(&json!(1)), Ordered(&json!(1.0)));
        assert_eq!(Ordered(&json!({"a": [1, "x"]})), Ordered(&json!({"a": [1, "x"]})));
        assert!(Ordered(&json!(u64::MAX)) > Ordered(&json!(i64::MIN)));
    }
}
