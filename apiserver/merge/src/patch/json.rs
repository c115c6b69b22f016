//! JSON patch (RFC 6902).
//!
//! Written here rather than taken from the `json-patch` crate, which bounds neither what `copy` multiplies nor how
//! deep it nests, undoes by patching backwards, and takes `1` and `1.0` for different numbers. Two courtesies of
//! upstream's library are kept because clients rely on them: an index may count from the end (`-1`), and `test` finds
//! null where nothing is.

use super::budget::Budget;
use super::{MAX_OPERATIONS, PatchError, excerpt};
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
        let step = Step { index, word: operation.word(), budget: &mut budget };
        step.apply(&mut patched, operation)?;
    }
    *doc = patched;
    Ok(())
}

#[derive(Debug)]
enum Operation<'p> {
    Add(Pointer<'p>, &'p Value),
    Remove(Pointer<'p>),
    Replace(Pointer<'p>, &'p Value),
    Move { from: Pointer<'p>, path: Pointer<'p> },
    Copy { from: Pointer<'p>, path: Pointer<'p> },
    Test(Pointer<'p>, &'p Value),
}

impl Operation<'_> {
    /// As the patch names it.
    fn word(&self) -> &'static str {
        match self {
            Self::Add(..) => "add",
            Self::Remove(_) => "remove",
            Self::Replace(..) => "replace",
            Self::Move { .. } => "move",
            Self::Copy { .. } => "copy",
            Self::Test(..) => "test",
        }
    }
}

/// A JSON pointer (RFC 6901), with its tokens decoded.
#[derive(Debug)]
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
    word: &'static str,
    budget: &'b mut Budget,
}

impl Step<'_> {
    fn apply(mut self, doc: &mut Value, operation: &Operation<'_>) -> Result<(), PatchError> {
        match operation {
            Operation::Add(path, value) => self.add(doc, path, (*value).clone()),
            Operation::Remove(path) => self.remove(doc, path).map(drop),
            Operation::Replace(path, value) => {
                self.budget.nest(value, path.tokens.len())?;
                let place = self.find_mut(doc, path, &path.tokens)?;
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
                    return Err(self.inapplicable(from, missing(doc, &from.tokens)));
                };
                self.budget.copy(value)?;
                let value = value.clone();
                self.add(doc, path, value)
            }
            Operation::Test(path, expected) => {
                let found = find(doc, &path.tokens);
                if equal(found.unwrap_or(&Value::Null), expected) {
                    return Ok(());
                }
                let found = match found {
                    None => missing(doc, &path.tokens),
                    Some(found) => differs(found, expected),
                };
                Err(PatchError::TestFailed { operation: self.index, path: path.text.to_owned(), found })
            }
        }
    }

    fn inapplicable(&self, path: &Pointer<'_>, reason: impl Into<String>) -> PatchError {
        let (operation, word) = (self.index, self.word);
        PatchError::Inapplicable { operation, word, path: path.text.to_owned(), reason: reason.into() }
    }

    /// The value that `tokens`, all of `path` or its beginning, lead to.
    fn find_mut<'d>(
        &self,
        doc: &'d mut Value,
        path: &Pointer<'_>,
        tokens: &[String],
    ) -> Result<&'d mut Value, PatchError> {
        if find(doc, tokens).is_none() {
            return Err(self.inapplicable(path, missing(doc, tokens)));
        }
        walk_mut(doc, tokens).ok_or_else(|| self.inapplicable(path, "there is nothing"))
    }

    fn add(&mut self, doc: &mut Value, path: &Pointer<'_>, value: Value) -> Result<(), PatchError> {
        self.budget.nest(&value, path.tokens.len())?;
        let Some((last, parents)) = path.tokens.split_last() else {
            *doc = value;
            return Ok(());
        };
        match self.find_mut(doc, path, parents)? {
            Value::Object(map) => {
                map.insert(last.clone(), value);
                Ok(())
            }
            Value::Array(items) => {
                let at = if last == "-" { Some(items.len()) } else { index(last, items.len() + 1) };
                let at = at.ok_or_else(|| self.inapplicable(path, no_index(parents, items.len(), last)))?;
                self.budget.shift(items.len() - at)?;
                items.insert(at, value);
                Ok(())
            }
            other => Err(self.inapplicable(path, holds_nothing(parents, other))),
        }
    }

    fn remove(&mut self, doc: &mut Value, path: &Pointer<'_>) -> Result<Value, PatchError> {
        let Some((last, parents)) = path.tokens.split_last() else {
            return Err(self.inapplicable(path, "the whole object cannot be removed"));
        };
        match self.find_mut(doc, path, parents)? {
            Value::Object(map) => {
                map.remove(last).ok_or_else(|| self.inapplicable(path, no_field(parents, last)))
            }
            Value::Array(items) => {
                let at = index(last, items.len())
                    .ok_or_else(|| self.inapplicable(path, no_index(parents, items.len(), last)))?;
                self.budget.shift(items.len() - at)?;
                Ok(items.remove(at))
            }
            other => Err(self.inapplicable(path, holds_nothing(parents, other))),
        }
    }
}

/// Where a path that leads to nothing ends.
fn missing(doc: &Value, tokens: &[String]) -> String {
    let mut at = doc;
    for (depth, token) in tokens.iter().enumerate() {
        let before = tokens.get(..depth).unwrap_or_default();
        let next = match at {
            Value::Object(map) => map.get(token).ok_or_else(|| no_field(before, token)),
            Value::Array(items) => index(token, items.len())
                .and_then(|place| items.get(place))
                .ok_or_else(|| no_index(before, items.len(), token)),
            other => Err(holds_nothing(before, other)),
        };
        match next {
            Ok(value) => at = value,
            Err(why) => return why,
        }
    }
    "there is nothing".to_owned()
}

fn no_field(before: &[String], name: &str) -> String {
    format!("{} has no field {}", shown(before), excerpt(name))
}

fn no_index(before: &[String], len: usize, token: &str) -> String {
    let items = if len == 1 { "item" } else { "items" };
    format!("{} has {len} {items}, and none at {}", shown(before), excerpt(token))
}

fn holds_nothing(before: &[String], value: &Value) -> String {
    format!("{} is {}, which holds nothing", shown(before), type_of(value))
}

/// A pointer to what the tokens lead to, as a message shows it.
fn shown(tokens: &[String]) -> String {
    if tokens.is_empty() {
        return "the object".to_owned();
    }
    let escaped = tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1")));
    excerpt(&escaped.collect::<String>())
}

/// How a value differs from the one that a test expects, without telling it.
fn differs(found: &Value, expected: &Value) -> String {
    let (found, expected) = (type_of(found), type_of(expected));
    if found == expected {
        let other = found.split_once(' ').map_or(found, |(_, noun)| noun);
        return format!("it is another {other}");
    }
    format!("it is {found}, and not {expected}")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
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
