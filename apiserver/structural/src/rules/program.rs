//! One rule, compiled: its condition, its words, and where its errors point.

use crate::place::Step;
use crate::schema::Schema;
use hypermesh_api::{FieldErrorKind, printed};
use hypermesh_cel::{Binding, Budget, CompileError, EvalError, Program, TypeHints};
use serde_json::Value;

/// Longest message that an expression may yield, in bytes.
const MOST_MESSAGE_BYTES: usize = 5 * 1024;

/// A rule as a schema has it, its shape checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RuleSource {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: Option<String>,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    condition: Expression,
    message_expression: Option<Expression>,
    /// What a failure says without a message expression.
    pub default_message: String,
    /// What the rule is called in errors of its evaluation: its message, or else its source.
    pub name: String,
    pub kind: FieldErrorKind,
    /// From the node to the field at fault.
    pub field_path: Vec<PathStep>,
    pub uses_old_self: bool,
    pub optional_old_self: bool,
}

/// An owned step of a rule's `fieldPath`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PathStep {
    Field(String),
    Key(String),
}

impl PathStep {
    pub fn borrowed(&self) -> Step<'_> {
        match self {
            Self::Field(name) => Step::Field(name),
            Self::Key(key) => Step::Key(key),
        }
    }
}

/// What a failed message expression means for its rule.
pub(crate) enum MessageFault {
    /// There is no message in it: the default is used instead.
    Useless,
    /// The budget is spent; nothing further may run.
    Spent(String),
}

impl Rule {
    /// Compiles a rule; an error comes with the part at fault.
    pub fn compile(source: &RuleSource, schema: &Schema) -> Result<Self, (&'static str, CompileError)> {
        let optional = source.optional_old_self == Some(true);
        let compile = |text, part| Expression::compile(text, optional, schema).map_err(|error| (part, error));
        let condition = compile(&source.rule, "rule")?;
        let message_expression = match source.message_expression.trim() {
            "" => None,
            text => Some(compile(text, "messageExpression")?),
        };
        let message = source.message.trim();
        let name = if message.is_empty() { source.rule.trim() } else { message };
        Ok(Self {
            uses_old_self: condition.uses_old_self,
            condition,
            message_expression,
            default_message: if message.is_empty() {
                format!("failed rule: {name}")
            } else {
                message.to_owned()
            },
            name: name.to_owned(),
            kind: match source.reason.as_deref() {
                Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
                Some("FieldValueRequired") => FieldErrorKind::Required,
                Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
                _ => FieldErrorKind::Invalid,
            },
            field_path: field_path(&source.field_path, schema).unwrap_or_default(),
            optional_old_self: optional,
        })
    }

    /// Whether the rule is to run at all.
    pub fn applies(&self, old: Option<&Value>) -> bool {
        !self.uses_old_self || old.is_some() || self.optional_old_self
    }

    pub fn holds(
        &self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> Result<bool, EvalError> {
        let (program, bindings, bound) = self.condition.choose(schema, new, old);
        program.evaluate_bool(&bindings[..bound], budget)
    }

    /// The words of a failure.
    pub fn message(
        &self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> Result<String, MessageFault> {
        let expression = self.message_expression.as_ref().ok_or(MessageFault::Useless)?;
        let (program, bindings, bound) = expression.choose(schema, new, old);
        match program.evaluate_string(&bindings[..bound], budget) {
            Ok(text) => match text.trim() {
                "" => Err(MessageFault::Useless),
                text if text.len() > MOST_MESSAGE_BYTES || text.contains('\n') => Err(MessageFault::Useless),
                text => Ok(text.to_owned()),
            },
            Err(EvalError::BudgetExceeded) if budget.is_exhausted() => Err(MessageFault::Spent(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules \
                 will be run"
                    .to_owned(),
            )),
            Err(EvalError::BudgetExceeded) => Err(MessageFault::Spent(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                printed::quoted(&expression.source)
            ))),
            Err(_) => Err(MessageFault::Useless),
        }
    }
}

/// A program over `self` and `oldSelf`, of which the latter may be an optional.
#[derive(Debug)]
struct Expression {
    source: String,
    program: Program,
    uses_old_self: bool,
    optional_old_self: bool,
}

const SELF: &str = "self";
const OLD_SELF: &str = "oldSelf";

impl Expression {
    fn compile(source: &str, optional_old_self: bool, schema: &Schema) -> Result<Self, CompileError> {
        let program = Program::compile(source, &[SELF, OLD_SELF])?;
        // An optional has no fields of its own.
        let known: [(&str, &dyn TypeHints); 2] = [(SELF, schema), (OLD_SELF, schema)];
        program.check(if optional_old_self { &known[..1] } else { &known })?;
        let uses_old_self = program.references(OLD_SELF);
        Ok(Self { source: source.to_owned(), program, uses_old_self, optional_old_self })
    }

    fn choose<'v>(
        &'v self,
        schema: &'v Schema,
        new: &'v Value,
        old: Option<&'v Value>,
    ) -> (&'v Program, [Binding<'v>; 2], usize) {
        let this = Binding::typed(SELF, new, schema);
        if self.optional_old_self {
            return (&self.program, [this, Binding::optional(OLD_SELF, old, Some(schema))], 2);
        }
        match old {
            Some(old) => (&self.program, [this, Binding::typed(OLD_SELF, old, schema)], 2),
            None => (&self.program, [this, this], 1),
        }
    }
}

/// A `fieldPath` as steps, checked against the schema: `.spec.name`, `['a.b']`. Nothing if it leads nowhere.
pub(crate) fn field_path(path: &str, schema: &Schema) -> Option<Vec<PathStep>> {
    let mut node = schema;
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let name = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            rest = after;
            name.to_owned()
        } else {
            let (name, after) = quoted_name(rest.strip_prefix("['")?)?;
            rest = after.strip_prefix(']')?;
            name
        };
        if name.is_empty() {
            return None;
        }
        if node.properties.is_empty() {
            node = node.additional.as_deref()?;
            steps.push(PathStep::Key(name));
        } else {
            node = node.properties.get(&name)?;
            steps.push(PathStep::Field(name));
        }
    }
    Some(steps)
}

/// What is before the closing quote, unescaped, and what is after it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '\'' => return Some((name, characters.as_str())),
            '\\' => name.push(match characters.next()? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                c @ ('\'' | '\\') => c,
                _ => return None,
            }),
            c => name.push(c),
        }
    }
}
