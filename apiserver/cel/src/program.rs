//! A compiled rule and the ways to run it.

use std::fmt;

use serde_json::Value as Json;

use crate::budget::{Budget, Meter};
use crate::compile::check::Check;
use crate::compile::scan::error_at;
use crate::compile::{self, Compiled};
use crate::error::{CompileError, CompileErrorKind, EvalError};
use crate::eval::Evaluation;
use crate::hints::TypeHints;
use crate::value::Value;

/// A rule compiled once, to be evaluated any number of times, from any thread.
pub struct Program {
    source: Box<str>,
    variables: Vec<Box<str>>,
    compiled: Compiled,
}

/// A variable's document for one evaluation.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// The variable's name.
    pub name: &'a str,
    /// Its document.
    pub value: &'a Json,
    /// What the schema says of the document, if there is one.
    pub hints: Option<&'a dyn TypeHints>,
    /// Whether rules see the document itself or an optional of it.
    pub presence: Presence,
}

/// Whether a variable is its document or an optional of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// The document itself.
    #[default]
    Plain,
    /// `optional.of(document)`.
    Present,
    /// `optional.none()`; the document is not looked at.
    Absent,
}

impl<'a> Binding<'a> {
    /// Binds `name` to a document without a schema.
    pub fn new(name: &'a str, value: &'a Json) -> Self {
        Self { name, value, hints: None, presence: Presence::Plain }
    }

    /// Binds `name` to a document with its schema.
    pub fn typed(name: &'a str, value: &'a Json, hints: &'a dyn TypeHints) -> Self {
        Self { name, value, hints: Some(hints), presence: Presence::Plain }
    }

    /// Binds `name` to an optional: `oldSelf` of a rule with `optionalOldSelf`, absent on creation.
    pub fn optional(name: &'a str, value: Option<&'a Json>, hints: Option<&'a dyn TypeHints>) -> Self {
        match value {
            Some(value) => Self { name, value, hints, presence: Presence::Present },
            None => Self { name, value: &Json::Null, hints, presence: Presence::Absent },
        }
    }

    pub(crate) fn to_value(self) -> Result<Value<'a>, EvalError> {
        match self.presence {
            Presence::Plain => Value::from_json(self.value, self.hints),
            Presence::Present => Value::from_json(self.value, self.hints).map(Value::some),
            Presence::Absent => Ok(Value::none()),
        }
    }
}

impl Program {
    /// Compiles `source`, in which `variables` may be referenced.
    ///
    /// Refused, with a position: syntax errors, unknown variables and functions, wrong numbers of
    /// arguments, literal regular expressions, timestamps and durations that can never be valid, and
    /// sources longer than [`crate::MAX_SOURCE_BYTES`] or nested deeper than [`crate::MAX_DEPTH`].
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let compiled = compile::compile(source, variables)?;
        Ok(Self {
            source: source.into(),
            variables: variables.iter().map(|name| Box::from(*name)).collect(),
            compiled,
        })
    }

    /// The source the program was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the rule uses this variable: one that uses `oldSelf` is a transition rule.
    pub fn references(&self, name: &str) -> bool {
        self.variables
            .iter()
            .zip(&self.compiled.referenced)
            .any(|(variable, referenced)| *referenced && **variable == *name)
    }

    /// Checks the rule's fields against the schemas of its variables, as upstream does when a schema is
    /// stored: a field that no document can have is an error now rather than at every write.
    ///
    /// Follows selections, indexes and comprehensions; what functions and conditionals yield is not
    /// followed, and evaluation refuses undeclared fields there.
    pub fn check(&self, schemas: &[(&str, &dyn TypeHints)]) -> Result<(), CompileError> {
        let known =
            |variable: &str| schemas.iter().find(|(name, _)| *name == variable).map(|(_, hints)| *hints);
        let variables = self.variables.iter().map(|variable| known(variable)).collect();
        Check::new(variables).node(&self.compiled.root).map(|_| ()).map_err(|misuse| {
            error_at(&self.source, CompileErrorKind::UndefinedField, misuse.at, misuse.message)
        })
    }

    /// Evaluates the rule; its cost is taken from `budget` whether it succeeds or not.
    ///
    /// A variable without binding is an error only where the rule reaches it.
    pub fn evaluate<'a>(
        &'a self,
        bindings: &[Binding<'a>],
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        let bound = self
            .variables
            .iter()
            .map(|name| bindings.iter().find(|binding| *binding.name == **name).copied())
            .collect();
        Evaluation::new(&self.variables, bound, Meter::new(budget)).eval(&self.compiled.root)
    }

    /// Evaluates a rule that must be a `bool`.
    pub fn evaluate_bool(&self, bindings: &[Binding<'_>], budget: &mut Budget) -> Result<bool, EvalError> {
        match self.evaluate(bindings, budget)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvalError::UnexpectedResult { wanted: "bool", got: other.type_name() }),
        }
    }

    /// Evaluates a rule that must be a `string`, such as a `messageExpression`.
    pub fn evaluate_string(
        &self,
        bindings: &[Binding<'_>],
        budget: &mut Budget,
    ) -> Result<String, EvalError> {
        match self.evaluate(bindings, budget)? {
            Value::String(value) => Ok(value.to_string()),
            other => Err(EvalError::UnexpectedResult { wanted: "string", got: other.type_name() }),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("source", &self.source).field("variables", &self.variables).finish()
    }
}
