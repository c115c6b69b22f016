//! What people see while a plugin takes its time.
//!
//! A plugin shares standard error with this program. Where it cannot ask anything, a terminal shows how long it has been at
//! work; where it can, there is one line, and none while it reads what somebody types.

use crate::{
    kubeconfig::Plugin,
    output::progress::{PATIENCE, Progress, TICK},
};
use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

/// When people are told what they wait for, where no terminal shows it.
const SILENCE: Duration = Duration::from_secs(5);
/// read(2), as `/proc/PID/syscall` numbers it.
#[cfg(target_arch = "x86_64")]
const READ: &str = "0";
#[cfg(not(target_arch = "x86_64"))]
const READ: &str = "63";

/// Somebody who waits for a plugin.
pub(super) struct Waiting<'a> {
    plugin: &'a Plugin,
    /// The longest wait.
    most: Duration,
    /// Whether the plugin may ask something.
    interactive: bool,
    /// How wide the terminal is, if there is one.
    screen: Option<usize>,
    err: &'a mut dyn Write,
    begun: Instant,
    progress: Progress,
    drawn: Option<Instant>,
    told: bool,
}

impl<'a> Waiting<'a> {
    /// Begins to wait.
    pub(super) fn new(
        plugin: &'a Plugin,
        most: Duration,
        interactive: bool,
        screen: Option<usize>,
        err: &'a mut dyn Write,
    ) -> Self {
        let begun = Instant::now();
        let mut progress = Progress::default();
        progress.begin(begun);
        Self { plugin, most, interactive, screen, err, begun, progress, drawn: None, told: false }
    }

    /// Called again and again while the plugin, the process `child`, runs.
    pub(super) fn look(&mut self, now: Instant, child: u32) {
        let passed = now.saturating_duration_since(self.begun);
        match self.screen {
            Some(width) if !self.interactive => {
                let due = self.drawn.is_none_or(|drawn| now.saturating_duration_since(drawn) >= TICK);
                if due && passed >= PATIENCE {
                    let label =
                        format!("waiting for {} to hand out credentials", self.plugin.command.display());
                    self.progress.draw(now, &label, width, self.err);
                    self.drawn = Some(now);
                }
            }
            _ => {
                let silence = if self.screen.is_some() { PATIENCE } else { SILENCE };
                if !self.told && passed >= silence && !(self.interactive && is_asking(child)) {
                    self.told = true;
                    // Where nobody listens, nobody is told.
                    let _ = writeln!(self.err, "{}", self.words());
                }
            }
        }
    }

    /// The plugin has ended, or is given up.
    pub(super) fn end(&mut self) {
        self.progress.clear(self.err);
    }

    fn words(&self) -> String {
        format!(
            "Waiting for {} to hand out credentials, for {} s at most ({})",
            self.plugin.command.display(),
            self.most.as_secs(),
            self.plugin.place
        )
    }
}

/// Whether a process waits for what somebody types.
fn is_asking(child: u32) -> bool {
    let Ok(call) = fs::read_to_string(format!("/proc/{child}/syscall")) else { return false };
    let mut words = call.split_whitespace();
    let descriptor = (words.next() == Some(READ)).then(|| words.next()).flatten();
    let descriptor = descriptor.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let Some(descriptor) = descriptor else { return false };
    let read = fs::read_link(format!("/proc/{child}/fd/{descriptor}"));
    read.is_ok_and(|path| path.starts_with("/dev/pts") || path.starts_with("/dev/tty"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::tests::plugin;

    fn seen(interactive: bool, screen: Option<usize>, milliseconds: &[u64]) -> String {
        let (plugin, mut err) = (plugin("true"), Vec::new());
        let mut waiting = Waiting::new(&plugin, Duration::from_secs(60), interactive, screen, &mut err);
        for passed in milliseconds {
            // No process has this id.
            waiting.look(waiting.begun + Duration::from_millis(*passed), u32::MAX);
        }
        waiting.end();
        String::from_utf8(err).unwrap().replace('\u{1b}', "^").replace('\r', "<CR>")
    }

    #[test]
    fn who_waits_longer_than_a_second_sees_for_what() {
        assert_eq!(seen(false, Some(80), &[10, 900]), "");
        assert_eq!(
            seen(false, Some(80), &[900, 1000, 1050, 1120, 3000]),
            "<CR>⠙ waiting for sh to hand out credentials (1 s)^[K<CR>⠹ waiting for sh to hand out credentials (1 s)^[K\
             <CR>⠸ waiting for sh to hand out credentials (3 s)^[K<CR>^[K"
        );
        let line =
            "Waiting for sh to hand out credentials, for 60 s at most (/k:3:5: users[0].user.exec.command)\n";
        assert_eq!(seen(true, Some(80), &[900, 1000, 7000]), line);
        assert_eq!(seen(false, None, &[1000, 4900]), "");
        assert_eq!(seen(false, None, &[5000, 5100, 60_000]), line);
    }

    #[test]
    fn what_reads_no_terminal_asks_nothing() {
        assert!(!is_asking(std::process::id()));
        assert!(!is_asking(u32::MAX));
    }
}
