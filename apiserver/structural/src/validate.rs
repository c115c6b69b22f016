//! Validation: everything that a schema says of a value, at once.
//!
//! The order is upstream's: the schema itself, embedded resources, lists of type set and map, and, where the value's
//! shape allows, rules. Within each, fields come in the order of their names. A value that passes costs no allocation.

mod junctors;
mod objects;
mod scalars;

use crate::findings::{Findings, MOST_ERRORS as MOST};
use crate::place::Place;
use crate::same::{OldItems, is_same};
use crate::schema::Schema;
use crate::{embedded, keyed_lists, rules};
use hypermesh_api::{FieldError, FieldErrorKind};
use hypermesh_cel::Budget;
use serde_json::Value;
use std::cell::Cell;

/// Most errors that one validation tells; a last one says so if there were more.
pub const MOST_ERRORS: usize = MOST;

/// Most steps that one walk takes: one a node that is visited, one an allowed value and one a required field of it. An
/// object of a few megabytes is far from it; a schema of many alternatives for the items of a long list is not.
const MOST_STEPS: u32 = 1 << 24;

/// Told where rules were not run.
const RULES_UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

impl Schema {
    /// All that is wrong with a value, in a deterministic order; nothing if it is valid.
    ///
    /// With the value before an update, what is unchanged is not held against it (KEP-4008), and transition rules run.
    /// Rules spend from `budget`; when it is spent, that is an error too.
    pub fn validate(&self, new: &Value, old: Option<&Value>, budget: &mut Budget) -> Vec<FieldError> {
        let mut findings = self.check_shape(new, None, MOST_STEPS);
        if old.is_some() && !findings.is_empty() {
            // Only now is it worth to look what was there before. What is unchanged excuses errors and adds none.
            findings = self.check_shape(new, old, MOST_STEPS);
        }
        let below = self.constraints.below;
        if below.embedded {
            embedded::check(self, new, &mut findings);
        }
        if below.keyed_lists {
            self.check_keyed_lists(new, old, &mut findings);
        }
        if below.rules {
            // Upstream runs no rule at all once something of the object is not as rules expect it. What one part of it
            // is does not concern the rules of another, and people want to know everything at once.
            let unsound = findings.unsound();
            let all_ran = rules::check(self, new, old, &unsound, budget, &mut findings);
            if !all_ran {
                findings.add(|| FieldError::invalid("", Value::Null, RULES_UNCHECKED));
            }
        }
        findings.into_errors()
    }

    /// What of a value, which may be a part of an object, has another type than the schema says.
    pub fn mistyped(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = self.check_shape(value, None, MOST_STEPS).into_errors();
        errors.retain(|error| error.kind == FieldErrorKind::TypeInvalid);
        errors
    }

    /// What the schema says without rules and across fields.
    fn check_shape(&self, new: &Value, old: Option<&Value>, most_steps: u32) -> Findings {
        let mut findings = Findings::default();
        let steps = Cell::new(most_steps);
        let mut walk = Walk { findings: &mut findings, known_different: 0, steps: &steps };
        walk.excusable(self, new, old, &Place::ROOT);
        if steps.get() == 0 {
            let detail = format!("takes more than {most_steps} steps to validate");
            findings.add_last(FieldError::new(FieldErrorKind::TooMany, "", None, detail));
        }
        findings
    }

    /// What its transition rules say of a value that stays as it is.
    pub(crate) fn transitions(&self, value: &Value, budget: &mut Budget) -> Vec<FieldError> {
        let mut findings = Findings::default();
        if self.constraints.below.rules {
            rules::check(self, value, Some(value), &[], budget, &mut findings);
        }
        findings.into_errors()
    }

    /// Duplicates count unless there were any before.
    fn check_keyed_lists(&self, new: &Value, old: Option<&Value>, findings: &mut Findings) {
        let mark = findings.mark();
        keyed_lists::check(self, new, &Place::ROOT, findings);
        if findings.has_failed_since(mark)
            && let Some(old) = old
        {
            let mut before = Findings::probe();
            keyed_lists::check(self, old, &Place::ROOT, &mut before);
            if !before.is_empty() {
                findings.rewind(mark);
            }
        }
    }
}

/// Match counts are upstream's measure of which of several alternatives came closest, and so which errors are told.
type Matches = u32;

/// Validation of values against what schemas say without rules.
struct Walk<'f> {
    findings: &'f mut Findings,
    /// What is left of [`MOST_STEPS`].
    steps: &'f Cell<u32>,
    /// The places from the root to where the walk stands, the root included, that are known to have changed. What
    /// holds something changed has changed, so that each place is compared once at most.
    known_different: usize,
}

impl Walk<'_> {
    /// Validates a node that may be as it was before, in which case nothing is held against it.
    fn excusable(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, at: &Place<'_>) -> Matches {
        let mark = self.findings.mark();
        let matches = self.node(schema, new, old, at);
        if let Some(old) = old {
            if self.findings.has_failed_since(mark) && self.known_different <= at.depth {
                if is_same(schema, new, old) {
                    self.findings.rewind(mark);
                } else {
                    self.known_different = at.depth + 1;
                }
            }
            self.known_different = self.known_different.min(at.depth);
        }
        matches
    }

    /// Validates a node, whatever it was before.
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, at: &Place<'_>) -> Matches {
        let constraints = &schema.constraints;
        self.steps.set(self.steps.get().saturating_sub(constraints.steps));
        if self.steps.get() == 0 {
            return 0;
        }
        let mut matches = self.type_of(schema, new, at);
        if new.is_null() {
            self.allowed(&constraints.allowed, new, at);
            return matches;
        }
        if let Some(junctors) = &constraints.junctors {
            matches += self.junctors(junctors, new, old, at);
        }
        matches += 1;
        if self.findings.is_decided() {
            return matches;
        }
        match new {
            Value::String(text) => matches += self.text(constraints, text, at),
            Value::Number(number) => matches += self.number(schema, new, number, at),
            Value::Array(items) => matches += self.items(schema, items, old, at),
            Value::Null | Value::Bool(_) | Value::Object(_) => {}
        }
        self.allowed(&constraints.allowed, new, at);
        matches += 1;
        if let Value::Object(fields) = new {
            matches += self.fields(schema, fields, old, at);
        }
        matches + 1
    }

    fn items(&mut self, schema: &Schema, items: &[Value], old: Option<&Value>, at: &Place<'_>) -> Matches {
        let mut matches = 0;
        if let Some(child) = schema.items.as_deref() {
            let before = OldItems::of(schema, old.and_then(Value::as_array));
            for (index, item) in items.iter().enumerate() {
                let old = before.as_ref().and_then(|before| before.get(item)).filter(|old| !old.is_null());
                matches += self.excusable(child, item, old, &at.index(index));
                if self.findings.is_decided() {
                    return matches;
                }
            }
        }
        let (size, range) = (items.len() as i64, schema.constraints.items);
        if let Some(least) = range.least.filter(|&least| size < least) {
            self.words(at, Value::from(size), || format!("should have at least {least} items"));
        }
        if let Some(most) = range.most.filter(|&most| size > most) {
            self.findings.add(|| too_many(at.dotted(), size, most));
        }
        matches + 2
    }

    /// An error worded as upstream's schema validation words most: `{path} in body {words}`.
    fn words(&mut self, at: &Place<'_>, value: Value, words: impl FnOnce() -> String) {
        self.findings.add(|| {
            let path = at.dotted();
            let detail = format!("{path} in body {}", words());
            FieldError::invalid(path, value, detail)
        });
    }

    /// An error that upstream words without a field.
    fn unplaced(&mut self, detail: impl FnOnce() -> String) {
        self.findings.add(|| FieldError::invalid("", Value::from(""), detail()));
    }
}

fn too_many(field: String, size: i64, most: i64) -> FieldError {
    let items = if most == 1 { "item" } else { "items" };
    let detail = format!("must have at most {most} {items}");
    FieldError::new(FieldErrorKind::TooMany, field, Some(Value::from(size)), detail)
}

#[cfg(test)]
mod tests;
