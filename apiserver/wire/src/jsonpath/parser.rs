//! The parser of paths.

use super::filter::{Comparison, Filter, Operand};
use super::{JsonPath, Step};
use serde_json::Value;

/// The longest path taken, in bytes.
const MAX_LENGTH: usize = 4096;

/// Filters may be nested this deep.
const MAX_NESTING: usize = 8;

/// A path that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath at byte {at}: {why}")]
pub struct PathError {
    /// Byte offset in the path.
    pub at: usize,
    /// What is wrong.
    pub why: &'static str,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
}

pub(super) fn parse(text: &str) -> Result<JsonPath, PathError> {
    if text.len() > MAX_LENGTH {
        return Err(PathError { at: MAX_LENGTH, why: "path is too long" });
    }
    let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    let mut parser = Parser { text, at: 0, nesting: 0 };
    parser.eat("$");
    let steps = parser.steps()?;
    if parser.peek().is_some() { Err(parser.error("unexpected character")) } else { Ok(JsonPath { steps }) }
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn error(&self, why: &'static str) -> PathError {
        PathError { at: self.at, why }
    }

    fn steps(&mut self) -> Result<Vec<Step>, PathError> {
        let mut steps = Vec::new();
        loop {
            if self.eat(".") {
                if self.peek() == Some('.') {
                    return Err(self.error("recursive descent is not supported"));
                }
                if self.eat("*") {
                    steps.push(Step::Wildcard);
                } else if self.peek() == Some('[') || (steps.is_empty() && self.peek().is_none()) {
                    // `.` alone is the root, and `.[0]` is `[0]`.
                } else {
                    steps.push(Step::Field(self.identifier()?));
                }
            } else if self.eat("[") {
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A field's name; a backslash takes the next character as it is.
    fn identifier(&mut self) -> Result<String, PathError> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                self.at += 1;
                let Some(escaped) = self.peek() else { return Err(self.error("escape at the end")) };
                name.push(escaped);
                self.at += escaped.len_utf8();
            } else if c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '$' | ':') {
                name.push(c);
                self.at += c.len_utf8();
            } else {
                break;
            }
        }
        if name.is_empty() { Err(self.error("expected a field name")) } else { Ok(name) }
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        self.skip_space();
        let step = if self.eat("*") {
            Step::Wildcard
        } else if self.eat("?(") {
            self.nesting += 1;
            if self.nesting > MAX_NESTING {
                return Err(self.error("filters are nested too deep"));
            }
            let filter = self.filter()?;
            self.nesting -= 1;
            if !self.eat(")") {
                return Err(self.error("expected ')'"));
            }
            Step::Filter(filter)
        } else if matches!(self.peek(), Some('\'' | '"')) {
            Step::Field(self.string()?)
        } else {
            let from = self.integer()?;
            if self.eat(":") {
                Step::Slice(from, self.integer()?)
            } else {
                Step::Index(from.ok_or_else(|| self.error("expected an index"))?)
            }
        };
        self.skip_space();
        if self.eat("]") { Ok(step) } else { Err(self.error("expected ']'")) }
    }

    fn integer(&mut self) -> Result<Option<i64>, PathError> {
        let rest = self.rest();
        let length = rest
            .bytes()
            .enumerate()
            .take_while(|(i, b)| b.is_ascii_digit() || (*i == 0 && *b == b'-'))
            .count();
        if length == 0 {
            return Ok(None);
        }
        let number = rest.get(..length).and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| self.error("invalid index"))?;
        self.at += length;
        Ok(Some(number))
    }

    fn string(&mut self) -> Result<String, PathError> {
        let Some(quote) = self.peek() else { return Err(self.error("expected a string")) };
        self.at += 1;
        let mut out = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(out),
                '\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += escaped.len_utf8();
                    out.push(escaped);
                }
                other => out.push(other),
            }
        }
        Err(self.error("unterminated string"))
    }

    fn filter(&mut self) -> Result<Filter, PathError> {
        let left = self.operand()?;
        self.skip_space();
        let comparisons = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let Some((_, comparison)) = comparisons.into_iter().find(|(token, _)| self.eat(token)) else {
            return Ok(Filter { left, test: None });
        };
        let right = self.operand()?;
        self.skip_space();
        Ok(Filter { left, test: Some((comparison, right)) })
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        self.skip_space();
        match self.peek() {
            Some('@') => {
                self.at += 1;
                Ok(Operand::Path(JsonPath { steps: self.steps()? }))
            }
            Some('\'' | '"') => Ok(Operand::Literal(Value::String(self.string()?))),
            _ => {
                let rest = self.rest();
                let end = rest.find([')', ' ', '=', '!', '<', '>']).unwrap_or(rest.len());
                let literal = rest.get(..end).unwrap_or_default();
                let value: Value = serde_json::from_str(literal)
                    .map_err(|_| self.error("expected '@', a string or a number"))?;
                if value.is_object() || value.is_array() {
                    return Err(self.error("expected '@', a string or a number"));
                }
                self.at += end;
                Ok(Operand::Literal(value))
            }
        }
    }
}
