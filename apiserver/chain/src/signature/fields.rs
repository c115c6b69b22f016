//! The part of structured fields (RFC 9651) that signature headers are made of, read strictly.
//!
//! A dictionary of inner lists of strings with integer and string parameters, and a dictionary of byte sequences.
//! Whatever else the RFC allows (tokens, decimals, dates, bare keys, escapes) is refused with its place: no signature
//! of ours needs it. Reading is linear in the input and does not recurse.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Text that does not have the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct SyntaxError {
    /// Where, in bytes from the start of the header's value.
    pub at: usize,
    /// What the reader was looking for.
    pub expected: &'static str,
}

/// A parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Integer(u64),
    String(&'a str),
}

/// An inner list with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InnerList<'a> {
    pub items: Vec<&'a str>,
    pub parameters: Vec<(&'a str, Value<'a>)>,
}

/// Reads `label=("a" "b");p=1;q="x", …`.
pub(super) fn inner_lists(text: &str) -> Result<Vec<(&str, InnerList<'_>)>, SyntaxError> {
    dictionary(text, |reader| {
        let items = reader.items()?;
        let parameters = reader.parameters()?;
        Ok(InnerList { items, parameters })
    })
}

/// Reads `label=:base64:, …`.
pub(super) fn byte_sequences(text: &str) -> Result<Vec<(&str, Vec<u8>)>, SyntaxError> {
    dictionary(text, Reader::byte_sequence)
}

fn dictionary<'a, T>(
    text: &'a str,
    mut member: impl FnMut(&mut Reader<'a>) -> Result<T, SyntaxError>,
) -> Result<Vec<(&'a str, T)>, SyntaxError> {
    let mut reader = Reader { text, at: 0 };
    let mut members = Vec::new();
    reader.skip(|byte| byte == b' ');
    loop {
        let label = reader.key()?;
        reader.expect(b'=', "`=`")?;
        members.push((label, member(&mut reader)?));
        reader.skip(|byte| byte == b' ' || byte == b'\t');
        if reader.peek().is_none() {
            return Ok(members);
        }
        reader.expect(b',', "`,` or the end")?;
        reader.skip(|byte| byte == b' ' || byte == b'\t');
    }
}

/// A place in a header's value.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, expected })
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.fail(expected)
        }
    }

    /// Takes bytes while `accept` holds. All readers accept ASCII only, so the slice falls on characters.
    fn skip(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let from = self.at;
        while self.peek().is_some_and(&accept) {
            self.at += 1;
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn key(&mut self) -> Result<&'a str, SyntaxError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return self.fail("a lower-case letter");
        }
        Ok(self.skip(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b)))
    }

    fn string(&mut self) -> Result<&'a str, SyntaxError> {
        self.expect(b'"', "`\"`")?;
        let text =
            self.skip(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\');
        self.expect(b'"', "`\"` (escapes are not accepted)")?;
        Ok(text)
    }

    fn integer(&mut self) -> Result<u64, SyntaxError> {
        let from = self.at;
        let digits = self.skip(|byte| byte.is_ascii_digit());
        // RFC 9651 section 3.3.1: at most 15 digits. A leading zero would be a second form of the same number.
        let canonical = digits.len() <= 15 && (digits.len() == 1 || !digits.starts_with('0'));
        match digits.parse() {
            Ok(number) if canonical => Ok(number),
            _ => {
                Err(SyntaxError { at: from, expected: "an integer of 1 to 15 digits without leading zeros" })
            }
        }
    }

    fn byte_sequence(&mut self) -> Result<Vec<u8>, SyntaxError> {
        self.expect(b':', "`:`")?;
        let from = self.at;
        let text = self.skip(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.expect(b':', "`:` after base64")?;
        STANDARD.decode(text).map_err(|_| SyntaxError { at: from, expected: "padded base64" })
    }

    fn items(&mut self) -> Result<Vec<&'a str>, SyntaxError> {
        self.expect(b'(', "`(`")?;
        let mut items = Vec::new();
        loop {
            self.skip(|byte| byte == b' ');
            if self.peek() == Some(b')') {
                self.at += 1;
                return Ok(items);
            }
            items.push(self.string()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return self.fail("` ` or `)`");
            }
        }
    }

    fn parameters(&mut self) -> Result<Vec<(&'a str, Value<'a>)>, SyntaxError> {
        let mut parameters = Vec::new();
        while self.peek() == Some(b';') {
            self.at += 1;
            let name = self.key()?;
            self.expect(b'=', "`=`")?;
            let value = match self.peek() {
                Some(b'"') => Value::String(self.string()?),
                _ => Value::Integer(self.integer()?),
            };
            parameters.push((name, value));
        }
        Ok(parameters)
    }
}
