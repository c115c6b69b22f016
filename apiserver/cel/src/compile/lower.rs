//! Lowers the parser's tree: resolves names, checks calls, compiles literal regular expressions.
//!
//! The tree is walked in source order, which is what lets [`Tokens::locate`] say where a name stands.

use std::sync::Arc;

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};

use super::functions::{self, Style};
use super::macros::{self, Macro};
use super::node::{Access, Element, Entry, Index, Literal, Node, Operator, Select};
use super::scan::Tokens;
use super::{Compiled, MAX_DEPTH};
use crate::error::{CompileError, CompileErrorKind};
use crate::library::regex::Pattern;
use crate::time::{Duration, Timestamp};
use crate::value::{TYPE_NAMES, Type};

pub(super) type Lowered = Result<Node, CompileError>;

pub(super) struct Lowering<'s> {
    pub(super) tokens: Tokens<'s>,
    variables: &'s [&'s str],
    referenced: Vec<bool>,
    /// Names of the locals in scope; a name's position is its slot.
    pub(super) scope: Vec<String>,
    depth: usize,
}

pub(super) fn lower<'s>(
    expression: IdedExpr,
    tokens: Tokens<'s>,
    variables: &'s [&'s str],
) -> Result<Compiled, CompileError> {
    let referenced = vec![false; variables.len()];
    let mut lowering = Lowering { tokens, variables, referenced, scope: Vec::new(), depth: 0 };
    let root = lowering.node(expression)?;
    Ok(Compiled { root, referenced: lowering.referenced })
}

impl Lowering<'_> {
    pub(super) fn node(&mut self, expression: IdedExpr) -> Lowered {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(
                CompileErrorKind::TooDeep,
                format!("expression recursion limit exceeded: {MAX_DEPTH}"),
            ));
        }
        let node = match expression.expr {
            Expr::Literal(literal) => Ok(Node::Literal(literal_of(literal))),
            Expr::Ident(name) => self.identifier(&name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => macros::comprehension(self, *comprehension),
            Expr::Struct(message) => {
                self.tokens.locate(message.type_name.rsplit('.').next().unwrap_or_default());
                Err(self.error(
                    CompileErrorKind::Unsupported,
                    format!(
                        "undeclared reference to '{}': messages cannot be constructed",
                        message.type_name
                    ),
                ))
            }
            Expr::Unspecified => {
                Err(self.error(CompileErrorKind::Syntax, "Syntax error: incomplete expression".to_owned()))
            }
        };
        self.depth -= 1;
        node
    }

    pub(super) fn error(&self, kind: CompileErrorKind, message: String) -> CompileError {
        self.tokens.error(kind, self.tokens.here(), message)
    }

    fn identifier(&mut self, written: &str) -> Lowered {
        let name = written.trim_start_matches('.');
        self.tokens.locate(name);
        match self.resolve(name) {
            Some(node) => Ok(node),
            None => match type_named(name) {
                Some(literal) => Ok(literal),
                None => Err(self.undeclared(name)),
            },
        }
    }

    fn undeclared(&self, name: &str) -> CompileError {
        self.error(
            CompileErrorKind::UndeclaredReference,
            format!("undeclared reference to '{name}' (in container '')"),
        )
    }

    fn resolve(&mut self, name: &str) -> Option<Node> {
        if let Some(slot) = self.scope.iter().rposition(|local| local == name) {
            return Some(Node::Local(slot));
        }
        let index = self.variables.iter().position(|variable| *variable == name)?;
        if let Some(used) = self.referenced.get_mut(index) {
            *used = true;
        }
        Some(Node::Variable(index))
    }

    fn is_value(&self, name: &str) -> bool {
        self.scope.iter().any(|local| local == name) || self.variables.contains(&name)
    }

    fn select(&mut self, select: SelectExpr) -> Lowered {
        if let Some(path) = qualified(&select)
            && let Some(node) = type_named(&path)
            && !self.is_value(path.split('.').next().unwrap_or_default())
        {
            self.tokens.locate(&select.field);
            return Ok(node);
        }
        let operand = self.node(*select.operand)?;
        let at = self.tokens.locate(&select.field);
        let access = if select.test { Access::Test } else { Access::Plain };
        Ok(Node::Select(Box::new(Select { operand, field: select.field.into(), access, at })))
    }

    fn list(&mut self, list: ListExpr) -> Lowered {
        let mut elements = Vec::with_capacity(list.elements.len());
        for (index, element) in list.elements.into_iter().enumerate() {
            let optional = list.optional_indices.binary_search(&index).is_ok();
            elements.push(Element { value: self.node(element)?, optional });
        }
        Ok(Node::List(elements))
    }

    fn map(&mut self, map: MapExpr) -> Lowered {
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in map.entries {
            let EntryExpr::MapEntry(entry) = entry.expr else {
                return Err(self.error(CompileErrorKind::Syntax, "Syntax error: field in a map".to_owned()));
            };
            let key = self.node(entry.key)?;
            let value = self.node(entry.value)?;
            entries.push(Entry { key, value, optional: entry.optional });
        }
        Ok(Node::Map(entries))
    }

    fn call(&mut self, call: CallExpr) -> Lowered {
        if call.target.is_none()
            && let Some(node) = self.operator(&call.func_name, &call.args)
        {
            return node(self, call.args);
        }
        if let Some(kind) = macros::find(&call) {
            return self.expand(kind, call);
        }
        self.function(call)
    }

    fn expand(&mut self, kind: Macro, call: CallExpr) -> Lowered {
        macros::expand(self, kind, call)
    }

    /// How to lower an operator the parser gives as a call; `None` if it is none.
    #[expect(clippy::type_complexity, reason = "one closure type, named nowhere else")]
    fn operator(
        &self,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<Box<dyn FnOnce(&mut Self, Vec<IdedExpr>) -> Lowered>> {
        let binary = match name {
            operators::ADD => Some(Operator::Add),
            operators::SUBSTRACT => Some(Operator::Subtract),
            operators::MULTIPLY => Some(Operator::Multiply),
            operators::DIVIDE => Some(Operator::Divide),
            operators::MODULO => Some(Operator::Modulo),
            operators::EQUALS => Some(Operator::Equal),
            operators::NOT_EQUALS => Some(Operator::NotEqual),
            operators::LESS => Some(Operator::Less),
            operators::LESS_EQUALS => Some(Operator::LessEqual),
            operators::GREATER => Some(Operator::Greater),
            operators::GREATER_EQUALS => Some(Operator::GreaterEqual),
            operators::IN => Some(Operator::In),
            _ => None,
        };
        Some(match (binary, name, args.len()) {
            (Some(operator), _, 2) => Box::new(move |this, args| {
                let operands = this.nodes(args)?;
                Ok(Node::Binary(operator, operands))
            }),
            (_, operators::LOGICAL_AND, 2) => Box::new(|this, args| Ok(Node::And(this.nodes(args)?))),
            (_, operators::LOGICAL_OR, 2) => Box::new(|this, args| Ok(Node::Or(this.nodes(args)?))),
            (_, operators::CONDITIONAL, 3) => Box::new(|this, args| Ok(Node::Conditional(this.nodes(args)?))),
            (_, operators::LOGICAL_NOT, 1) => Box::new(|this, args| {
                let [operand] = *this.nodes(args)?;
                Ok(Node::Not(Box::new(operand)))
            }),
            (_, operators::NEGATE, 1) => Box::new(|this, args| {
                let [operand] = *this.nodes(args)?;
                Ok(Node::Negate(Box::new(operand)))
            }),
            (_, operators::INDEX, 2) => Box::new(|this, args| this.index(args, false)),
            (_, operators::OPT_INDEX, 2) => Box::new(|this, args| this.index(args, true)),
            (_, operators::OPT_SELECT, 2) => Box::new(|this, args| this.optional_select(args)),
            _ => return None,
        })
    }

    /// Lowers exactly `N` operands in order.
    fn nodes<const N: usize>(&mut self, args: Vec<IdedExpr>) -> Result<Box<[Node; N]>, CompileError> {
        let mut nodes = Vec::with_capacity(N);
        for arg in args {
            nodes.push(self.node(arg)?);
        }
        let nodes: Result<[Node; N], _> = nodes.try_into();
        nodes.map(Box::new).map_err(|_| {
            self.error(CompileErrorKind::Syntax, "Syntax error: operator with missing operands".to_owned())
        })
    }

    fn index(&mut self, args: Vec<IdedExpr>, optional: bool) -> Lowered {
        let [operand, index] = *self.nodes(args)?;
        Ok(Node::Index(Box::new(Index { operand, index, optional })))
    }

    fn optional_select(&mut self, args: Vec<IdedExpr>) -> Lowered {
        let [operand, field] = *self.nodes(args)?;
        let Node::Literal(Literal::String(field)) = field else {
            return Err(self.error(CompileErrorKind::Syntax, "Syntax error: field name expected".to_owned()));
        };
        let at = self.tokens.locate(&field);
        Ok(Node::Select(Box::new(Select { operand, field, access: Access::Optional, at })))
    }

    fn function(&mut self, call: CallExpr) -> Lowered {
        let CallExpr { func_name, target, args } = call;
        let name = func_name.trim_start_matches('.');
        let namespace = target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(space) if !self.is_value(space) => functions::namespace(space),
            _ => None,
        });
        let (style, receiver) = match (namespace, target) {
            (Some(space), _) => (Style::Namespaced(space), None),
            (None, Some(target)) => (Style::Member, Some(target)),
            (None, None) => (Style::Global, None),
        };
        let mut nodes = Vec::with_capacity(args.len() + 1);
        if let Some(receiver) = receiver {
            nodes.push(self.node(*receiver)?);
        }
        let at = self.tokens.locate(name);
        let given = args.len();
        for arg in args {
            nodes.push(self.node(arg)?);
        }
        let Some(found) = functions::find(style, name, given) else {
            let (kind, message) = if functions::exists(name) {
                (
                    CompileErrorKind::NoMatchingOverload,
                    format!("found no matching overload for '{name}' applied to {given} argument(s)"),
                )
            } else {
                (
                    CompileErrorKind::UndeclaredReference,
                    format!("undeclared reference to '{name}' (in container '')"),
                )
            };
            return Err(self.tokens.error(kind, at, message));
        };
        self.check_literal(name, at, &nodes)?;
        if let Some(regex) = found.regex
            && let Some(Node::Literal(Literal::String(pattern))) = nodes.get(1)
        {
            let compiled = Pattern::compile(pattern).map_err(|message| {
                self.tokens.error(
                    CompileErrorKind::InvalidLiteral,
                    at,
                    format!("invalid regular expression: {message}"),
                )
            })?;
            return Ok(Node::Regex(regex, Arc::new(compiled), nodes));
        }
        Ok(Node::Call(found.call, nodes))
    }

    /// Refuses conversions of a literal that can never succeed, as upstream's validators do.
    fn check_literal(&self, name: &str, at: usize, nodes: &[Node]) -> Result<(), CompileError> {
        let [Node::Literal(Literal::String(text))] = nodes else { return Ok(()) };
        let outcome = match name {
            "duration" => Duration::parse(text).map(|_| ()),
            "timestamp" => Timestamp::parse(text).map(|_| ()),
            _ => Ok(()),
        };
        outcome.map_err(|error| self.tokens.error(CompileErrorKind::InvalidLiteral, at, error.to_string()))
    }
}

fn literal_of(literal: LiteralValue) -> Literal {
    match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(value) => Literal::Bool(*value.inner()),
        LiteralValue::Int(value) => Literal::Int(*value.inner()),
        LiteralValue::UInt(value) => Literal::UInt(*value.inner()),
        LiteralValue::Double(value) => Literal::Double(*value.inner()),
        LiteralValue::String(value) => Literal::String(value.inner().into()),
        LiteralValue::Bytes(value) => Literal::Bytes(value.inner().into()),
    }
}

fn type_named(name: &str) -> Option<Node> {
    let found = TYPE_NAMES.iter().find(|known| **known == name)?;
    Some(Node::Literal(Literal::Type(Type(found))))
}

/// `a.b.c` where the selection spells a qualified name no longer than a type's.
fn qualified(select: &SelectExpr) -> Option<String> {
    const SEGMENTS: usize = 3;
    let mut segments = vec![select.field.as_str()];
    let mut operand = &select.operand.expr;
    if select.test {
        return None;
    }
    loop {
        match operand {
            Expr::Ident(name) => {
                segments.push(name.trim_start_matches('.'));
                segments.reverse();
                return Some(segments.join("."));
            }
            Expr::Select(inner) if !inner.test && segments.len() < SEGMENTS => {
                segments.push(&inner.field);
                operand = &inner.operand.expr;
            }
            _ => return None,
        }
    }
}
