//! Runs the rules of a schema over a value.

use super::program::{MessageFault, Rule};
use crate::findings::Findings;
use crate::place::Place;
use crate::same::{OldItems, is_same};
use crate::schema::{JsonType, Schema};
use hypermesh_api::{FieldError, FieldErrorKind};
use hypermesh_cel::{Budget, EvalError};
use serde_json::Value;
use std::cell::Cell;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Runs all rules at and below a node that see nothing `unsound` (paths; the empty one is the root's and means all).
/// Whether there was none that did. On an update, a rule that does not look at what was before is not held against a
/// value that is unchanged.
pub(crate) fn check(
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
    unsound: &[String],
    budget: &mut Budget,
    findings: &mut Findings,
) -> bool {
    if unsound.iter().any(String::is_empty) {
        return false;
    }
    let root = old.map(|old| Pair::new(schema, new, old));
    let ratchet = Ratchet { current: root.as_ref(), above: None };
    let mut walk = Walk { budget, findings, unsound, over: false, skipped: false };
    walk.node(schema, new, old, ratchet, &Place::ROOT);
    !walk.skipped
}

/// A value and what it was before.
struct Pair<'v> {
    schema: &'v Schema,
    new: &'v Value,
    old: &'v Value,
    same: Cell<Option<bool>>,
}

impl<'v> Pair<'v> {
    fn new(schema: &'v Schema, new: &'v Value, old: &'v Value) -> Self {
        Self { schema, new, old, same: Cell::new(None) }
    }

    fn is_same(&self) -> bool {
        self.same.get().unwrap_or_else(|| {
            let same = is_same(self.schema, self.new, self.old);
            self.same.set(Some(same));
            same
        })
    }
}

/// Which unchanged value excuses a failure: that of the node, or the nearest above that has one before.
#[derive(Clone, Copy)]
struct Ratchet<'r> {
    current: Option<&'r Pair<'r>>,
    above: Option<&'r Pair<'r>>,
}

impl<'r> Ratchet<'r> {
    fn excuses(self) -> bool {
        self.current.or(self.above).is_some_and(Pair::is_same)
    }

    /// Of a child, if this node has a value before.
    fn below(self, child: Option<&'r Pair<'r>>) -> Self {
        match self.current {
            Some(current) => Self { current: child, above: Some(current) },
            None => self,
        }
    }
}

struct Walk<'w> {
    budget: &'w mut Budget,
    findings: &'w mut Findings,
    /// Paths of what rules do not expect.
    unsound: &'w [String],
    /// Nothing further may run.
    over: bool,
    /// A rule did not run for what it would have seen.
    skipped: bool,
}

impl Walk<'_> {
    fn node(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
        at: &Place<'_>,
    ) {
        if !schema.constraints.below.rules || new.is_null() || self.over || self.findings.is_full() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        self.rules(schema, new, old, ratchet, at);
        match new {
            Value::Array(items) => self.items(schema, items, old.and_then(Value::as_array), ratchet, at),
            Value::Object(fields) => {
                let old = old.and_then(Value::as_object);
                for (name, field) in fields {
                    let Some(child) = schema.child(name) else { continue };
                    if !child.constraints.below.rules {
                        continue;
                    }
                    let old = old.and_then(|old| old.get(name));
                    // The root's type is not a field that an update can leave alone: it is converted.
                    let excusable = at.depth > 0 || !matches!(name.as_str(), "apiVersion" | "kind");
                    let pair = old.map(|old| Pair::new(child, field, old));
                    let ratchet = if excusable {
                        ratchet.below(pair.as_ref())
                    } else {
                        Ratchet { current: None, above: None }
                    };
                    let declared = schema.properties.contains_key(name);
                    let at = if declared { at.field(name) } else { at.key(name) };
                    self.node(child, field, old, ratchet, &at);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn items(
        &mut self,
        schema: &Schema,
        items: &[Value],
        old: Option<&Vec<Value>>,
        ratchet: Ratchet<'_>,
        at: &Place<'_>,
    ) {
        let Some(child) = schema.items.as_deref() else { return };
        if !child.constraints.below.rules {
            return;
        }
        let before = OldItems::of(schema, old);
        for (index, item) in items.iter().enumerate() {
            let old = before.as_ref().and_then(|before| before.get(item));
            let pair = old.map(|old| Pair::new(child, item, old));
            self.node(child, item, old, ratchet.below(pair.as_ref()), &at.index(index));
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
        at: &Place<'_>,
    ) {
        let rules = &schema.constraints.rules;
        if !rules.is_empty() && self.sees_unsound(at) {
            self.skipped = true;
            return;
        }
        if !rules.is_empty() && self.budget.is_exhausted() {
            self.fail(schema, at, OUT_OF_BUDGET.to_owned());
            self.over = true;
            return;
        }
        for rule in rules.iter().filter(|rule| rule.applies(old)) {
            match rule.holds(schema, new, old, self.budget) {
                Ok(true) => {}
                Ok(false) => self.broken(rule, schema, new, old, ratchet, at),
                Err(error) => self.failed(rule, &error, schema, at),
            }
            if self.over {
                return;
            }
        }
    }

    /// Whether something at or below a place, or above it, is not what rules expect.
    fn sees_unsound(&self, at: &Place<'_>) -> bool {
        if self.unsound.is_empty() {
            return false;
        }
        let at = at.dotted();
        let within = |inner: &str, outer: &str| {
            outer.is_empty()
                || inner
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.unsound.iter().any(|path| within(path, &at) || within(&at, path))
    }

    /// A rule that does not hold.
    fn broken(
        &mut self,
        rule: &Rule,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
        at: &Place<'_>,
    ) {
        if !rule.uses_old_self && ratchet.excuses() {
            return;
        }
        let detail = match rule.message(schema, new, old, self.budget) {
            Ok(message) => message,
            Err(MessageFault::Useless) => rule.default_message.clone(),
            Err(MessageFault::Spent(words)) => {
                self.over = true;
                let value = Value::from(schema.type_name());
                let field = at.below(&rule.field_path);
                self.findings.add(|| FieldError::invalid(field, value, words));
                return;
            }
        };
        let shows_value = match rule.kind {
            FieldErrorKind::Required | FieldErrorKind::Forbidden => false,
            _ => !matches!(schema.kind, Some(JsonType::Object | JsonType::Array)),
        };
        let detail = if rule.kind == FieldErrorKind::Duplicate { String::new() } else { detail };
        let field = at.below(&rule.field_path);
        self.findings.add(|| FieldError::new(rule.kind, field, shows_value.then(|| new.clone()), detail));
    }

    /// A rule that cannot be evaluated.
    fn failed(&mut self, rule: &Rule, error: &EvalError, schema: &Schema, at: &Place<'_>) {
        let name = &rule.name;
        let words = match error {
            EvalError::NoSuchOverload => format!(
                "'{error}': call arguments did not match a supported operator, function or macro signature for rule: \
                 {name}"
            ),
            EvalError::BudgetExceeded => {
                self.over = true;
                if self.budget.is_exhausted() {
                    OUT_OF_BUDGET.to_owned()
                } else {
                    format!(
                        "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: \
                         {name}"
                    )
                }
            }
            _ => format!("{error} evaluating rule: {name}"),
        };
        self.fail(schema, at, words);
    }

    fn fail(&mut self, schema: &Schema, at: &Place<'_>, words: String) {
        self.findings.add(|| FieldError::invalid(at.bracketed(), Value::from(schema.type_name()), words));
    }
}
