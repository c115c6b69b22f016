//! Comprehensions: recognised in the form the parser expands the standard macros to, and expanded here
//! where the parser knows no macro.
//!
//! The parser turns `all`, `exists`, `exists_one`, `map` and `filter` into folds over an accumulator.
//! Run as such, `map` would copy its list at every turn; so the five shapes are recognised and become
//! one node each. The parser makes no other shapes, and rules cannot write its accumulator's name.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::lower::{Lowered, Lowering};
use super::node::{Bind, Fold, FoldKind, Node, OptionalMap};
use crate::error::CompileErrorKind;

/// Macros the parser leaves as calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macro {
    /// A comprehension that binds the first arguments, `pairs` or one, and may filter.
    Fold {
        kind: FoldKind,
        pairs: bool,
        filtered: bool,
    },
    Bind,
    OptionalMap {
        flat: bool,
    },
}

/// The macro a call is, if it is one.
pub(super) fn find(call: &CallExpr) -> Option<Macro> {
    let target = call.target.as_deref()?;
    let is_cel = matches!(&target.expr, Expr::Ident(name) if name == "cel");
    let pairs = |kind, filtered| Some(Macro::Fold { kind, pairs: true, filtered });
    match (call.func_name.as_str(), call.args.len()) {
        ("bind", 3) if is_cel => Some(Macro::Bind),
        ("all", 3) => pairs(FoldKind::All, false),
        ("exists", 3) => pairs(FoldKind::Exists, false),
        ("existsOne" | "exists_one", 3) => pairs(FoldKind::ExistsOne, false),
        ("transformList", 3) => pairs(FoldKind::List, false),
        ("transformList", 4) => pairs(FoldKind::List, true),
        ("transformMap", 3) => pairs(FoldKind::Map, false),
        ("transformMap", 4) => pairs(FoldKind::Map, true),
        ("transformMapEntry", 3) => pairs(FoldKind::Entries, false),
        ("transformMapEntry", 4) => pairs(FoldKind::Entries, true),
        ("sortBy", 2) => Some(Macro::Fold { kind: FoldKind::SortBy, pairs: false, filtered: false }),
        ("optMap", 2) => Some(Macro::OptionalMap { flat: false }),
        ("optFlatMap", 2) => Some(Macro::OptionalMap { flat: true }),
        _ => None,
    }
}

pub(super) fn expand(lowering: &mut Lowering<'_>, kind: Macro, call: CallExpr) -> Lowered {
    let CallExpr { func_name, target, args } = call;
    let mut args = args.into_iter();
    match kind {
        Macro::Bind => {
            lowering.tokens.locate("bind");
            let name = variable(lowering, args.next())?;
            let value = next(lowering, &mut args)?;
            let slot = lowering.scope.len();
            let body = scoped(lowering, vec![name], |lowering| next(lowering, &mut args))?;
            Ok(Node::Bind(Box::new(Bind { slot, value, body })))
        }
        Macro::OptionalMap { flat } => {
            let operand = operand(lowering, target)?;
            lowering.tokens.locate(&func_name);
            let name = variable(lowering, args.next())?;
            let slot = lowering.scope.len();
            let body = scoped(lowering, vec![name], |lowering| next(lowering, &mut args))?;
            Ok(Node::OptionalMap(Box::new(OptionalMap { operand, slot, body, flat })))
        }
        Macro::Fold { kind, pairs, filtered } => {
            let range = operand(lowering, target)?;
            lowering.tokens.locate(&func_name);
            let mut names = vec![variable(lowering, args.next())?];
            if pairs {
                names.push(variable(lowering, args.next())?);
                if names.first() == names.last() {
                    return Err(lowering.error(
                        CompileErrorKind::Syntax,
                        format!("duplicate variable name: {}", names.concat()),
                    ));
                }
            }
            let slot = lowering.scope.len();
            let (filter, body) = scoped(lowering, names, |lowering| {
                let filter = if filtered { Some(next(lowering, &mut args)?) } else { None };
                Ok((filter, next(lowering, &mut args)?))
            })?;
            Ok(Node::Fold(Box::new(Fold { kind, range, pairs, slot, filter, body })))
        }
    }
}

/// Lowers one of the parser's five folds.
pub(super) fn comprehension(lowering: &mut Lowering<'_>, fold: ComprehensionExpr) -> Lowered {
    let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_init, loop_step, .. } = fold;
    let range = lowering.node(iter_range)?;
    let Some((kind, filter, body)) = shape(&accu_init.expr, loop_step.expr) else {
        return Err(lowering.error(CompileErrorKind::Unsupported, "unknown comprehension".to_owned()));
    };
    let macro_name = match kind {
        FoldKind::All => "all",
        FoldKind::Exists => "exists",
        FoldKind::ExistsOne => "exists_one",
        _ => "",
    };
    if !macro_name.is_empty() {
        lowering.tokens.locate(macro_name);
    }
    if iter_var.starts_with('.') || iter_var2.is_some() {
        return Err(lowering.error(CompileErrorKind::Syntax, "argument must be a simple name".to_owned()));
    }
    lowering.tokens.locate(&iter_var);
    let slot = lowering.scope.len();
    let (filter, body) = scoped(lowering, vec![iter_var], |lowering| {
        let filter = filter.map(|filter| lowering.node(filter)).transpose()?;
        Ok((filter, lowering.node(body)?))
    })?;
    Ok(Node::Fold(Box::new(Fold { kind, range, pairs: false, slot, filter, body })))
}

/// The macro a fold came from, with its filter and its body.
fn shape(init: &Expr, step: Expr) -> Option<(FoldKind, Option<IdedExpr>, IdedExpr)> {
    let Expr::Call(CallExpr { func_name, args, .. }) = step else { return None };
    let mut args = args.into_iter();
    let (first, second) = (args.next()?, args.next()?);
    match (init, func_name.as_str()) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND) => {
            Some((FoldKind::All, None, second))
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR) => {
            Some((FoldKind::Exists, None, second))
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL) => {
            Some((FoldKind::ExistsOne, None, first))
        }
        (Expr::List(_), operators::ADD) => Some((FoldKind::List, None, appended(second)?)),
        (Expr::List(_), operators::CONDITIONAL) => {
            let Expr::Call(CallExpr { args, .. }) = second.expr else { return None };
            Some((FoldKind::List, Some(first), appended(args.into_iter().nth(1)?)?))
        }
        _ => None,
    }
}

/// The element of the one-element list a fold adds to its accumulator.
fn appended(list: IdedExpr) -> Option<IdedExpr> {
    match list.expr {
        Expr::List(list) => list.elements.into_iter().next(),
        _ => None,
    }
}

fn scoped<'s, T>(
    lowering: &mut Lowering<'s>,
    names: Vec<String>,
    body: impl FnOnce(&mut Lowering<'s>) -> Result<T, crate::CompileError>,
) -> Result<T, crate::CompileError> {
    let outer = lowering.scope.len();
    lowering.scope.extend(names);
    let lowered = body(lowering);
    lowering.scope.truncate(outer);
    lowered
}

fn operand(lowering: &mut Lowering<'_>, target: Option<Box<IdedExpr>>) -> Lowered {
    next(lowering, &mut target.map(|target| *target).into_iter())
}

fn next(lowering: &mut Lowering<'_>, args: &mut dyn Iterator<Item = IdedExpr>) -> Lowered {
    lowering.node(args.next().unwrap_or_default())
}

fn variable(lowering: &mut Lowering<'_>, arg: Option<IdedExpr>) -> Result<String, crate::CompileError> {
    match arg.map(|arg| arg.expr) {
        Some(Expr::Ident(name)) if !name.starts_with('.') => {
            lowering.tokens.locate(&name);
            Ok(name)
        }
        _ => Err(lowering.error(CompileErrorKind::Syntax, "argument must be a simple name".to_owned())),
    }
}
