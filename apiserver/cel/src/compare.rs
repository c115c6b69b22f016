//! Equality, order and concatenation, all charged by what they visit.
//!
//! Equality is CEL's: heterogeneous (values of different types are unequal, not an error), numeric
//! across `int`, `uint` and `double`, and by identity rather than order for lists that a schema calls
//! sets or maps.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::list::Identity;
use crate::value::{Extension, Key, List, MAX_VALUE_DEPTH, Map, Value};

/// Whether two values are equal.
pub(crate) fn equal(meter: &mut Meter<'_>, left: &Value<'_>, right: &Value<'_>) -> Result<bool, EvalError> {
    equal_within(meter, left, right, MAX_VALUE_DEPTH)
}

fn equal_within(
    meter: &mut Meter<'_>,
    left: &Value<'_>,
    right: &Value<'_>,
    depth: usize,
) -> Result<bool, EvalError> {
    let depth = depth.checked_sub(1).ok_or(EvalError::TooDeep)?;
    meter.charge(1)?;
    match (left, right) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::String(a), Value::String(b)) => {
            meter.scan(a.len().min(b.len()))?;
            Ok(**a == **b)
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.scan(a.len().min(b.len()))?;
            Ok(a == b)
        }
        (Value::Duration(a), Value::Duration(b)) => Ok(a == b),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a == b),
        (Value::Type(a), Value::Type(b)) => Ok(a == b),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (None, None) => Ok(true),
            (Some(a), Some(b)) => equal_within(meter, a, b, depth),
            _ => Ok(false),
        },
        (Value::List(a), Value::List(b)) => equal_lists(meter, a, b, depth),
        (Value::Map(a), Value::Map(b)) => equal_maps(meter, a, b, depth),
        (Value::Extension(a), Value::Extension(b)) => Ok(equal_extensions(a, b)),
        _ => Ok(numbers(left, right) == Some(Some(Ordering::Equal))),
    }
}

fn equal_extensions(left: &Extension, right: &Extension) -> bool {
    match (left, right) {
        (Extension::Ip(a), Extension::Ip(b)) => a == b,
        (Extension::Cidr(a), Extension::Cidr(b)) => a == b,
        (Extension::Quantity(a), Extension::Quantity(b)) => a == b,
        (Extension::Url(a), Extension::Url(b)) => a == b,
        (Extension::Semver(a), Extension::Semver(b)) => a == b,
        (Extension::Format(a), Extension::Format(b)) => std::ptr::eq(*a, *b),
        _ => false,
    }
}

fn equal_maps(
    meter: &mut Meter<'_>,
    left: &Map<'_>,
    right: &Map<'_>,
    depth: usize,
) -> Result<bool, EvalError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    meter.grow(left.len(), 0)?;
    for key in left.keys() {
        let (Some(a), Some(b)) = (left.get(&key)?, right.get(&key)?) else { return Ok(false) };
        if !equal_within(meter, &a, &b, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_lists(
    meter: &mut Meter<'_>,
    left: &List<'_>,
    right: &List<'_>,
    depth: usize,
) -> Result<bool, EvalError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    match left.identity() {
        Identity::Ordered => {
            for (a, b) in left.iter().zip(right.iter()) {
                if !equal_within(meter, &a?, &b?, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Identity::Set => {
            let index = Index::of(meter, right, &[], depth)?;
            for item in left.iter() {
                if index.find(meter, &item?, depth)?.is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Identity::Keyed(keys) => {
            let index = Index::of(meter, right, keys, depth)?;
            for item in left.iter() {
                let item = item?;
                let Some(found) = index.find(meter, &item, depth)? else { return Ok(false) };
                let Some(other) = right.get(found)? else { return Ok(false) };
                if !equal_within(meter, &item, &other, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Positions of a list's elements by what identifies them.
struct Index<'k> {
    keys: &'k [String],
    positions: BTreeMap<String, usize>,
}

impl<'k> Index<'k> {
    fn of(
        meter: &mut Meter<'_>,
        list: &List<'_>,
        keys: &'k [String],
        depth: usize,
    ) -> Result<Self, EvalError> {
        let mut index = Self { keys, positions: BTreeMap::new() };
        for (position, item) in list.iter().enumerate() {
            let identity = index.identity(meter, &item?, depth)?;
            index.positions.entry(identity).or_insert(position);
        }
        Ok(index)
    }

    fn find(
        &self,
        meter: &mut Meter<'_>,
        item: &Value<'_>,
        depth: usize,
    ) -> Result<Option<usize>, EvalError> {
        let identity = self.identity(meter, item, depth)?;
        Ok(self.positions.get(&identity).copied())
    }

    fn identity(&self, meter: &mut Meter<'_>, item: &Value<'_>, depth: usize) -> Result<String, EvalError> {
        let mut out = String::new();
        match (self.keys, item) {
            ([], item) => write_identity(meter, item, depth, &mut out)?,
            (keys, Value::Map(map)) => {
                for key in keys {
                    match map.get(&Key::String(crate::value::Text::Borrowed(key)))? {
                        Some(value) => write_identity(meter, &value, depth, &mut out)?,
                        None => out.push('-'),
                    }
                    out.push(',');
                }
            }
            (_, other) => write_identity(meter, other, depth, &mut out)?,
        }
        Ok(out)
    }
}

/// Writes a text that is the same for equal values and no others.
fn write_identity(
    meter: &mut Meter<'_>,
    value: &Value<'_>,
    depth: usize,
    out: &mut String,
) -> Result<(), EvalError> {
    let depth = depth.checked_sub(1).ok_or(EvalError::TooDeep)?;
    meter.charge(1)?;
    match value {
        Value::Int(number) => out.push_str(&format!("n{number}")),
        Value::UInt(number) => out.push_str(&format!("n{number}")),
        Value::Double(_) => match Key::lookup(value) {
            Some(key) => out.push_str(&format!("n{key}")),
            None => out.push_str(&format!("{value:?}")),
        },
        Value::String(text) => {
            meter.write(out.len().saturating_add(text.len()))?;
            out.push_str(&format!("s{}:{}", text.len(), &**text));
        }
        Value::List(list) => {
            out.push_str(&format!("[{}:", list.len()));
            for item in list.iter() {
                write_identity(meter, &item?, depth, out)?;
                out.push(',');
            }
        }
        Value::Map(map) => {
            out.push_str(&format!("{{{}:", map.len()));
            meter.grow(map.len(), 0)?;
            for key in map.keys() {
                write_identity(meter, &key.to_value(), depth, out)?;
                if let Some(value) = map.get(&key)? {
                    write_identity(meter, &value, depth, out)?;
                }
                out.push(',');
            }
        }
        other => out.push_str(&format!("{other:?}")),
    }
    Ok(())
}

/// The order of two values; `None` inside where one is a NaN, an error where their types have none.
pub(crate) fn order(
    meter: &mut Meter<'_>,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<Option<Ordering>, EvalError> {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::String(a), Value::String(b)) => {
            meter.scan(a.len().min(b.len()))?;
            Ok(Some((**a).cmp(&**b)))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.scan(a.len().min(b.len()))?;
            Ok(Some(a.cmp(b)))
        }
        (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(Some(a.cmp(b))),
        _ => numbers(left, right).ok_or(EvalError::NoSuchOverload),
    }
}

/// The order of two numbers of whatever types; `None` if either is no number.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    let integer = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::UInt(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (left, right) {
        (Value::Double(a), Value::Double(b)) => Some(a.partial_cmp(b)),
        (Value::Double(a), b) => integer(b).map(|b| integer_to_double(b, *a).map(Ordering::reverse)),
        (a, Value::Double(b)) => integer(a).map(|a| integer_to_double(a, *b)),
        (a, b) => Some(Some(integer(a)?.cmp(&integer(b)?))),
    }
}

/// Exact, where converting the integer would round.
fn integer_to_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 1e30 {
        return Some(Ordering::Less);
    }
    if double <= -1e30 {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "guarded: the truncation is below 1e30")]
    let whole = double.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

/// Where `needle` first is in `list`.
pub(crate) fn position(
    meter: &mut Meter<'_>,
    list: &List<'_>,
    needle: &Value<'_>,
) -> Result<Option<usize>, EvalError> {
    for (index, item) in list.iter().enumerate() {
        if equal(meter, &item?, needle)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// `left + right`: a union where the schema of `left` says it is a set or a map, else one after the
/// other.
pub(crate) fn concatenate<'a>(
    meter: &mut Meter<'_>,
    left: List<'a>,
    right: &List<'a>,
) -> Result<Value<'a>, EvalError> {
    let total = left.len().saturating_add(right.len());
    meter.grow(total, total)?;
    let identity = left.identity();
    let keys = match identity {
        Identity::Ordered => {
            let mut items = left.into_vec()?;
            items.extend(right.to_vec()?);
            return Ok(Value::list(items));
        }
        Identity::Set => &[],
        Identity::Keyed(keys) => keys,
    };
    let mut index = Index::of(meter, &left, keys, MAX_VALUE_DEPTH)?;
    let mut items = left.into_vec()?;
    for item in right.iter() {
        let item = item?;
        let identity = index.identity(meter, &item, MAX_VALUE_DEPTH)?;
        match index.positions.get(&identity).and_then(|found| items.get_mut(*found)) {
            Some(replaced) => *replaced = item,
            None => {
                index.positions.insert(identity, items.len());
                items.push(item);
            }
        }
    }
    Ok(Value::list(items))
}
