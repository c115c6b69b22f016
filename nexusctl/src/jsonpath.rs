//! kubectl's template dialect of JSONPath: text with expressions in braces.
//!
//! Source of the dialect: `k8s.io/client-go/util/jsonpath` and kubectl's documentation of it. Beyond it, and without
//! changing what a template that kubectl takes comes to:
//! - `$` is the whole input inside `{range}` too, and filters know `&&` and `||`;
//! - a slice that reaches beyond a list ends with the list;
//! - `['a.b']` is the key `a.b` if there is one, else the path `.a.b`, as kubectl reads it;
//! - a template without braces that starts with `.`, `$` or `@` is one expression.
//!
//! Pure. Templates and objects come from anywhere, so lengths, depths and the number of values that are looked at are
//! bounded, and whatever is refused is shown in the template.

mod compare;
mod evaluate;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use compare::numbers;

use crate::manifest::{Diagnostic, Source, Span};
use serde_json::Value;
use std::sync::Arc;

/// A template that was understood.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<Source>,
    parts: Vec<Part>,
}

/// What a template consists of.
#[derive(Clone, Debug)]
enum Part {
    /// Written as it is.
    Text(String),
    /// The values that a path leads to.
    Values(Path),
    /// Its parts once for each value that the path leads to.
    Range(Path, Vec<Part>),
}

/// Steps, one after another; none stands for the current value.
type Path = Vec<Step>;

/// One step, and where it stands in the template.
#[derive(Clone, Debug)]
struct Step {
    node: Node,
    place: (usize, usize),
}

#[derive(Clone, Debug)]
enum Node {
    /// The whole input.
    Root,
    /// `.name`
    Field(String),
    /// `['name']`: the key, or else the path.
    Key(String, Path),
    /// `.*`
    Wildcard,
    /// `..`
    Descent,
    /// `[3]`
    Index(i64),
    /// `[1:5:2]`
    Slice(Option<i64>, Option<i64>, usize),
    /// `[1,3]`
    Union(Vec<Path>),
    /// `[?(…)]`
    Filter(Condition),
    /// `"text"`, `5`, `true`
    Literal(Value),
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Exists(Path),
    Compare(Path, Operator, Path, (usize, usize)),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a template is refused, or fails on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    message: String,
    /// Bytes of the template.
    place: (usize, usize),
    help: Option<String>,
}

impl Fault {
    fn new(message: impl Into<String>, place: (usize, usize)) -> Self {
        Self { message: message.into(), place, help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn into_diagnostic(self, source: &Arc<Source>) -> Box<Diagnostic> {
        let (start, end) = (source.text.floor_char_boundary(self.place.0), self.place.1);
        let before = &source.text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let span = Span { line, column, start, end: end.max(start) };
        let mut diagnostic = Diagnostic::at(source, span, self.message);
        diagnostic.help.extend(self.help);
        Box::new(diagnostic)
    }
}

impl Template {
    /// Reads a template; `name` is what people know it by, such as `-o jsonpath`.
    pub fn parse(name: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        let source = Arc::new(Source::new(name, text));
        match parse::template(text) {
            Ok(parts) => Ok(Self { source, parts }),
            Err(fault) => Err(fault.into_diagnostic(&source)),
        }
    }

    /// Reads one expression, braces or not, as `--sort-by` and custom columns take it: `{.a.b}`, `.a.b`, `a.b`.
    pub fn relaxed(name: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        let source = Arc::new(Source::new(name, text));
        match parse::relaxed(text) {
            Ok(path) => Ok(Self { source, parts: vec![Part::Values(path)] }),
            Err(fault) => Err(fault.into_diagnostic(&source)),
        }
    }

    /// The text that an object makes of the template.
    pub fn render(&self, object: &Value) -> Result<String, Box<Diagnostic>> {
        self.render_with(object, false)
    }

    /// The same for a terminal: the control characters of values, not those of the template, are escaped.
    pub fn render_escaped(&self, object: &Value) -> Result<String, Box<Diagnostic>> {
        self.render_with(object, true)
    }

    fn render_with(&self, object: &Value, escapes: bool) -> Result<String, Box<Diagnostic>> {
        let mut out = String::new();
        let mut evaluation = evaluate::Evaluation::of(object, escapes);
        match evaluation.render(&self.parts, object, &mut out) {
            Ok(()) => Ok(out),
            Err(fault) => Err(fault.into_diagnostic(&self.source)),
        }
    }

    /// The values that the template's expressions lead to, in order. Loops count, text does not.
    pub fn values<'a>(&'a self, object: &'a Value) -> Result<Vec<&'a Value>, Box<Diagnostic>> {
        let mut found = Vec::new();
        let mut evaluation = evaluate::Evaluation::of(object, false);
        match evaluation.collect(&self.parts, object, &mut found) {
            Ok(()) => Ok(found),
            Err(fault) => Err(fault.into_diagnostic(&self.source)),
        }
    }
}

/// A value as templates write it: text as it is, lists and objects as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}
