//! Checks a program's field selections against schemas, before any document exists.
//!
//! Types are dynamic here, so this is not type inference: it follows selections, indexes and
//! comprehensions from the variables as far as the schema describes them, and reports what no document
//! could have. Where it loses track (function results, conditionals, `dyn`) it accepts; evaluation
//! still refuses undeclared fields there.

use super::node::{Access, Fold, FoldKind, Index, Node, Select};
use crate::hints::{Hint, TypeHints, unescape};

/// What the schema says of a value, if it is known which part of it describes the value.
type Shape<'h> = Option<&'h dyn TypeHints>;

/// A selection that can never succeed.
pub(crate) struct Misuse {
    /// Where the field's name stands, in bytes.
    pub(crate) at: usize,
    pub(crate) message: String,
}

pub(crate) struct Check<'h> {
    /// The schemas of the program's variables, by position.
    pub(crate) variables: Vec<Shape<'h>>,
    locals: Vec<Shape<'h>>,
}

impl<'h> Check<'h> {
    pub(crate) fn new(variables: Vec<Shape<'h>>) -> Self {
        Self { variables, locals: Vec::new() }
    }

    pub(crate) fn node(&mut self, node: &Node) -> Result<Shape<'h>, Misuse> {
        match node {
            Node::Literal(_) => {}
            Node::Variable(index) => return Ok(self.variables.get(*index).copied().flatten()),
            Node::Local(slot) => return Ok(self.locals.get(*slot).copied().flatten()),
            Node::Select(select) => return self.select(select),
            Node::Index(index) => return self.index(index),
            Node::List(elements) => self.all(elements.iter().map(|element| &element.value))?,
            Node::Map(entries) => self.all(entries.iter().flat_map(|entry| [&entry.key, &entry.value]))?,
            Node::And(operands) | Node::Or(operands) | Node::Binary(_, operands) => {
                self.all(operands.iter())?
            }
            Node::Not(operand) | Node::Negate(operand) => self.all([operand.as_ref()])?,
            Node::Conditional(operands) => self.all(operands.iter())?,
            Node::Call(_, args) | Node::Regex(_, _, args) => self.all(args)?,
            Node::Fold(fold) => return self.fold(fold),
            Node::Bind(bind) => {
                let value = self.node(&bind.value)?;
                return self.scoped(bind.slot, &[value], |check| check.node(&bind.body));
            }
            Node::OptionalMap(map) => {
                let operand = self.node(&map.operand)?;
                return self.scoped(map.slot, &[operand], |check| check.node(&map.body));
            }
        }
        Ok(None)
    }

    fn all<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) -> Result<(), Misuse> {
        nodes.into_iter().try_for_each(|node| self.node(node).map(|_| ()))
    }

    fn select(&mut self, select: &Select) -> Result<Shape<'h>, Misuse> {
        let Some(operand) = self.node(&select.operand)? else { return Ok(None) };
        let misuse = |message| Err(Misuse { at: select.at, message });
        let found = match operand.kind() {
            Hint::Object => {
                let unescaped = unescape(&select.field);
                let property = unescaped.as_deref().unwrap_or(&select.field);
                let found = operand.field(property);
                if found.is_none() {
                    return misuse(format!("undefined field '{}'", select.field));
                }
                found
            }
            Hint::Map => operand.item(),
            Hint::Dyn | Hint::IntOrString => None,
            scalar => {
                return misuse(format!("type '{}' does not support field selection", type_name(scalar)));
            }
        };
        Ok(if select.access == Access::Test { None } else { found })
    }

    fn index(&mut self, index: &Index) -> Result<Shape<'h>, Misuse> {
        let operand = self.node(&index.operand)?;
        self.node(&index.index)?;
        Ok(operand
            .filter(|hints| hints.kind() == Hint::Map || is_list(*hints))
            .and_then(|hints| hints.item()))
    }

    fn fold(&mut self, fold: &Fold) -> Result<Shape<'h>, Misuse> {
        let range = self.node(&fold.range)?;
        let item = range.and_then(|hints| hints.item());
        let shapes: &[Shape<'h>] = match (range, fold.pairs) {
            (Some(hints), true) if is_list(hints) || hints.kind() == Hint::Map => &[None, item],
            (Some(hints), false) if is_list(hints) => &[item],
            (_, true) => &[None, None],
            (_, false) => &[None],
        };
        self.scoped(fold.slot, shapes, |check| check.all(fold.filter.iter().chain([&fold.body])))?;
        // A filter yields elements of the list it ran over.
        let keeps =
            fold.kind == FoldKind::List && matches!(fold.body, Node::Local(slot) if slot == fold.slot);
        let sorts = fold.kind == FoldKind::SortBy;
        Ok(range.filter(|hints| (keeps && !fold.pairs || sorts) && is_list(*hints)))
    }

    fn scoped<T>(
        &mut self,
        slot: usize,
        shapes: &[Shape<'h>],
        body: impl FnOnce(&mut Self) -> Result<T, Misuse>,
    ) -> Result<T, Misuse> {
        self.locals.truncate(slot);
        self.locals.extend_from_slice(shapes);
        let result = body(self);
        self.locals.truncate(slot);
        result
    }
}

fn is_list(hints: &dyn TypeHints) -> bool {
    matches!(hints.kind(), Hint::List | Hint::Set | Hint::MapList)
}

fn type_name(hint: Hint) -> &'static str {
    match hint {
        Hint::Bool => "bool",
        Hint::Int => "int",
        Hint::Double => "double",
        Hint::String => "string",
        Hint::Bytes => "bytes",
        Hint::Timestamp => "google.protobuf.Timestamp",
        Hint::Duration => "google.protobuf.Duration",
        Hint::List | Hint::Set | Hint::MapList => "list",
        Hint::Map => "map",
        Hint::Object => "object",
        Hint::Dyn | Hint::IntOrString => "dyn",
    }
}
