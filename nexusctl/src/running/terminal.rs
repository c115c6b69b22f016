//! The terminal of this process: what is typed goes to the instance as it is typed, and comes back as it was after.

use hypermesh_stream::Resize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;

/// The terminal behind standard input, raw (termios(3)): no echo, no lines, no signals. Dropped, it is as it was.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes it raw. None: standard input is no terminal.
    pub fn enter() -> io::Result<Option<Self>> {
        let input = io::stdin();
        if !isatty(&input) {
            return Ok(None);
        }
        let before = tcgetattr(&input)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&input, OptionalActions::Flush, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// How large the terminal is; none where there is none, or where it does not say.
pub fn size() -> Option<Resize> {
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Resize { width: size.ws_col, height: size.ws_row })
}
