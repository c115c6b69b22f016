//! The parser of label selectors: a scanner of tokens and a descent without recursion.

use super::SelectorError;
use super::label::{LabelOperator, LabelRequirement};
use crate::field::FieldError;
use crate::name;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    /// One of `) , ! == = > < != (`.
    Symbol(&'a str),
    /// A key, a value, or `in` and `notin`, which are words only where an operator is due.
    Word(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::End => "",
            Self::Symbol(text) | Self::Word(text) => text,
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// The next token and what follows it.
    fn scan(&self) -> (Token<'a>, &'a str) {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let length = match rest.as_bytes() {
            [] => return (Token::End, rest),
            [b'!' | b'=', b'=', ..] => 2,
            [first, ..] if is_special(*first) => 1,
            bytes => {
                let end = bytes.iter().position(|b| is_special(*b) || is_space(*b)).unwrap_or(bytes.len());
                // The bytes that end a word are ASCII, so the cut lies between characters.
                let (word, rest) = rest.split_at(end);
                return (Token::Word(word), rest);
            }
        };
        let (symbol, rest) = rest.split_at(length);
        (Token::Symbol(symbol), rest)
    }

    fn peek(&self) -> Token<'a> {
        self.scan().0
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.scan();
        self.rest = rest;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, SelectorError> {
        let mut token = self.next();
        let negated = token == Token::Symbol("!");
        if negated {
            token = self.next();
        }
        let Token::Word(key) = token else { return Err(found(token, ", expected: identifier")) };
        let messages = name::qualified_name(key);
        if !messages.is_empty() {
            return Err(aggregate(&[FieldError::invalid("", Value::from(key), messages.join("; "))]));
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            let operator = if negated { LabelOperator::DoesNotExist } else { LabelOperator::Exists };
            return Ok(LabelRequirement { key: key.into(), operator, values: Vec::new() });
        }
        if negated {
            return Err(found(self.peek(), ", expected: ',' or 'end of string'"));
        }
        let operator = match self.next() {
            Token::Word("in") => LabelOperator::In,
            Token::Word("notin") => LabelOperator::NotIn,
            Token::Symbol("=") => LabelOperator::Equals,
            Token::Symbol("==") => LabelOperator::DoubleEquals,
            Token::Symbol("!=") => LabelOperator::NotEquals,
            Token::Symbol(">") => LabelOperator::GreaterThan,
            Token::Symbol("<") => LabelOperator::LessThan,
            other => return Err(found(other, ", expected: in, notin, =, ==, !=, >, <")),
        };
        let values = match operator {
            LabelOperator::In | LabelOperator::NotIn => self.value_set()?,
            _ => self.exact_value()?,
        };
        let requirement = LabelRequirement {
            key: key.into(),
            operator,
            values: values.into_iter().map(str::to_owned).collect(),
        };
        check_values(&requirement)?;
        Ok(requirement)
    }

    /// The word after `=`; nothing there is the empty value.
    fn exact_value(&mut self) -> Result<BTreeSet<&'a str>, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(BTreeSet::from([""]));
        }
        match self.next() {
            Token::Word(value) => Ok(BTreeSet::from([value])),
            other => Err(found(other, ", expected: identifier")),
        }
    }

    /// `(x,,y)`: a word between two commas, or between a comma and a parenthesis, may be missing and is empty.
    fn value_set(&mut self) -> Result<BTreeSet<&'a str>, SelectorError> {
        let token = self.next();
        if token != Token::Symbol("(") {
            return Err(found(token, " expected: '('"));
        }
        let mut values = BTreeSet::new();
        let mut wants_value = true;
        loop {
            match self.next() {
                Token::Word(value) if wants_value => {
                    values.insert(value);
                    wants_value = false;
                }
                Token::Symbol(",") => {
                    if wants_value {
                        values.insert("");
                    }
                    wants_value = true;
                }
                Token::Symbol(")") => {
                    if wants_value {
                        values.insert("");
                    }
                    return Ok(values);
                }
                other if wants_value => return Err(found(other, ", expected: ',', ')' or identifier")),
                other => return Err(found(other, ", expected: ',' or ')'")),
            }
        }
    }
}

fn found(token: Token<'_>, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}'{expected}", token.text()))
}

/// Several field errors in one text, as `utilerrors.Aggregate` shows them.
fn aggregate(errors: &[FieldError]) -> SelectorError {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    SelectorError(match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    })
}

fn check_values(requirement: &LabelRequirement) -> Result<(), SelectorError> {
    let ordered = matches!(requirement.operator, LabelOperator::GreaterThan | LabelOperator::LessThan);
    let mut errors = Vec::new();
    for (index, value) in requirement.values.iter().enumerate() {
        if ordered && value.parse::<i64>().is_err() {
            errors.push(FieldError::invalid(
                format!("values[{index}]"),
                Value::from(value.as_str()),
                "for 'Gt', 'Lt' operators, the value must be an integer",
            ));
        }
    }
    for (index, value) in requirement.values.iter().enumerate() {
        let messages = name::label_value(value);
        if !messages.is_empty() {
            let field = format!("values[{index}][{}]", requirement.key);
            errors.push(FieldError::invalid(field, Value::from(value.as_str()), messages.join("; ")));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(aggregate(&errors)) }
}

/// The requirements of `text`, in the order in which they are written.
pub(super) fn parse(text: &str) -> Result<Vec<LabelRequirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(requirements),
            Token::Word(_) | Token::Symbol("!") => {}
            other => return Err(found(other, ", expected: !, identifier, or 'end of string'")),
        }
        let requirement = parser
            .requirement()
            .map_err(|SelectorError(why)| SelectorError(format!("unable to parse requirement: {why}")))?;
        requirements.push(requirement);
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => {}
            other => return Err(found(other, ", expected: ',' or 'end of string'")),
        }
        if !matches!(parser.peek(), Token::Word(_) | Token::Symbol("!")) {
            return Err(found(parser.peek(), ", expected: identifier after ','"));
        }
    }
}
