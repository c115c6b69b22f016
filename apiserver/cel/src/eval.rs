//! Walks a lowered expression to its value, charging every step.
//!
//! Recursion is as deep as the expression, which compiling bounds; each kind of node has a function of
//! its own, so that the frames stay small.

mod access;
mod fold;
mod operators;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::Meter;
use crate::compile::node::{Bind, Element, Entry, Node, OptionalMap};
use crate::error::EvalError;
use crate::library::regex::Pattern;
use crate::library::{Call, Context, RegexCall};
use crate::program::Binding;
use crate::value::{Key, Map, Value};

type Evaluated<'a> = Result<Value<'a>, EvalError>;

/// One evaluation of a program.
pub(crate) struct Evaluation<'a, 'b> {
    names: &'a [Box<str>],
    bound: Vec<Option<Binding<'a>>>,
    locals: Vec<Value<'a>>,
    context: Context<'b>,
}

impl<'a, 'b> Evaluation<'a, 'b> {
    pub(crate) fn new(names: &'a [Box<str>], bound: Vec<Option<Binding<'a>>>, meter: Meter<'b>) -> Self {
        Self { names, bound, locals: Vec::new(), context: Context::new(meter) }
    }

    pub(crate) fn eval(&mut self, node: &'a Node) -> Evaluated<'a> {
        match node {
            Node::Literal(literal) => Ok(literal.value()),
            Node::Variable(index) => self.variable(*index),
            Node::Local(slot) => self.local(*slot),
            Node::Select(select) => self.select(select),
            Node::Index(index) => self.index(index),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::And(operands) => self.connective(operands, false),
            Node::Or(operands) => self.connective(operands, true),
            Node::Not(operand) => self.not(operand),
            Node::Negate(operand) => self.negate(operand),
            Node::Conditional(operands) => self.conditional(operands),
            Node::Binary(operator, operands) => self.binary(*operator, operands),
            Node::Call(call, args) => self.call(*call, args),
            Node::Regex(call, pattern, args) => self.regex(*call, pattern, args),
            Node::Fold(fold) => self.fold(fold),
            Node::Bind(bind) => self.bind(bind),
            Node::OptionalMap(map) => self.optional_map(map),
        }
    }

    fn variable(&mut self, index: usize) -> Evaluated<'a> {
        self.context.meter.charge(1)?;
        match self.bound.get(index).copied().flatten() {
            Some(binding) => binding.to_value(),
            None => {
                let name = self.names.get(index).map_or("", |name| name);
                Err(EvalError::NoSuchAttribute(name.into()))
            }
        }
    }

    fn local(&mut self, slot: usize) -> Evaluated<'a> {
        self.context.meter.charge(1)?;
        self.locals.get(slot).cloned().ok_or(EvalError::NoSuchOverload)
    }

    fn list(&mut self, elements: &'a [Element]) -> Evaluated<'a> {
        self.context.meter.charge(10)?;
        self.context.meter.grow(elements.len(), elements.len())?;
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            let value = self.eval(&element.value)?;
            match (element.optional, value) {
                (false, value) => items.push(value),
                (true, Value::Optional(Some(value))) => items.push(value.as_ref().clone()),
                (true, Value::Optional(None)) => {}
                (true, _) => return Err(EvalError::NoSuchOverload),
            }
        }
        Ok(Value::list(items))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        self.context.meter.charge(30)?;
        self.context.meter.grow(entries.len(), entries.len())?;
        let mut map = BTreeMap::new();
        for entry in entries {
            let key = Key::literal(self.eval(&entry.key)?)?;
            let value = self.eval(&entry.value)?;
            let value = match (entry.optional, value) {
                (false, value) => value,
                (true, Value::Optional(Some(value))) => value.as_ref().clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(EvalError::NoSuchOverload),
            };
            insert_new(&mut map, key, value)?;
        }
        Ok(Value::Map(Map::owned(map)))
    }

    /// `&&` (decided by false) and `||` (decided by true): either operand may decide, and then the
    /// other's error does not matter.
    fn connective(&mut self, operands: &'a [Node; 2], decisive: bool) -> Evaluated<'a> {
        let [left, right] = operands;
        let left = self.truth(left);
        match &left {
            Ok(value) if *value == decisive => return Ok(Value::Bool(decisive)),
            Err(error) if error.is_fatal() => return Err(error.clone()),
            _ => {}
        }
        match self.truth(right) {
            Ok(value) if value == decisive => Ok(Value::Bool(decisive)),
            Err(error) if error.is_fatal() => Err(error),
            Ok(_) => left.map(|_| Value::Bool(!decisive)),
            Err(error) => Err(left.err().unwrap_or(error)),
        }
    }

    fn truth(&mut self, node: &'a Node) -> Result<bool, EvalError> {
        match self.eval(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvalError::NoSuchOverload),
        }
    }

    fn not(&mut self, operand: &'a Node) -> Evaluated<'a> {
        self.context.meter.charge(1)?;
        Ok(Value::Bool(!self.truth(operand)?))
    }

    fn conditional(&mut self, operands: &'a [Node; 3]) -> Evaluated<'a> {
        let [condition, then, otherwise] = operands;
        let chosen = if self.truth(condition)? { then } else { otherwise };
        self.eval(chosen)
    }

    fn args(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, EvalError> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn call(&mut self, call: Call, nodes: &'a [Node]) -> Evaluated<'a> {
        let args = self.args(nodes)?;
        self.context.meter.charge(1)?;
        call(&mut self.context, &args)
    }

    fn regex(&mut self, call: RegexCall, pattern: &Arc<Pattern>, nodes: &'a [Node]) -> Evaluated<'a> {
        let args = self.args(nodes)?;
        self.context.meter.charge(1)?;
        call(&mut self.context, pattern, &args)
    }

    fn bind(&mut self, bind: &'a Bind) -> Evaluated<'a> {
        let value = self.eval(&bind.value)?;
        self.with_local(bind.slot, value, &bind.body)
    }

    fn optional_map(&mut self, map: &'a OptionalMap) -> Evaluated<'a> {
        let Value::Optional(operand) = self.eval(&map.operand)? else {
            return Err(EvalError::NoSuchOverload);
        };
        self.context.meter.charge(1)?;
        let Some(inner) = operand else { return Ok(Value::none()) };
        let result = self.with_local(map.slot, inner.as_ref().clone(), &map.body)?;
        match (map.flat, result) {
            (false, value) => Ok(Value::some(value)),
            (true, value @ Value::Optional(_)) => Ok(value),
            (true, _) => Err(EvalError::NoSuchOverload),
        }
    }

    fn with_local(&mut self, slot: usize, value: Value<'a>, body: &'a Node) -> Evaluated<'a> {
        self.locals.truncate(slot);
        self.locals.push(value);
        let result = self.eval(body);
        self.locals.truncate(slot);
        result
    }
}

/// Adds an entry; a key that is there already is an error.
fn insert_new<'a>(
    map: &mut BTreeMap<Key<'a>, Value<'a>>,
    key: Key<'a>,
    value: Value<'a>,
) -> Result<(), EvalError> {
    if map.contains_key(&key) {
        return Err(EvalError::DuplicateKey(crate::time::clip(&key.to_string()).into()));
    }
    map.insert(key, value);
    Ok(())
}
