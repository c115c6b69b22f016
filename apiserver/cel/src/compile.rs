//! From source to program: bound the source, parse it, and lower the parser's tree to ours.
//!
//! The order matters. [`scan`] reads the tokens once, without recursion, and refuses what would make
//! the parser recurse too deep; only then does the parser run; [`lower`] resolves every name and
//! expands what macros remain. What comes out refers to variables by position, to functions by
//! pointer, and holds every literal regular expression compiled.

pub(crate) mod check;
mod functions;
mod lower;
mod macros;
pub(crate) mod node;
pub(crate) mod scan;

use cel::parser::pratt_parser::PrattParser;

use crate::error::{CompileError, CompileErrorKind};
use node::Node;
use scan::Tokens;

/// Bytes a source may have.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// Brackets of any sort that may be open at once.
pub const MAX_NESTING: usize = 48;

/// Levels the lowered expression may have: what evaluation recurses over.
pub const MAX_DEPTH: usize = 160;

/// Levels the parser's tree may have by the estimate made before parsing. Looser than [`MAX_DEPTH`],
/// since the estimate errs upwards.
const MAX_PARSE_DEPTH: usize = 400;

/// An expression ready to run, and which variables it uses.
pub(crate) struct Compiled {
    pub(crate) root: Node,
    pub(crate) referenced: Vec<bool>,
}

pub(crate) fn compile(source: &str, variables: &[&str]) -> Result<Compiled, CompileError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!("expression of {} bytes exceeds the limit of {MAX_SOURCE_BYTES}", source.len());
        return Err(CompileError { kind: CompileErrorKind::TooLong, line: 1, column: 1, message });
    }
    let tokens = Tokens::scan(source)?;
    let parsed = PrattParser::new()
        .enable_optional_syntax(true)
        .enable_ident_escape_syntax(true)
        .max_recursion_depth(u16::try_from(MAX_PARSE_DEPTH).unwrap_or(u16::MAX))
        .error_recovery_limit(1)
        .parse(source);
    match parsed {
        Ok(expression) => lower::lower(expression, tokens, variables),
        Err(errors) => Err(syntax_error(source, errors.errors.first())),
    }
}

fn syntax_error(source: &str, error: Option<&cel::ParseError>) -> CompileError {
    let (line, column, message) = match error {
        Some(error) => {
            let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
            let bytes = usize::try_from(error.pos.1 - 1).unwrap_or(0);
            let text = source.split_inclusive('\n').nth(line - 1).unwrap_or_default();
            let column = text.char_indices().take_while(|(at, _)| *at < bytes).count() + 1;
            (line, column, error.msg.clone())
        }
        None => (1, 1, "Syntax error: malformed expression".to_owned()),
    };
    CompileError { kind: CompileErrorKind::Syntax, line, column, message }
}
