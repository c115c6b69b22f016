//! Kubernetes' list library and cel-go's `ext.Lists`.

use std::cmp::Ordering;

use super::{Context, int, length};
use crate::budget::Meter;
use crate::compare;
use crate::error::EvalError;
use crate::value::{List, MAX_ITEMS, Value};

fn list<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v List<'a>, EvalError> {
    match args.first() {
        Some(Value::List(list)) => Ok(list),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// An order of two elements that must have one: a NaN has none.
fn ordered(meter: &mut Meter<'_>, a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, EvalError> {
    meter.charge(1)?;
    compare::order(meter, a, b)?.ok_or_else(|| EvalError::argument("NaN values cannot be ordered"))
}

pub(crate) fn is_sorted<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let mut previous: Option<Value<'a>> = None;
    for item in list(args)?.iter() {
        let item = item?;
        if let Some(previous) = &previous
            && ordered(&mut context.meter, previous, &item)?.is_gt()
        {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

/// Of an empty list 0, since its type is unknown here.
pub(crate) fn sum<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let mut total: Option<Value<'a>> = None;
    for item in list(args)?.iter() {
        context.meter.charge(1)?;
        let item = item?;
        total = Some(match (total, item) {
            (None, item @ (Value::Int(_) | Value::UInt(_) | Value::Double(_) | Value::Duration(_))) => item,
            (Some(Value::Int(a)), Value::Int(b)) => {
                Value::Int(a.checked_add(b).ok_or(EvalError::Overflow("integer"))?)
            }
            (Some(Value::UInt(a)), Value::UInt(b)) => {
                Value::UInt(a.checked_add(b).ok_or(EvalError::Overflow("unsigned integer"))?)
            }
            (Some(Value::Double(a)), Value::Double(b)) => Value::Double(a + b),
            (Some(Value::Duration(a)), Value::Duration(b)) => Value::Duration(crate::time::Duration(
                a.0.checked_add(b.0).ok_or(EvalError::Overflow("duration"))?,
            )),
            _ => return Err(EvalError::NoSuchOverload),
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
    name: &str,
    better: Ordering,
) -> Result<Value<'a>, EvalError> {
    let mut best: Option<Value<'a>> = None;
    for item in list(args)?.iter() {
        let item = item?;
        let replace = match &best {
            None => true,
            Some(best) => ordered(&mut context.meter, &item, best)? == better,
        };
        if replace {
            best = Some(item);
        }
    }
    best.ok_or_else(|| EvalError::argument(format!("{name} called on empty list")))
}

pub(crate) fn min<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    extreme(context, args, "min", Ordering::Less)
}

pub(crate) fn max<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    extreme(context, args, "max", Ordering::Greater)
}

pub(super) fn index_of<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let [Value::List(list), needle] = args else { return Err(EvalError::NoSuchOverload) };
    Ok(compare::position(&mut context.meter, list, needle)?.map_or(Value::Int(-1), length))
}

pub(super) fn last_index_of<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let [Value::List(list), needle] = args else { return Err(EvalError::NoSuchOverload) };
    for index in (0..list.len()).rev() {
        if let Some(item) = list.get(index)?
            && compare::equal(&mut context.meter, &item, needle)?
        {
            return Ok(length(index));
        }
    }
    Ok(Value::Int(-1))
}

pub(super) fn reverse<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let list = list(args)?;
    context.meter.grow(list.len(), list.len())?;
    let mut items = list.to_vec()?;
    items.reverse();
    Ok(Value::list(items))
}

pub(crate) fn slice<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let list = list(args)?;
    let (start, end) = (int(args, 1)?, int(args, 2)?);
    let bounds = (usize::try_from(start), usize::try_from(end));
    let (Ok(from), Ok(to)) = bounds else {
        return Err(EvalError::argument(format!(
            "cannot slice({start}, {end}), negative indexes not supported"
        )));
    };
    if from > to {
        return Err(EvalError::argument(format!(
            "cannot slice({start}, {end}), start index must be less than or equal to end index"
        )));
    }
    if to > list.len() {
        return Err(EvalError::argument(format!(
            "cannot slice({start}, {end}), list is length {}",
            list.len()
        )));
    }
    context.meter.grow(to - from, to - from)?;
    let mut items = Vec::with_capacity(to - from);
    for index in from..to {
        items.extend(list.get(index)?);
    }
    Ok(Value::list(items))
}

pub(crate) fn flatten<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let list = list(args)?;
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(EvalError::argument("level must be non-negative"));
    }
    // Values nest no deeper than this wherever they come from, so the recursion is bounded.
    let depth = usize::try_from(depth).unwrap_or(usize::MAX).min(crate::value::MAX_VALUE_DEPTH);
    let mut items = Vec::new();
    flatten_into(context, list, depth, &mut items)?;
    Ok(Value::list(items))
}

fn flatten_into<'a>(
    context: &mut Context<'_>,
    list: &List<'a>,
    depth: usize,
    out: &mut Vec<Value<'a>>,
) -> Result<(), EvalError> {
    for item in list.iter() {
        match (item?, depth.checked_sub(1)) {
            (Value::List(inner), Some(depth)) => {
                context.meter.charge(1)?;
                flatten_into(context, &inner, depth, out)?;
            }
            (item, _) => {
                context.meter.grow(1, out.len() + 1)?;
                out.push(item);
            }
        }
    }
    Ok(())
}

pub(crate) fn distinct<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let mut kept: Vec<Value<'a>> = Vec::new();
    for item in list(args)?.iter() {
        let item = item?;
        context.meter.charge(1)?;
        let mut seen = false;
        for known in &kept {
            if compare::equal(&mut context.meter, known, &item)? {
                seen = true;
                break;
            }
        }
        if !seen {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

pub(crate) fn sort<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let items = list(args)?.to_vec()?;
    let keys = items.clone();
    sort_by_keys(context, items, keys)
}

/// `items` in the order of the keys at the same positions, equal ones as they were.
pub(crate) fn sort_by_keys<'a>(
    context: &mut Context<'_>,
    items: Vec<Value<'a>>,
    keys: Vec<Value<'a>>,
) -> Result<Value<'a>, EvalError> {
    context.meter.grow(items.len(), items.len())?;
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(items).collect();
    let mut scratch = pairs.clone();
    merge_sort(&mut context.meter, &mut pairs, &mut scratch)?;
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

/// A stable merge sort of our own: the standard one cannot stop when the budget does, and makes no
/// promise of which comparisons it makes, which are what is charged.
fn merge_sort<'a>(
    meter: &mut Meter<'_>,
    items: &mut [(Value<'a>, Value<'a>)],
    scratch: &mut [(Value<'a>, Value<'a>)],
) -> Result<(), EvalError> {
    let total = items.len();
    let mut width = 1;
    while width < total {
        let mut start = 0;
        while start < total {
            let middle = (start + width).min(total);
            let end = (middle + width).min(total);
            let (mut left, mut right) = (start, middle);
            for slot in scratch.iter_mut().take(end).skip(start) {
                let from_left = match (
                    items.get(left).filter(|_| left < middle),
                    items.get(right).filter(|_| right < end),
                ) {
                    (Some(a), Some(b)) => ordered(meter, &a.0, &b.0)?.is_le(),
                    (Some(_), None) => true,
                    _ => false,
                };
                let source = if from_left { &mut left } else { &mut right };
                if let Some(item) = items.get(*source) {
                    *slot = item.clone();
                }
                *source += 1;
            }
            start = end;
        }
        items.clone_from_slice(scratch);
        width *= 2;
    }
    Ok(())
}

/// Absent if the list is empty.
pub(crate) fn first<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(list(args)?.get(0)?.map_or_else(Value::none, Value::some))
}

/// Absent if the list is empty.
pub(crate) fn last<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let list = list(args)?;
    let Some(index) = list.len().checked_sub(1) else { return Ok(Value::none()) };
    Ok(list.get(index)?.map_or_else(Value::none, Value::some))
}

pub(crate) fn range<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let end = int(args, 0)?;
    let count = usize::try_from(end.max(0)).unwrap_or(MAX_ITEMS + 1);
    context.meter.grow(count, count)?;
    Ok(Value::list((0..end.max(0)).map(Value::Int).collect()))
}
