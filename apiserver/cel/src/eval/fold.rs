//! Comprehensions.
//!
//! Invariant: a turn costs at least one unit, so that no list is walked for nothing.

use std::collections::BTreeMap;

use super::{Evaluated, Evaluation, insert_new};
use crate::compile::node::{Fold, FoldKind};
use crate::error::EvalError;
use crate::library::lists;
use crate::value::{Key, List, Map, Value};

/// What a fold walks: an element and, for two variables, what it is paired with.
enum Range<'a> {
    List(List<'a>),
    Map(Map<'a>, Vec<Key<'a>>),
}

impl<'a> Range<'a> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(_, keys) => keys.len(),
        }
    }

    /// The variables of a turn: element or key alone, or index or key with the value.
    fn turn(&self, index: usize, pairs: bool) -> Result<(Value<'a>, Option<Value<'a>>), EvalError> {
        let missing = || EvalError::IndexOutOfRange(i64::try_from(index).unwrap_or(i64::MAX));
        match self {
            Self::List(list) => {
                let item = list.get(index)?.ok_or_else(missing)?;
                if pairs {
                    Ok((Value::Int(i64::try_from(index).unwrap_or(i64::MAX)), Some(item)))
                } else {
                    Ok((item, None))
                }
            }
            Self::Map(map, keys) => {
                let key = keys.get(index).ok_or_else(missing)?;
                let value = if pairs { map.get(key)? } else { None };
                Ok((key.to_value(), value))
            }
        }
    }
}

impl<'a> Evaluation<'a, '_> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        let range = match self.eval(&fold.range)? {
            Value::List(list) => Range::List(list),
            Value::Map(map) => {
                self.context.meter.grow(map.len(), 0)?;
                let keys = map.keys();
                Range::Map(map, keys)
            }
            _ => return Err(EvalError::NoSuchOverload),
        };
        let result = match fold.kind {
            FoldKind::All => self.decide(fold, &range, false),
            FoldKind::Exists => self.decide(fold, &range, true),
            FoldKind::ExistsOne => self.exactly_one(fold, &range),
            FoldKind::List => self.gather(fold, &range).map(Value::list),
            FoldKind::Map => self.transform_map(fold, &range),
            FoldKind::Entries => self.transform_entries(fold, &range),
            FoldKind::SortBy => self.sort_by(fold, &range),
        };
        self.locals.truncate(fold.slot);
        result
    }

    /// Binds the variables of a turn; false if the filter passes it over.
    fn enter(&mut self, fold: &'a Fold, range: &Range<'a>, index: usize) -> Result<bool, EvalError> {
        self.context.meter.charge(1)?;
        let (first, second) = range.turn(index, fold.pairs)?;
        self.locals.truncate(fold.slot);
        self.locals.push(first);
        self.locals.extend(second);
        match &fold.filter {
            Some(filter) => self.truth(filter),
            None => Ok(true),
        }
    }

    /// `all` (decided by false) and `exists` (decided by true): an error only counts if no later
    /// element decides.
    fn decide(&mut self, fold: &'a Fold, range: &Range<'a>, decisive: bool) -> Evaluated<'a> {
        let mut failed = None;
        for index in 0..range.len() {
            let verdict = match self.enter(fold, range, index) {
                Ok(_) => self.truth(&fold.body),
                Err(error) => Err(error),
            };
            match verdict {
                Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn exactly_one(&mut self, fold: &'a Fold, range: &Range<'a>) -> Evaluated<'a> {
        let mut count = 0_u64;
        for index in 0..range.len() {
            self.enter(fold, range, index)?;
            if self.truth(&fold.body)? {
                count += 1;
            }
        }
        Ok(Value::Bool(count == 1))
    }

    fn gather(&mut self, fold: &'a Fold, range: &Range<'a>) -> Result<Vec<Value<'a>>, EvalError> {
        let mut items = Vec::new();
        for index in 0..range.len() {
            if self.enter(fold, range, index)? {
                self.context.meter.grow(1, items.len() + 1)?;
                let item = self.eval(&fold.body)?;
                items.push(item);
            }
        }
        Ok(items)
    }

    fn transform_map(&mut self, fold: &'a Fold, range: &Range<'a>) -> Evaluated<'a> {
        let mut map = BTreeMap::new();
        for index in 0..range.len() {
            if self.enter(fold, range, index)? {
                self.context.meter.grow(1, map.len() + 1)?;
                let value = self.eval(&fold.body)?;
                let (key, _) = range.turn(index, true)?;
                map.insert(Key::literal(key)?, value);
            }
        }
        Ok(Value::Map(Map::owned(map)))
    }

    fn transform_entries(&mut self, fold: &'a Fold, range: &Range<'a>) -> Evaluated<'a> {
        let mut map = BTreeMap::new();
        for index in 0..range.len() {
            if self.enter(fold, range, index)? {
                let Value::Map(entries) = self.eval(&fold.body)? else {
                    return Err(EvalError::NoSuchOverload);
                };
                self.context.meter.grow(entries.len(), map.len() + entries.len())?;
                for (key, value) in entries.to_entries()? {
                    insert_new(&mut map, key, value)?;
                }
            }
        }
        Ok(Value::Map(Map::owned(map)))
    }

    fn sort_by(&mut self, fold: &'a Fold, range: &Range<'a>) -> Evaluated<'a> {
        let Range::List(list) = range else { return Err(EvalError::NoSuchOverload) };
        let keys = self.gather(fold, range)?;
        lists::sort_by_keys(&mut self.context, list.to_vec()?, keys)
    }
}
