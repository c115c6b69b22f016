//! `pattern`: regular expressions in Go's dialect.
//!
//! Patterns of Kubernetes are RE2 as Go's `regexp` reads it. The regex crate is RE2's kin, but reads some text otherwise:
//! Perl classes are Unicode, `[` nests within a class, a lone `{` is an error, `\Q`, octal escapes and `[\w-.]` are
//! unknown. A pattern is rewritten so that it means here what it means there; what Go refuses is refused. Matching takes
//! time linear in the text, and what a pattern may compile to is bounded.

use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Most bytes that a compiled pattern may take.
const MOST_BYTES: usize = 8 << 20;
/// Deepest nesting of groups, as Go bounds it roughly.
const DEEPEST: u32 = 200;
/// Largest count of a repetition, Go's.
const MOST_REPEATS: u32 = 1000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    source: String,
    regex: Arc<Regex>,
}

/// Compiled patterns that are in use. The same few patterns (names, quantities, durations) stand at hundreds of places of
/// the kinds, and a compiled one takes tens of kilobytes: it is built once. What is shared never changes a verdict.
static SHARED: LazyLock<Mutex<BTreeMap<String, Weak<Regex>>>> = LazyLock::new(Mutex::default);

impl Pattern {
    /// Compiles Go's syntax; the error is in Go's words where the fault is one that is found here.
    pub fn compile(source: &str) -> Result<Self, String> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = shared.get(source).and_then(Weak::upgrade) {
            return Ok(Self { source: source.to_owned(), regex });
        }
        let rewritten = Rewriter::new(source).run()?;
        let built = RegexBuilder::new(&rewritten).size_limit(MOST_BYTES).nest_limit(DEEPEST).build();
        match built {
            Ok(regex) => {
                let regex = Arc::new(regex);
                shared.retain(|_, held| held.strong_count() > 0);
                shared.insert(source.to_owned(), Arc::downgrade(&regex));
                Ok(Self { source: source.to_owned(), regex })
            }
            Err(regex::Error::CompiledTooBig(_)) => Err("expression too large".to_owned()),
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                Err(last.trim_start_matches("error: ").to_owned())
            }
        }
    }

    /// As the schema has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is found anywhere in a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

struct Rewriter<'p> {
    source: &'p str,
    rest: Peekable<Chars<'p>>,
    out: String,
    /// Whether there is something to repeat.
    has_operand: bool,
    /// The repetition just read.
    repetition: Option<String>,
}

impl<'p> Rewriter<'p> {
    fn new(source: &'p str) -> Self {
        Self {
            source,
            rest: source.chars().peekable(),
            out: String::new(),
            has_operand: false,
            repetition: None,
        }
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '|' => self.delimiter('|', false),
                ')' => self.delimiter(')', true),
                '*' | '+' | '?' => self.repeat(c.to_string())?,
                '{' => match self.count()? {
                    Some(count) => self.repeat(count)?,
                    None => self.literal('{'),
                },
                '.' | '^' | '$' => {
                    self.out.push(c);
                    self.operand();
                }
                c => self.literal(c),
            }
        }
        Ok(self.out)
    }

    fn operand(&mut self) {
        self.has_operand = true;
        self.repetition = None;
    }

    fn delimiter(&mut self, c: char, ends_operand: bool) {
        self.out.push(c);
        self.has_operand = ends_operand;
        self.repetition = None;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.operand();
    }

    fn repeat(&mut self, mut operator: String) -> Result<(), String> {
        if self.rest.next_if_eq(&'?').is_some() {
            operator.push('?');
        }
        if let Some(before) = &self.repetition {
            return Err(format!("invalid nested repetition operator: `{before}{operator}`"));
        }
        if !self.has_operand {
            return Err(format!("missing argument to repetition operator: `{operator}`"));
        }
        self.out.push_str(&operator);
        self.repetition = Some(operator);
        Ok(())
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`; anything else is text.
    fn count(&mut self) -> Result<Option<String>, String> {
        let mut ahead = self.rest.clone();
        let mut inner = String::new();
        loop {
            match ahead.next() {
                Some('}') => break,
                Some(c) if c.is_ascii_digit() || c == ',' => inner.push(c),
                _ => return Ok(None),
            }
        }
        let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
        if least.is_empty() || most.contains(',') {
            return Ok(None);
        }
        self.rest = ahead;
        let number = |digits: &str| digits.parse::<u32>().ok().filter(|&count| count <= MOST_REPEATS);
        let fits = match (number(least), most) {
            (Some(_), "") => true,
            (Some(least), most) => number(most).is_some_and(|most| least <= most),
            (None, _) => false,
        };
        if fits {
            Ok(Some(format!("{{{inner}}}")))
        } else {
            Err(format!("invalid repeat count: `{{{inner}}}`"))
        }
    }

    /// What follows `(`.
    fn group(&mut self) -> Result<(), String> {
        self.delimiter('(', false);
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        let mut flags = String::new();
        while let Some(&c) = self.rest.peek() {
            match c {
                'i' | 'm' | 's' | 'U' | '-' => flags.push(c),
                ':' | ')' => break,
                'P' | '<' if flags.is_empty() => break,
                c => return Err(format!("invalid or unsupported Perl syntax: `(?{flags}{c}`")),
            }
            self.rest.next();
        }
        self.out.push_str(&flags);
        if self.rest.next_if_eq(&':').is_some() {
            self.out.push(':');
            return Ok(());
        }
        if self.rest.next_if_eq(&'P').is_some() {
            self.out.push('P');
        }
        if self.rest.next_if_eq(&'<').is_some() {
            self.group_name()?;
        }
        Ok(())
    }

    fn group_name(&mut self) -> Result<(), String> {
        self.out.push('<');
        for c in self.rest.by_ref() {
            self.out.push(c);
            match c {
                '>' => return Ok(()),
                c if c.is_ascii_alphanumeric() || c == '_' => {}
                _ => break,
            }
        }
        Err(format!("invalid named capture: `{}`", self.source))
    }

    /// What follows `\` outside a class.
    fn escape(&mut self) -> Result<(), String> {
        match self.rest.peek().copied() {
            Some('A' | 'z') => {
                self.out.push('\\');
                self.out.extend(self.rest.next());
            }
            Some(c @ ('b' | 'B')) => {
                self.rest.next();
                self.out.push_str(if c == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
            }
            Some('Q') => {
                self.rest.next();
                self.quoted_text();
                return Ok(());
            }
            Some('p' | 'P') => self.property()?,
            Some(c) if perl_class(c).is_some() => {
                self.rest.next();
                self.out.push_str(perl_class(c).unwrap_or_default());
            }
            _ => {
                let c = self.escaped_character()?;
                push_literal(&mut self.out, c);
            }
        }
        self.operand();
        Ok(())
    }

    /// Everything up to `\E` stands for itself.
    fn quoted_text(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// `\pL`, `\p{Greek}`, `\P{^Greek}`.
    fn property(&mut self) -> Result<(), String> {
        let mut negated = self.rest.next() == Some('P');
        let mut name = String::new();
        match self.rest.next() {
            Some('{') => loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some('^') if name.is_empty() => negated = !negated,
                    Some(c) if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                    _ => return Err("invalid character class range: `\\p{`".to_owned()),
                }
            },
            Some(c) => name.push(c),
            None => return Err("invalid character class range: `\\p`".to_owned()),
        }
        self.out.push_str(if negated { r"\P{" } else { r"\p{" });
        self.out.push_str(&name);
        self.out.push('}');
        Ok(())
    }

    /// A character that an escape stands for.
    fn escaped_character(&mut self) -> Result<char, String> {
        let Some(c) = self.rest.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let invalid = || format!("invalid escape sequence: `\\{c}`");
        let octal = |c: &char| ('0'..='7').contains(c);
        match c {
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'v' => Ok('\x0b'),
            'x' => self.hexadecimal().ok_or_else(invalid),
            // A digit alone would refer back, which RE2 cannot.
            '1'..='7' if !self.rest.peek().is_some_and(octal) => Err(invalid()),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    match self.rest.next_if(octal) {
                        Some(digit) => code = code * 8 + digit.to_digit(8).unwrap_or_default(),
                        None => break,
                    }
                }
                char::from_u32(code).ok_or_else(invalid)
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(invalid()),
        }
    }

    /// `7F` or `{10FFFF}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let mut digits = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            loop {
                match self.rest.next()? {
                    '}' => break,
                    c => digits.push(c),
                }
            }
        } else {
            digits.push(self.rest.next()?);
            digits.push(self.rest.next()?);
        }
        let fits = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if fits { char::from_u32(u32::from_str_radix(&digits, 16).ok()?) } else { None }
    }

    /// What follows `[`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.rest.peek().copied() {
                None => return Err(format!("missing closing ]: `{}`", self.source)),
                Some(']') if !first => {
                    self.rest.next();
                    break;
                }
                Some('[') if self.posix_class()? => {}
                Some('\\') if self.class_escape()? => {}
                Some(_) => self.class_range()?,
            }
            first = false;
        }
        self.out.push(']');
        self.operand();
        Ok(())
    }

    /// `[:alpha:]`, if that is what comes.
    fn posix_class(&mut self) -> Result<bool, String> {
        let mut ahead = self.rest.clone();
        ahead.next();
        if ahead.next() != Some(':') {
            return Ok(false);
        }
        let mut name = String::new();
        loop {
            match ahead.next() {
                Some(':') => break,
                Some(c) => name.push(c),
                None => return Ok(false),
            }
        }
        if ahead.next() != Some(']') {
            return Ok(false);
        }
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        if !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(format!("invalid character class range: `[:{name}:]`"));
        }
        self.rest = ahead;
        self.out.push_str(&format!("[:{name}:]"));
        Ok(true)
    }

    /// `\d` and the like or `\p` within a class, if that is what comes.
    fn class_escape(&mut self) -> Result<bool, String> {
        let mut ahead = self.rest.clone();
        ahead.next();
        match ahead.peek().copied() {
            Some('p' | 'P') => {
                self.rest = ahead;
                self.property()?;
                Ok(true)
            }
            Some(c) => match perl_class(c) {
                Some(class) => {
                    ahead.next();
                    self.rest = ahead;
                    self.out.push_str(class);
                    Ok(true)
                }
                None => Ok(false),
            },
            None => Ok(false),
        }
    }

    /// A character or a range of them.
    fn class_range(&mut self) -> Result<(), String> {
        let low = self.class_character()?;
        let mut ahead = self.rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|&c| c != ']');
        push_literal(&mut self.out, low);
        if is_range {
            self.rest = ahead;
            let high = self.class_character()?;
            if high < low {
                return Err(format!("invalid character class range: `{low}-{high}`"));
            }
            self.out.push('-');
            push_literal(&mut self.out, high);
        }
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, String> {
        match self.rest.next() {
            Some('\\') => self.escaped_character(),
            Some(c) => Ok(c),
            None => Err(format!("missing closing ]: `{}`", self.source)),
        }
    }
}

/// Perl's classes, which are ASCII in Go.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        _ => return None,
    })
}

/// A character that means nothing but itself, within a class or without.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", c as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, good, bad) in [
            (r"^\d+$", "09", "\u{663}"),
            (r"^\w$", "_", "ä"),
            (r"^[^\w]$", "ä", "a"),
            (r"^[\w-.]+$", "a-.b", "a,b"),
            (r"^[a[b]+$", "[ab", "c"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[a-c--/]+$", "a./-", "0"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]+$", "b", "]"),
            (r"^[a-]+$", "a-", "b"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^a{2}$", "aa", "a{2}"),
            (r"^{}$", "{}", ""),
            (r"^\Qa.b*\E+$", "a.b**", "axb*"),
            (r"^\101\x42\x{43}\060$", "ABC0", "ABC"),
            (r"^[[:alpha:]_]+$", "a_", "1"),
            (r"^\pL\P{Greek}\p{^Greek}$", "λab", "1ab"),
            (r"(?i)^ab(?:c)(?P<n>d)$", "ABCD", "abc"),
            (r"\bfoo\b", "a foo", "afoo"),
            (r"\Boo\B", "fooo", "oo"),
            (r"^a.b$", "aäb", "a\nb"),
            (r"^a$", "a", "a\n"),
            (r"^\-\_\/\ $", "-_/ ", ""),
            (r"^[[:x]+$", "[:x", "y"),
        ] {
            let compiled = Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(compiled.is_match(good), "{pattern} should match {good:?}");
            assert!(!compiled.is_match(bad), "{pattern} should not match {bad:?}");
            assert_eq!(compiled.source(), pattern);
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (pattern, error) in [
            ("+", "missing argument to repetition operator: `+`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("(+?)", "missing argument to repetition operator: `+?`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("[a", "missing closing ]: `[a`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\u0041", r"invalid escape sequence: `\u`"),
            (r"[\b]", r"invalid escape sequence: `\b`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            (r"a\", "trailing backslash at end of expression: ``"),
        ] {
            assert_eq!(Pattern::compile(pattern).map(|_| ()), Err(error.to_owned()), "{pattern}");
        }
        assert!(Pattern::compile("(").is_err());
        assert!(Pattern::compile("a)").is_err());
    }

    #[test]
    fn what_a_pattern_compiles_to_is_bounded() {
        assert_eq!(
            Pattern::compile("((a{1000}){1000}){1000}").map(|_| ()),
            Err("expression too large".to_owned())
        );
        assert!(Pattern::compile(&"(".repeat(100_000)).is_err());
    }
}
