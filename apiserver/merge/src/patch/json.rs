//! JSON patch (RFC 6902).
//!
//! Written here rather than taken from the `json-patch` crate, which bounds neither what `copy` multiplies nor how
//! deep it nests, undoes by patching backwards, and takes `1` and `1.0` for different numbers. Two courtesies of
//! upstream's library are kept because clients rely on them: an index may count from the end (`-1`), and `test` finds
//! null where nothing is.

use super::budget::Budget;
use super::{MAX_OPERATIONS, PatchError};
use crate::value::equal;
use serde_json::{Map, Value};

/// Applies an array of operations, all of them or none.
pub fn json_patch(doc: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed("a JSON patch must be an array of operations".into()));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    // All operations are read before the first applies: a malformed one is the client's fault whatever the object is.
    let operations =
        operations.iter().enumerate().map(|(i, op)| read(i, op)).collect::<Result<Vec<_>, _>>()?;
    let mut patched = doc.clone();
    let mut budget = Budget::new();
    for (index, operation) in operations.iter().enumerate() {
        budget.begin(index);
        Step { index, budget: &mut budget }.apply(&mut patched, operation)?;
    }
    *doc = patched;
    Ok(())
}

enum Operation<'p> {
    Add(Pointer<'p>, &'p Value),
    Remove(Pointer<'p>),
    Replace(Pointer<'p>, &'p Value),
    Move { from: Pointer<'p>, path: Pointer<'p> },
    Copy { from: Pointer<'p>, path: Pointer<'p> },
    Test(Pointer<'p>, &'p Value),
}

/// A JSON pointer (RFC 6901), with its tokens decoded.
struct Pointer<'p> {
    text: &'p str,
    tokens: Vec<String>,
}

fn read(index: usize, operation: &Value) -> Result<Operation<'_>, PatchError> {
    let malformed = |what: &str| PatchError::Malformed(format!("operation {index}: {what}"));
    let map: &Map<String, Value> = operation.as_object().ok_or_else(|| malformed("must be an object"))?;
    let text = |name: &str| {
        map.get(name).and_then(Value::as_str).ok_or_else(|| malformed(&format!("{name:?} must be a string")))
    };
    let pointer = |name: &str| {
        let text = text(name)?;
        let tokens = tokens(text).ok_or_else(|| malformed(&format!("{name:?} must be a JSON pointer")))?;
        Ok(Pointer { text, tokens })
    };
    let value = || map.get("value").ok_or_else(|| malformed("\"value\" is missing"));
    Ok(match text("op")? {
        "add" => Operation::Add(pointer("path")?, value()?),
        "remove" => Operation::Remove(pointer("path")?),
        "replace" => Operation::Replace(pointer("path")?, value()?),
        "move" => Operation::Move { from: pointer("from")?, path: pointer("path")? },
        "copy" => Operation::Copy { from: pointer("from")?, path: pointer("path")? },
        "test" => Operation::Test(pointer("path")?, map.get("value").unwrap_or(&Value::Null)),
        other => return Err(malformed(&format!("unknown \"op\" {other:?}"))),
    })
}

/// `None` if the text is no pointer: it must be empty or begin with a slash, and `~` escapes `~` and `/` only.
fn tokens(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.strip_prefix('/')?.split('/').map(decoded).collect()
}

fn decoded(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(1)?;
        out.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

struct Step<'b> {
    index: usize,
    budget: &'b mut Budget,
}

impl Step<'_> {
    fn apply(&mut self, doc: &mut Value, operation: &Operation<'_>) -> Result<(), PatchError> {
        match operation {
            Operation::Add(path, value) => self.add(doc, path, (*value).clone()),
            Operation::Remove(path) => self.remove(doc, path).map(drop),
            Operation::Replace(path, value) => {
                self.budget.nest(value, path.tokens.len())?;
                let place = self.find_mut(doc, path)?;
                *place = (*value).clone();
                Ok(())
            }
            Operation::Move { from, path } => {
                if path.tokens.len() > from.tokens.len() && path.tokens.starts_with(&from.tokens) {
                    return Err(self.inapplicable(path, "a value cannot be moved into itself"));
                }
                let value = self.remove(doc, from)?;
                self.add(doc, path, value)
            }
            Operation::Copy { from, path } => {
                let Some(value) = find(doc, &from.tokens) else {
                    return Err(self.inapplicable(from, "there is nothing to copy"));
                };
                self.budget.copy(value)?;
                let value = value.clone();
                self.add(doc, path, value)
            }
            Operation::Test(path, expected) => {
                let found = find(doc, &path.tokens).unwrap_or(&Value::Null);
                if equal(found, expected) {
                    return Ok(());
                }
                Err(PatchError::TestFailed { operation: self.index, path: path.text.to_owned() })
            }
        }
    }

    fn inapplicable(&self, path: &Pointer<'_>, reason: &'static str) -> PatchError {
        PatchError::Inapplicable { operation: self.index, path: path.text.to_owned(), reason }
    }

    fn find_mut<'d>(&self, doc: &'d mut Value, path: &Pointer<'_>) -> Result<&'d mut Value, PatchError> {
        walk_mut(doc, &path.tokens).ok_or_else(|| self.inapplicable(path, "there is nothing at this path"))
    }

    fn parent_mut<'d, 'p>(
        &self,
        doc: &'d mut Value,
        path: &'p Pointer<'_>,
        last: &'p [String],
    ) -> Result<&'d mut Value, PatchError> {
        walk_mut(doc, last).ok_or_else(|| self.inapplicable(path, "the path leads through nothing"))
    }

    fn add(&mut self, doc: &mut Value, path: &Pointer<'_>, value: Value) -> Result<(), PatchError> {
        self.budget.nest(&value, path.tokens.len())?;
        let Some((last, parents)) = path.tokens.split_last() else {
            *doc = value;
            return Ok(());
        };
        match self.parent_mut(doc, path, parents)? {
            Value::Object(map) => {
                map.insert(last.clone(), value);
                Ok(())
            }
            Value::Array(items) => {
                let at = if last == "-" { Some(items.len()) } else { index(last, items.len() + 1) };
                let at = at.ok_or_else(|| self.inapplicable(path, "no such index"))?;
                self.budget.shift(items.len() - at)?;
                items.insert(at, value);
                Ok(())
            }
            _ => Err(self.inapplicable(path, "the parent is neither an object nor a list")),
        }
    }

    fn remove(&mut self, doc: &mut Value, path: &Pointer<'_>) -> Result<Value, PatchError> {
        let Some((last, parents)) = path.tokens.split_last() else {
            return Err(self.inapplicable(path, "the whole object cannot be removed"));
        };
        match self.parent_mut(doc, path, parents)? {
            Value::Object(map) => {
                map.remove(last).ok_or_else(|| self.inapplicable(path, "there is nothing to remove"))
            }
            Value::Array(items) => {
                let at = index(last, items.len()).ok_or_else(|| self.inapplicable(path, "no such index"))?;
                self.budget.shift(items.len() - at)?;
                Ok(items.remove(at))
            }
            _ => Err(self.inapplicable(path, "the parent is neither an object nor a list")),
        }
    }
}

fn find<'d>(doc: &'d Value, tokens: &[String]) -> Option<&'d Value> {
    tokens.iter().try_fold(doc, |value, token| match value {
        Value::Object(map) => map.get(token),
        Value::Array(items) => items.get(index(token, items.len())?),
        _ => None,
    })
}

fn walk_mut<'d>(doc: &'d mut Value, tokens: &[String]) -> Option<&'d mut Value> {
    tokens.iter().try_fold(doc, |value, token| match value {
        Value::Object(map) => map.get_mut(token),
        Value::Array(items) => {
            let at = index(token, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

/// An index below `len`: digits without a leading zero, or a negative number that counts from the end.
fn index(token: &str, len: usize) -> Option<usize> {
    let (negative, digits) = match token.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let number: usize = digits.parse().ok()?;
    let at = if negative { len.checked_sub(number)? } else { number };
    (at < len).then_some(at)
}
