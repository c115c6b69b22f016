//! From a template's parts and an object to text or values.

use super::{Condition, Fault, Node, Part, Path, Step, compare, shown};
use serde_json::Value;

/// How many values are looked at before a template is given up.
const MOST_STEPS: u64 = 50_000_000;
/// The longest text that a template may make, in bytes.
const LONGEST_TEXT: usize = 1 << 30;

/// One evaluation: the whole input, and how much more it may cost.
pub(super) struct Evaluation<'a> {
    root: &'a Value,
    budget: u64,
    /// Whether values are for a terminal, which their control characters must not reach.
    escapes: bool,
}

impl<'a> Evaluation<'a> {
    pub(super) fn of(root: &'a Value, escapes: bool) -> Self {
        Self { root, budget: MOST_STEPS, escapes }
    }

    /// Appends the text of `parts`.
    pub(super) fn render(
        &mut self,
        parts: &'a [Part],
        current: &'a Value,
        out: &mut String,
    ) -> Result<(), Fault> {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Values(path) => {
                    let values = self.walk(path, vec![current])?;
                    for (index, value) in values.into_iter().enumerate() {
                        if index > 0 {
                            out.push(' ');
                        }
                        let text = shown(value);
                        let literal = matches!(path.as_slice(), [Step { node: Node::Literal(_), .. }]);
                        let raw = literal || !self.escapes;
                        out.push_str(&if raw { text } else { crate::output::escape(&text) });
                    }
                }
                Part::Range(path, body) => {
                    for value in self.walk(path, vec![current])? {
                        self.render(body, value, out)?;
                    }
                }
            }
            if out.len() > LONGEST_TEXT {
                return Err(Fault::new(format!("the template makes more than {LONGEST_TEXT} bytes"), (0, 0)));
            }
        }
        Ok(())
    }

    /// Appends the values of `parts`.
    pub(super) fn collect(
        &mut self,
        parts: &'a [Part],
        current: &'a Value,
        found: &mut Vec<&'a Value>,
    ) -> Result<(), Fault> {
        for part in parts {
            match part {
                Part::Text(_) => {}
                Part::Values(path) => found.extend(self.walk(path, vec![current])?),
                Part::Range(path, body) => {
                    for value in self.walk(path, vec![current])? {
                        self.collect(body, value, found)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The values that a path leads to.
    fn walk(&mut self, path: &'a Path, mut values: Vec<&'a Value>) -> Result<Vec<&'a Value>, Fault> {
        let mut descended = false;
        for step in path {
            self.spend(values.len(), step)?;
            values = self.step(step, values, descended)?;
            descended = matches!(step.node, Node::Descent);
        }
        Ok(values)
    }

    fn spend(&mut self, values: usize, step: &Step) -> Result<(), Fault> {
        let left = self.budget.checked_sub(values as u64 + 1);
        self.budget = left.ok_or_else(|| {
            Fault::new(format!("the template looks at more than {MOST_STEPS} values"), step.place)
                .help("each .. looks at everything below: name the fields instead")
        })?;
        Ok(())
    }

    fn step(
        &mut self,
        step: &'a Step,
        values: Vec<&'a Value>,
        descended: bool,
    ) -> Result<Vec<&'a Value>, Fault> {
        let mut found = Vec::new();
        match &step.node {
            Node::Root => return Ok(vec![self.root]),
            Node::Literal(literal) => return Ok(vec![literal]),
            Node::Field(name) => found.extend(values.into_iter().filter_map(|value| value.get(name))),
            Node::Key(name, path) => {
                for value in values {
                    match value.get(name) {
                        Some(member) => found.push(member),
                        None if path.is_empty() => {}
                        None => found.extend(self.walk(path, vec![value])?),
                    }
                }
            }
            Node::Wildcard => {
                for value in values {
                    children(value, &mut found);
                    self.spend(found.len(), step)?;
                }
            }
            Node::Descent => {
                for value in values {
                    self.descend(value, step, &mut found)?;
                }
            }
            Node::Index(index) => {
                for list in lists(&values, step, descended)? {
                    match place(*index, list.len()) {
                        Some(at) => found.extend(list.get(at)),
                        None if descended => {}
                        None => return Err(out_of_bounds(*index, list.len(), step)),
                    }
                }
            }
            Node::Slice(first, last, by) => {
                for list in lists(&values, step, descended)? {
                    let from = bound(first.unwrap_or(0), list.len());
                    let to = last.map_or(list.len(), |last| bound(last, list.len()));
                    found.extend(list.get(from..to).unwrap_or_default().iter().step_by(*by));
                }
            }
            Node::Union(members) => {
                for member in members {
                    found.extend(self.walk(member, values.clone())?);
                }
            }
            Node::Filter(condition) => {
                for list in lists(&values, step, descended)? {
                    for item in list {
                        if self.holds(condition, item)? {
                            found.push(item);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// A value and everything below it that has something below itself, the value first.
    fn descend(&mut self, value: &'a Value, step: &Step, found: &mut Vec<&'a Value>) -> Result<(), Fault> {
        let mut below = Vec::new();
        children(value, &mut below);
        self.spend(below.len(), step)?;
        if below.is_empty() {
            return Ok(());
        }
        found.push(value);
        below.into_iter().try_for_each(|child| self.descend(child, step, found))
    }

    fn holds(&mut self, condition: &'a Condition, item: &'a Value) -> Result<bool, Fault> {
        match condition {
            Condition::All(members) => {
                for member in members {
                    if !self.holds(member, item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Any(members) => {
                for member in members {
                    if self.holds(member, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Exists(path) => Ok(!self.walk(path, vec![item])?.is_empty()),
            Condition::Compare(left, operator, right, place) => {
                let (left, right) = (self.walk(left, vec![item])?, self.walk(right, vec![item])?);
                match (left.as_slice(), right.as_slice()) {
                    ([], _) | (_, []) => Ok(false),
                    ([left], [right]) => compare::holds(left, *operator, right, *place),
                    _ => Err(Fault::new("one value can be compared with one, and here are several", *place)),
                }
            }
        }
    }
}

fn children<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => found.extend(items),
        Value::Object(members) => found.extend(members.values()),
        _ => {}
    }
}

/// The lists among values. What is not set is none; anything else is a mistake, unless a descent came upon it.
fn lists<'a>(values: &[&'a Value], step: &Step, descended: bool) -> Result<Vec<&'a [Value]>, Fault> {
    let mut found = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Value::Array(items) => found.push(items.as_slice()),
            Value::Null => {}
            _ if descended => {}
            other => {
                let message =
                    format!("this needs a list, and what comes before it is {}", compare::described(other));
                let fault = Fault::new(message, step.place);
                return Err(if other.is_object() {
                    fault.help("all members of an object are .*")
                } else {
                    fault
                });
            }
        }
    }
    Ok(found)
}

fn place(index: i64, length: usize) -> Option<usize> {
    let at = if index < 0 { i64::try_from(length).ok()?.checked_add(index)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn bound(index: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = if index < 0 { length.saturating_add(index) } else { index };
    usize::try_from(at.clamp(0, length)).unwrap_or(0)
}

fn out_of_bounds(index: i64, length: usize, step: &Step) -> Fault {
    Fault::new(format!("there is no item {index}: the list has {length}"), step.place).help(format!(
        "a slice takes what there is: [{index}:{}]",
        if index == -1 { String::new() } else { index.saturating_add(1).to_string() }
    ))
}
