//! From text to parts and steps.

use super::{Condition, Fault, Node, Operator, Part, Path, Step, lexer::Lexer};
use serde_json::Value;

/// The longest template, in bytes.
const LONGEST: usize = 64 << 10;
/// How deep loops, filters and unions may stand in each other.
const DEEPEST: usize = 24;

/// A whole template.
pub(super) fn template(text: &str) -> Result<Vec<Part>, Fault> {
    bounded(text)?;
    if !text.contains('{') && text.starts_with(['.', '$', '@']) {
        return Ok(vec![Part::Values(relaxed(text)?)]);
    }
    let mut parser = Parser { lexer: Lexer::new(text), depth: 0 };
    let parts = parser.parts(None)?;
    Ok(parts)
}

/// One expression, with or without braces and the first dot.
pub(super) fn relaxed(text: &str) -> Result<Path, Fault> {
    bounded(text)?;
    let mut parser = Parser { lexer: Lexer::new(text), depth: 0 };
    parser.lexer.blanks();
    let braced = parser.lexer.eat("{");
    parser.lexer.blanks();
    let mut path = Vec::new();
    if parser.lexer.peek().is_some_and(|c| !matches!(c, '.' | '[' | '$' | '@' | '}' | '{')) {
        let start = parser.lexer.at;
        let name = parser.lexer.name();
        path.push(Step { node: Node::Field(name), place: (start, parser.lexer.at) });
    }
    parser.steps(&mut path)?;
    if braced && !parser.lexer.eat("}") {
        return Err(Fault::new("this brace is never closed", (text.find('{').unwrap_or(0), parser.lexer.at)));
    }
    parser.lexer.blanks();
    if parser.lexer.peek().is_some() {
        let place = (parser.lexer.at, text.len());
        return Err(Fault::new("one expression is expected, and this comes after it", place));
    }
    if path.is_empty() && !text.contains(['.', '@', '$']) {
        return Err(Fault::new("an expression such as .metadata.name is expected", (0, text.len())));
    }
    Ok(path)
}

fn bounded(text: &str) -> Result<(), Fault> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    Err(Fault::new(format!("a template has at most {LONGEST} bytes; this has {}", text.len()), (0, 0)))
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    depth: usize,
}

impl Parser<'_> {
    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth <= DEEPEST {
            return Ok(());
        }
        Err(Fault::new(format!("more than {DEEPEST} stand in each other here"), self.lexer.here()))
    }

    /// Text and expressions, up to the end of the loop that began at `range`, or of the template. A loop that is never
    /// ended goes on to the end, as kubectl has it.
    fn parts(&mut self, range: Option<usize>) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        loop {
            let rest = self.lexer.rest();
            let brace = rest.find('{').unwrap_or(rest.len());
            if brace > 0 {
                parts.push(Part::Text(rest[..brace].to_owned()));
            }
            let start = self.lexer.at + brace;
            self.lexer.at = start;
            if self.lexer.bump().is_none() {
                return Ok(parts);
            }
            self.lexer.blanks();
            if self.keyword("end") {
                self.close(start)?;
                if range.is_none() {
                    let words = "there is no {range} that this could end";
                    return Err(Fault::new(words, (start, self.lexer.at)));
                }
                return Ok(parts);
            }
            if self.keyword("range") {
                let mut path = Vec::new();
                self.steps(&mut path)?;
                self.close(start)?;
                self.deeper()?;
                parts.push(Part::Range(path, self.parts(Some(start))?));
                self.depth -= 1;
                continue;
            }
            let mut path = Vec::new();
            self.steps(&mut path)?;
            self.close(start)?;
            parts.push(Part::Values(path));
        }
    }

    /// A word that stands alone.
    fn keyword(&mut self, word: &str) -> bool {
        let follows = self.lexer.rest().strip_prefix(word).and_then(|rest| rest.chars().next());
        let alone = follows.is_some_and(|c| c.is_whitespace() || matches!(c, '}' | '.' | '[' | '$' | '@'));
        alone && self.lexer.eat(word)
    }

    fn close(&mut self, start: usize) -> Result<(), Fault> {
        self.lexer.blanks();
        if self.lexer.eat("}") {
            return Ok(());
        }
        match self.lexer.peek() {
            None => Err(Fault::new("this brace is never closed", (start, start + 1))),
            Some(c) => Err(Fault::new(format!("{c:?} cannot stand here"), self.lexer.here())),
        }
    }

    /// Steps, as long as there are any.
    fn steps(&mut self, path: &mut Path) -> Result<(), Fault> {
        loop {
            if self.lexer.in_filter {
                // An operator may follow after blanks; a step may not.
                if !matches!(self.lexer.peek(), Some('.' | '[' | '@' | '$')) {
                    return Ok(());
                }
            } else {
                self.lexer.blanks();
            }
            let start = self.lexer.at;
            let node = match self.lexer.peek() {
                Some('@') => {
                    self.lexer.bump();
                    continue;
                }
                Some('$') => {
                    self.lexer.bump();
                    Node::Root
                }
                Some('.') => match self.field(path)? {
                    Some(node) => node,
                    None => continue,
                },
                Some('[') => self.bracket()?,
                Some('"' | '\'') => Node::Literal(Value::from(self.lexer.quoted()?)),
                Some('+' | '-' | '0'..='9') => Node::Literal(self.lexer.number()?),
                Some(c) if c.is_alphanumeric() || c == '_' => self.word()?,
                _ => return Ok(()),
            };
            path.push(Step { node, place: (start, self.lexer.at) });
        }
    }

    /// What a dot begins; `None` where it stands for the current value.
    fn field(&mut self, path: &mut Path) -> Result<Option<Node>, Fault> {
        let start = self.lexer.at;
        if self.lexer.eat("..") {
            if path.last().is_some_and(|step| matches!(step.node, Node::Descent)) {
                return Err(Fault::new("one descent (..) cannot follow another", (start, self.lexer.at)));
            }
            path.push(Step { node: Node::Descent, place: (start, self.lexer.at) });
            if matches!(self.lexer.peek(), Some('.' | '[')) {
                return Ok(None);
            }
        } else {
            self.lexer.bump();
        }
        let name = self.lexer.name();
        Ok(match name.as_str() {
            "" => None,
            "*" => Some(Node::Wildcard),
            _ => Some(Node::Field(name)),
        })
    }

    fn word(&mut self) -> Result<Node, Fault> {
        let start = self.lexer.at;
        let word = self.lexer.name();
        match word.as_str() {
            "true" => Ok(Node::Literal(Value::Bool(true))),
            "false" => Ok(Node::Literal(Value::Bool(false))),
            _ => {
                let fault = Fault::new(format!("{word:?} is no keyword"), (start, self.lexer.at));
                Err(fault
                    .help(format!("a field starts with a dot (.{word}), text stands in quotes ({word:?})")))
            }
        }
    }

    /// What stands between brackets.
    fn bracket(&mut self) -> Result<Node, Fault> {
        let start = self.lexer.at;
        self.deeper()?;
        self.lexer.bump();
        let was = std::mem::replace(&mut self.lexer.in_filter, false);
        self.lexer.blanks();
        let node = if self.lexer.eat("?(") { self.filter(start)? } else { self.union(start)? };
        self.lexer.in_filter = was;
        self.depth -= 1;
        Ok(node)
    }

    fn union(&mut self, start: usize) -> Result<Node, Fault> {
        let mut members: Vec<Step> = Vec::new();
        loop {
            self.lexer.blanks();
            let at = self.lexer.at;
            let node = self.member(start)?;
            members.push(Step { node, place: (at, self.lexer.at) });
            self.lexer.blanks();
            if self.lexer.eat("]") {
                break;
            }
            if !self.lexer.eat(",") {
                return Err(self.never_closed(start));
            }
        }
        if members.len() == 1 {
            return Ok(members.pop().map_or(Node::Wildcard, |only| only.node));
        }
        Ok(Node::Union(members.into_iter().map(|member| vec![member]).collect()))
    }

    fn never_closed(&self, start: usize) -> Fault {
        match self.lexer.peek() {
            None | Some('}') => Fault::new("this bracket is never closed", (start, start + 1)),
            Some(_) => Fault::new("an index, a slice or a quoted name is expected", self.lexer.here())
                .help("for example [0], [-1], [0:2], [*], ['name'] or [?(@.name==\"web\")]"),
        }
    }

    fn member(&mut self, start: usize) -> Result<Node, Fault> {
        if self.lexer.eat("*") {
            return Ok(Node::Wildcard);
        }
        if matches!(self.lexer.peek(), Some('"' | '\'')) {
            return self.key();
        }
        let first = self.bound()?;
        if !self.lexer.rest().trim_start().starts_with(':') {
            return first.map(Node::Index).ok_or_else(|| self.never_closed(start));
        }
        self.lexer.blanks();
        self.lexer.bump();
        let last = self.bound()?;
        self.lexer.blanks();
        let at = self.lexer.at;
        let step = if self.lexer.eat(":") { self.bound()? } else { None };
        let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0);
        step.map(|step| Node::Slice(first, last, step))
            .ok_or_else(|| Fault::new("the step of a slice is a number above 0", (at, self.lexer.at)))
    }

    /// A number of a slice; `None` where it is left out.
    fn bound(&mut self) -> Result<Option<i64>, Fault> {
        self.lexer.blanks();
        let start = self.lexer.at;
        if self.lexer.peek() == Some('-') {
            self.lexer.bump();
        }
        while self.lexer.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.lexer.bump();
        }
        let text = &self.lexer.text[start..self.lexer.at];
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = || Fault::new(format!("{text:?} is not an index"), (start, self.lexer.at));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// `'name'`, which may be a path.
    fn key(&mut self) -> Result<Node, Fault> {
        let start = self.lexer.at;
        let quote = self.lexer.bump().unwrap_or('\'');
        let mut escaped = false;
        let end = self.lexer.rest().find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.ok_or_else(|| Fault::new("this quote is never closed", (start, start + 1)))?;
        let text = &self.lexer.rest()[..end];
        let mut name = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            name.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        // Not what follows the path, but what is in it, is the path's: it is read on its own.
        let offset = self.lexer.at;
        let mut inner = Parser { lexer: Lexer::new(text), depth: self.depth };
        inner.deeper()?;
        let mut path = Vec::new();
        let first = inner.lexer.name();
        if !first.is_empty() {
            path.push(Step { node: Node::Field(first), place: (0, inner.lexer.at) });
        }
        // What is no path is a name only.
        let is_path = inner.steps(&mut path).is_ok() && inner.lexer.peek().is_none();
        if !is_path || path.iter().any(|step| matches!(step.node, Node::Literal(_))) {
            path = Vec::new();
        }
        for step in &mut path {
            step.place = (step.place.0 + offset, step.place.1 + offset);
        }
        self.lexer.at += end + quote.len_utf8();
        Ok(Node::Key(name, path))
    }

    /// A filter, from after `[?(` to its `]`.
    fn filter(&mut self, start: usize) -> Result<Node, Fault> {
        self.lexer.in_filter = true;
        let condition = self.any()?;
        self.lexer.blanks();
        if !self.lexer.eat(")") {
            return Err(match self.lexer.peek() {
                None | Some('}') => Fault::new("this filter is never closed", (start, start + 3)),
                Some('=') if self.lexer.rest().starts_with("=~") => Fault::new(
                    "regular expressions are not part of the dialect",
                    (self.lexer.at, self.lexer.at + 2),
                )
                .help("filter with jq: -o json | jq"),
                Some(_) => Fault::new("this cannot stand in a filter", self.lexer.here())
                    .help("for example [?(@.name==\"web\")], with == != < <= > >= && ||"),
            });
        }
        self.lexer.blanks();
        if !self.lexer.eat("]") {
            return Err(Fault::new("the bracket of this filter is never closed", (start, start + 1)));
        }
        Ok(Node::Filter(condition))
    }

    fn any(&mut self) -> Result<Condition, Fault> {
        let mut members = vec![self.all()?];
        while self.operator("||") {
            members.push(self.all()?);
        }
        Ok(if members.len() == 1 { members.remove(0) } else { Condition::Any(members) })
    }

    fn all(&mut self) -> Result<Condition, Fault> {
        let mut members = vec![self.comparison()?];
        while self.operator("&&") {
            members.push(self.comparison()?);
        }
        Ok(if members.len() == 1 { members.remove(0) } else { Condition::All(members) })
    }

    fn operator(&mut self, word: &str) -> bool {
        self.lexer.blanks();
        self.lexer.eat(word)
    }

    fn comparison(&mut self) -> Result<Condition, Fault> {
        let start = self.lexer.at;
        let left = self.operand()?;
        self.lexer.blanks();
        let at = self.lexer.at;
        let signs: String =
            self.lexer.rest().chars().take_while(|c| matches!(c, '=' | '!' | '<' | '>')).collect();
        if signs.is_empty() {
            return Ok(Condition::Exists(left));
        }
        if self.lexer.rest()[signs.len()..].starts_with('~') {
            // Told where the filter ends.
            return Ok(Condition::Exists(left));
        }
        self.lexer.at += signs.len();
        let operator = match signs.as_str() {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            other => {
                let fault = Fault::new(format!("{other:?} is no operator"), (at, self.lexer.at));
                return Err(fault.help("known are == != < <= > >="));
            }
        };
        let right = self.operand()?;
        Ok(Condition::Compare(left, operator, right, (start, self.lexer.at)))
    }

    fn operand(&mut self) -> Result<Path, Fault> {
        self.lexer.blanks();
        let start = self.lexer.at;
        let node = match self.lexer.peek() {
            Some('"' | '\'') => Node::Literal(Value::from(self.lexer.quoted()?)),
            Some('+' | '-' | '0'..='9') => Node::Literal(self.lexer.number()?),
            Some('@' | '$' | '.' | '[') => {
                let mut path = Vec::new();
                self.steps(&mut path)?;
                return Ok(path);
            }
            Some(c) if c.is_alphanumeric() || c == '_' => self.word()?,
            _ => {
                let fault = Fault::new("a path or a value is expected here", self.lexer.here());
                return Err(fault.help("for example @.name, \"web\", 5 or true"));
            }
        };
        Ok(vec![Step { node, place: (start, self.lexer.at) }])
    }
}
