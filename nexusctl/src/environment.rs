//! What the process was started with: the variables and standard streams that verbs look at, as values.
//!
//! Verbs never read the environment themselves, so tests hand them another.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Read, Write},
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

/// The variables and facts of the process that verbs depend on.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KUBECONFIG`
    pub kubeconfig: Option<OsString>,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`
    pub xdg_data_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`
    pub xdg_cache_home: Option<PathBuf>,
    /// `NEXUSCTL_TRANSPORT`
    pub transport: Option<OsString>,
    /// `SSL_CERT_FILE`
    pub ssl_cert_file: Option<PathBuf>,
    /// `KUBE_EDITOR`, else `VISUAL`, else `EDITOR`
    pub editor: Option<OsString>,
    /// `KUBECTL_EXTERNAL_DIFF`
    pub external_diff: Option<OsString>,
    /// `KUBECTL_APPLYSET`
    pub applyset: Option<OsString>,
    /// `TMPDIR`
    pub tmpdir: Option<PathBuf>,
    /// Whether the process runs as root.
    pub root: bool,
    /// Whether standard input is a terminal, so that somebody can be asked.
    pub terminal: bool,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let text = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        Self {
            kubeconfig: text("KUBECONFIG"),
            home: path("HOME"),
            xdg_data_home: path("XDG_DATA_HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            transport: std::env::var_os("NEXUSCTL_TRANSPORT").filter(|v| !v.is_empty()),
            ssl_cert_file: path("SSL_CERT_FILE"),
            editor: text("KUBE_EDITOR").or_else(|| text("VISUAL")).or_else(|| text("EDITOR")),
            external_diff: text("KUBECTL_EXTERNAL_DIFF"),
            applyset: text("KUBECTL_APPLYSET"),
            tmpdir: path("TMPDIR"),
            root: nix::unistd::Uid::effective().is_root(),
            terminal: io::stdin().is_terminal(),
        }
    }

    /// Where a cluster started by `nexusctl up` keeps its data unless told otherwise: `/var/lib/hypermesh` for root,
    /// else `$XDG_DATA_HOME/hypermesh` or `~/.local/share/hypermesh`. None without a home.
    pub fn data_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some(PathBuf::from("/var/lib/hypermesh"));
        }
        let data = self.xdg_data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))?;
        Some(data.join("hypermesh"))
    }

    /// Where files lie that are needed for a moment, and those that people may come back for.
    pub fn temporary_dir(&self) -> PathBuf {
        self.tmpdir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Where what this program has learnt is kept, and nobody could fetch again. None without a home.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let state = self.xdg_state_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")))?;
        Some(state.join("hypermesh"))
    }

    /// Where what can be fetched again is kept. None without a home.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let cache = self.xdg_cache_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
        Some(cache.join("hypermesh"))
    }
}

/// No text is folded to fewer columns than these.
const NARROWEST: usize = 20;

/// Standard input, output and error, and whether each of the latter takes colours.
pub struct Streams {
    /// Standard input.
    pub input: Box<dyn Read>,
    /// Standard output.
    pub out: Box<dyn Write>,
    /// Standard error.
    pub err: Box<dyn Write>,
    /// Whether `out` shows colours.
    pub out_color: bool,
    /// Whether `err` shows colours.
    pub err_color: bool,
    /// How wide the terminal behind `out` is; `None` where there is none.
    pub out_width: Option<usize>,
    /// How wide the terminal behind `err` is; `None` where there is none.
    pub err_width: Option<usize>,
    /// The descriptor behind `out`, by which a reader that has gone away is noticed before there is more to write.
    pub reader: Option<OwnedFd>,
}

impl Streams {
    /// Those of this process. Colours follow `NO_COLOR`, `CLICOLOR_FORCE` and whether there is a terminal.
    pub fn of_process() -> Self {
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0");
        let never = anstream::ColorChoice::Never;
        let out_color =
            anstream::AutoStream::choice(&io::stdout()) != never && (io::stdout().is_terminal() || forced);
        let err_color =
            anstream::AutoStream::choice(&io::stderr()) != never && (io::stderr().is_terminal() || forced);
        Self {
            input: Box::new(io::stdin()),
            out: Box::new(io::BufWriter::with_capacity(1 << 16, io::stdout())),
            err: Box::new(io::stderr()),
            out_color,
            err_color,
            out_width: width(&io::stdout()),
            err_width: width(&io::stderr()),
            reader: io::stdout().as_fd().try_clone_to_owned().ok(),
        }
    }
}

impl Streams {
    /// Whether nobody will ever read what is written to `out`.
    pub fn is_abandoned(&self) -> bool {
        let Some(reader) = &self.reader else { return false };
        let mut polled = [PollFd::new(reader.as_fd(), PollFlags::empty())];
        let well = poll(&mut polled, PollTimeout::ZERO).is_ok();
        well && polled[0].revents().is_some_and(|found| found.contains(PollFlags::POLLERR))
    }

    /// Writes a text for people to `err`, and a line break: folded, where a terminal is narrower.
    pub fn tell(&mut self, text: &str) {
        let folded = self.err_width.map(|width| crate::output::aligned::fold(text, width.max(NARROWEST)));
        let _ = writeln!(self.err, "{}", folded.as_deref().unwrap_or(text));
    }

    /// Follows `--color`.
    pub fn color(&mut self, color: crate::cli::Color) {
        let wanted = match color {
            crate::cli::Color::Auto => return,
            crate::cli::Color::Always => true,
            crate::cli::Color::Never => false,
        };
        (self.out_color, self.err_color) = (wanted, wanted);
    }
}

/// The width of a terminal; `None` if there is none, or if it does not say.
fn width(stream: &impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_noticed_before_anything_is_written() {
        let (read, write) = io::pipe().unwrap();
        let streams = Streams {
            input: Box::new(io::empty()),
            out: Box::new(io::sink()),
            err: Box::new(io::sink()),
            out_color: false,
            err_color: false,
            out_width: None,
            err_width: None,
            reader: Some(write.into()),
        };
        assert!(!streams.is_abandoned());
        drop(read);
        assert!(streams.is_abandoned());
        assert!(!Streams { reader: None, ..streams }.is_abandoned());
    }
}
