//! The caller's editor.

use crate::{environment::Environment, shell};
use std::{
    path::Path,
    process::{Command, ExitStatus},
};
use tokio::signal::unix::{SignalKind, signal};

/// What is run where the environment names no editor.
const USUAL: &str = "vi";

/// An editor, as a line of shell.
pub(super) struct Editor {
    line: String,
}

impl Editor {
    /// The one that the environment names.
    pub(super) fn of(environment: &Environment) -> Self {
        let named = environment.editor.as_ref().and_then(|editor| editor.to_str());
        Self { line: named.unwrap_or(USUAL).to_owned() }
    }

    /// Opens a file and waits for the editor to end. An interruption is the editor's to handle, as it has the terminal;
    /// it must not end this program, which has the edit to keep.
    pub(super) async fn open(&self, path: &Path) -> Result<(), String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        let mut interrupts = listen(SignalKind::interrupt())?;
        let (mut hangups, mut ends) = (listen(SignalKind::hangup())?, listen(SignalKind::terminate())?);
        let script = format!("{} {}", self.line, shell::quote(&path.display().to_string()));
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .spawn()
            .map_err(|error| format!("cannot run the editor `{}`: {error}", self.line))?;
        let mut running = tokio::task::spawn_blocking(move || child.wait());
        loop {
            tokio::select! {
                ended = &mut running => return match ended {
                    Ok(Ok(status)) => self.judge(status),
                    Ok(Err(error)) => Err(format!("cannot wait for the editor: {error}")),
                    Err(error) => Err(format!("cannot wait for the editor: {error}")),
                },
                _ = interrupts.recv() => {}
                _ = hangups.recv() => return Err("the terminal went away".to_owned()),
                _ = ends.recv() => return Err("ended by a signal".to_owned()),
            }
        }
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        match status.code() {
            Some(0) => Ok(()),
            Some(127) => {
                Err(format!("there is no editor `{}`: name one in KUBE_EDITOR, VISUAL or EDITOR", self.line))
            }
            Some(code) => Err(format!("the editor `{}` ended with {code}, so nothing was sent", self.line)),
            None => Err(format!("the editor `{}` was killed, so nothing was sent", self.line)),
        }
    }
}
