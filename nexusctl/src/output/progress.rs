//! A line on standard error about what is under way, for who looks at a terminal and has waited for a second.

use crate::output::{aligned::cut, escape};
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// What is over sooner is not spoken of.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures.
pub const TICK: Duration = Duration::from_millis(120);

const WHEEL: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// What is under way, and what of it is on the screen.
#[derive(Debug, Default)]
pub struct Progress {
    since: Option<Instant>,
    label: Option<String>,
    drawn: bool,
    turn: usize,
}

impl Progress {
    /// Begins something, unless something has begun.
    pub fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Names what is under way; `None` ends it.
    pub fn name(&mut self, label: Option<String>) {
        if label.is_none() {
            self.since = None;
        }
        self.label = label;
    }

    /// Whether it goes on beyond one request.
    pub fn is_named(&self) -> bool {
        self.label.is_some()
    }

    /// When the next picture is due.
    pub fn due(&self, now: Instant) -> Instant {
        match self.since {
            Some(_) if self.drawn => now + TICK,
            Some(since) => (since + PATIENCE).max(now),
            None => now + PATIENCE,
        }
    }

    /// Draws a picture, if it is time; `width` is the terminal's.
    pub fn draw(&mut self, now: Instant, otherwise: &str, width: usize, err: &mut dyn Write) {
        let Some(since) = self.since else { return };
        let passed = now.saturating_duration_since(since);
        if passed < PATIENCE {
            return;
        }
        self.turn = (self.turn + 1) % WHEEL.len();
        let label = escape(self.label.as_deref().unwrap_or(otherwise)).replace('\n', " ");
        let text = format!("{} {label} ({} s)", WHEEL.get(self.turn).unwrap_or(&'·'), passed.as_secs());
        let _ = write!(err, "\r{}\u{1b}[K", cut(&text, width.saturating_sub(1)));
        let _ = err.flush();
        self.drawn = true;
    }

    /// Takes the picture away.
    pub fn clear(&mut self, err: &mut dyn Write) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(err, "\r\u{1b}[K");
            let _ = err.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_shown() {
        let (mut progress, mut screen) = (Progress::default(), Vec::new());
        let start = Instant::now();
        progress.begin(start);
        progress.draw(start + Duration::from_millis(900), "waiting", 40, &mut screen);
        assert!(screen.is_empty());
        assert_eq!(progress.due(start), start + PATIENCE);
        progress.draw(start + Duration::from_secs(3), "waiting for \u{1b}[31mserver", 40, &mut screen);
        progress.name(Some("a label that is longer than the screen is wide".into()));
        progress.draw(start + Duration::from_secs(4), "", 20, &mut screen);
        progress.clear(&mut screen);
        progress.clear(&mut screen);
        let text = String::from_utf8(screen).unwrap().replace('\u{1b}', "^");
        insta::assert_snapshot!(text.replace('\r', "<CR>"), @r"<CR>⠙ waiting for \u{1b}[31mserver (3 s)^[K<CR>⠹ a label that is …^[K<CR>^[K");
        progress.name(None);
        assert!(!progress.is_named());
    }
}
