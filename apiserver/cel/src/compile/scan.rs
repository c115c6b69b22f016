//! One pass over the tokens before parsing: lexical errors, a bound on recursion, and where names
//! stand.
//!
//! The parser recurses on brackets and conditionals and builds trees as deep as an operator chain is
//! long, which are then cloned and dropped recursively. So depth is bounded here, by an estimate from
//! above that needs no tree: within one bracket level every operator since the last comma, `&&` or
//! `||` may nest one deeper, and a closed bracket passes its own depth on to the level around it.

use cel::parser::pratt_parser::{Lexer, TokenKind};

use super::{MAX_NESTING, MAX_PARSE_DEPTH};
use crate::error::{CompileError, CompileErrorKind};

/// The identifiers of a source in order, to tell where a name of the tree stands.
pub(super) struct Tokens<'s> {
    source: &'s str,
    names: Vec<(usize, &'s str)>,
    next: usize,
}

impl<'s> Tokens<'s> {
    pub(super) fn scan(source: &'s str) -> Result<Self, CompileError> {
        let mut tokens = Self { source, names: Vec::new(), next: 0 };
        let mut lexer = Lexer::new(source);
        let mut levels = vec![Level::default()];
        loop {
            let token = lexer.lex();
            let text = source.get(token.start..token.end).unwrap_or_default();
            match token.kind {
                TokenKind::TokEnd => break,
                TokenKind::TokError => {
                    let message = lexer.get_error().map_or("token recognition error", |e| &e.message);
                    return Err(tokens.error(
                        CompileErrorKind::Syntax,
                        token.start,
                        format!("Syntax error: {message}"),
                    ));
                }
                TokenKind::TokString | TokenKind::TokBytes if breaks_line(text) => {
                    let message = "Syntax error: unterminated string literal".to_owned();
                    return Err(tokens.error(CompileErrorKind::Syntax, token.start, message));
                }
                TokenKind::TokIdent => tokens.names.push((token.start, text.trim_matches('`'))),
                _ => {}
            }
            if !nest(&mut levels, token.kind) {
                let message = format!(
                    "expression recursion limit exceeded: more than {MAX_NESTING} brackets or {MAX_PARSE_DEPTH} operators deep"
                );
                return Err(tokens.error(CompileErrorKind::TooDeep, token.start, message));
            }
        }
        Ok(tokens)
    }

    /// Where `name` next occurs: the tree is walked in source order, so occurrences come in order.
    pub(super) fn locate(&mut self, name: &str) -> usize {
        let found = self.names.iter().skip(self.next).position(|(_, text)| *text == name);
        match found {
            Some(distance) => {
                let index = self.next + distance;
                self.next = index + 1;
                self.names.get(index).map_or(0, |(start, _)| *start)
            }
            None => self.here(),
        }
    }

    /// Where the last located name stands.
    pub(super) fn here(&self) -> usize {
        self.next.checked_sub(1).and_then(|last| self.names.get(last)).map_or(0, |(start, _)| *start)
    }

    pub(super) fn error(&self, kind: CompileErrorKind, offset: usize, message: String) -> CompileError {
        error_at(self.source, kind, offset, message)
    }
}

/// An error at a byte of a source.
pub(crate) fn error_at(source: &str, kind: CompileErrorKind, offset: usize, message: String) -> CompileError {
    let before = source.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    CompileError { kind, line, column, message }
}

/// Whether a literal in single quotes runs over a line end, which only triple quotes may.
fn breaks_line(literal: &str) -> bool {
    let quoted = literal.trim_start_matches(['b', 'B', 'r', 'R']);
    !(quoted.starts_with("'''") || quoted.starts_with("\"\"\"")) && quoted.contains(['\n', '\r'])
}

/// What one bracket level holds since its last comma.
#[derive(Default)]
struct Level {
    /// Operators since the last comma, `&&` or `||`, and the depth of brackets closed since.
    chain: usize,
    /// The longest such chain since the last comma.
    longest: usize,
    conditionals: usize,
    connectives: usize,
    /// The deepest of the comma-separated parts already passed.
    deepest: usize,
}

impl Level {
    fn depth(&self) -> usize {
        // Connectives are balanced into a tree of logarithmic depth, `&&` within `||`.
        let balanced = 2 * (usize::BITS - self.connectives.leading_zeros()) as usize;
        self.deepest.max(self.chain.max(self.longest) + self.conditionals + balanced + 1)
    }
}

/// Accounts for a token; false if the expression is too deep.
fn nest(levels: &mut Vec<Level>, kind: TokenKind) -> bool {
    let open = levels.len();
    let Some(level) = levels.last_mut() else { return false };
    match kind {
        TokenKind::TokLeftParen | TokenKind::TokLeftBracket | TokenKind::TokLeftBrace => {
            levels.push(Level::default());
            return open <= MAX_NESTING;
        }
        TokenKind::TokRightParen | TokenKind::TokRightBracket | TokenKind::TokRightBrace => {
            let inner = level.depth();
            if open > 1 {
                levels.pop();
                if let Some(outer) = levels.last_mut() {
                    outer.chain += inner + 1;
                }
            }
        }
        TokenKind::TokComma => {
            let deepest = level.depth();
            *level = Level { deepest, ..Level::default() };
        }
        TokenKind::TokLogicalAnd | TokenKind::TokLogicalOr => {
            level.longest = level.longest.max(level.chain);
            level.chain = 0;
            level.connectives += 1;
        }
        TokenKind::TokQuestion | TokenKind::TokColon => level.conditionals += 1,
        TokenKind::TokDot
        | TokenKind::TokMinus
        | TokenKind::TokPlus
        | TokenKind::TokAsterisk
        | TokenKind::TokSlash
        | TokenKind::TokPercent
        | TokenKind::TokExclamation
        | TokenKind::TokEqualEqual
        | TokenKind::TokExclamationEqual
        | TokenKind::TokLess
        | TokenKind::TokLessEqual
        | TokenKind::TokGreater
        | TokenKind::TokGreaterEqual
        | TokenKind::TokIn => level.chain += 1,
        _ => {}
    }
    levels.last().is_none_or(|level| level.depth() <= MAX_PARSE_DEPTH)
}
