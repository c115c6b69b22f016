//! The characters of a template, and the small forms in it: names, numbers, quoted text.

use super::Fault;
use serde_json::Value;

/// A place in a template.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Whether operators end a name.
    pub(super) in_filter: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, in_filter: false }
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes a word if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let comes = self.rest().starts_with(word);
        if comes {
            self.at += word.len();
        }
        comes
    }

    pub(super) fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    /// The character that comes next, as a place.
    pub(super) fn here(&self) -> (usize, usize) {
        (self.at, self.at + self.peek().map_or(0, char::len_utf8))
    }

    fn ends_name(&self, c: char) -> bool {
        c.is_whitespace()
            || matches!(c, '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
            || (self.in_filter && matches!(c, '=' | '<' | '>' | '!' | '&' | '|' | '(' | ')' | '~'))
    }

    /// A field's name, with `\` before what would end it.
    pub(super) fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                self.bump();
                name.extend(self.bump());
            } else if self.ends_name(c) {
                break;
            } else {
                name.push(c);
                self.bump();
            }
        }
        name
    }

    /// A whole number or a fraction.
    pub(super) fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        if matches!(self.peek(), Some('+' | '-')) {
            self.bump();
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E')) {
            self.bump();
        }
        let text = &self.text[start..self.at];
        let bare = text.strip_prefix('+').unwrap_or(text);
        if let Ok(whole) = bare.parse::<i64>() {
            return Ok(Value::from(whole));
        }
        let fraction = bare.parse::<f64>().ok().filter(|f| f.is_finite());
        fraction
            .map(Value::from)
            .ok_or_else(|| Fault::new(format!("{text:?} is not a number"), (start, self.at)))
    }

    /// Text between quotes, with the escapes of Go.
    pub(super) fn quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let quote = self.bump().unwrap_or('"');
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.bump() {
                None => return Err(Fault::new("this quote is never closed", (start, start + 1))),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => {
                    let escaped = self.escape(quote);
                    let wrong = || {
                        let known = r#"known are \n \t \r \a \b \f \v \\ \" \' \xNN \uNNNN \NNN"#;
                        Fault::new("this escape is unknown", (at, self.at)).help(known)
                    };
                    text.push(escaped.ok_or_else(wrong)?);
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, quote: char) -> Option<char> {
        Some(match self.bump()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' => '\\',
            c if c == quote => c,
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                self.at -= 1;
                self.code(3, 8)?
            }
            // A path may stand between quotes, where a backslash belongs to it.
            '.' => '.',
            _ => return None,
        })
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let code = self.rest().get(..digits)?;
        let number = u32::from_str_radix(code, radix).ok().filter(|_| !code.starts_with('+'))?;
        self.at += digits;
        char::from_u32(number)
    }
}
