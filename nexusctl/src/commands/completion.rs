//! `completion`: scripts that let a shell complete command lines, and the hidden verb that they ask.
//!
//! The hidden verb answers from the command line's own definition, from the cluster and from the kubeconfig; it is
//! silent when it cannot, and never takes longer than [`PATIENCE`].

mod line;
mod live;
mod remote;

use crate::{
    cli::Cli,
    error::{Error, Exit},
    session::Session,
};
use clap::{Args, CommandFactory as _, FromArgMatches as _, ValueEnum};
use line::{Candidate, Wanted, understand};
use std::time::Duration;

/// The longest that a completion may take: who presses a key waits.
const PATIENCE: Duration = Duration::from_millis(800);

/// Arguments of `completion`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # In ~/.bashrc: source <(nexusctl completion bash)
  nexusctl completion bash
  # In ~/.zshrc: source <(nexusctl completion zsh)
  nexusctl completion zsh
  # In ~/.config/fish/config.fish: nexusctl completion fish | source
  nexusctl completion fish")]
pub struct Arguments {
    /// The shell
    pub shell: Shell,
}

/// A shell that can be helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Arguments of the hidden verb.
#[derive(Args, Debug)]
pub struct Asked {
    /// The words so far, the last one perhaps empty or unfinished
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Runs `completion`.
pub fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
    session.print(match arguments.shell {
        Shell::Bash => include_str!("completion/nexusctl.bash"),
        Shell::Zsh => include_str!("completion/nexusctl.zsh"),
        Shell::Fish => include_str!("completion/nexusctl.fish"),
    })?;
    Ok(Exit::Success)
}

/// Runs the hidden verb: a candidate a line, a tab before its description, and at the end a word that starts with a
/// colon where the shell has to do something by itself.
pub async fn complete(asked: Asked, session: &mut Session) -> Result<Exit, Error> {
    let mut command = Cli::command();
    command.build();
    let wanted = understand(&command, &asked.words);
    follow_flags(&asked.words, session);
    let last = asked.words.last().map(String::as_str).unwrap_or_default();
    let found = tokio::time::timeout(PATIENCE, live::candidates(&wanted, last, session)).await;
    let mut candidates: Vec<Candidate> = found.ok().and_then(Result::ok).unwrap_or_default();
    // Revisions come newest first, and what is offered by the shells stays as it is here.
    if !matches!(wanted, Wanted::Revisions(..) | Wanted::Templates(..)) {
        candidates.sort_by(|a, b| a.value.cmp(&b.value));
    }
    let mut text = String::new();
    for candidate in candidates.iter().filter(|candidate| candidate.value.starts_with(last)) {
        text.push_str(&crate::output::escape(&candidate.value).replace(['\n', '\t'], " "));
        if !candidate.help.is_empty() {
            text.push('\t');
            text.push_str(&crate::output::escape(&candidate.help).replace(['\n', '\t'], " "));
        }
        text.push('\n');
    }
    match wanted {
        Wanted::Files | Wanted::CopyEnd => text.push_str(":files\n"),
        // What ends so goes on.
        _ if candidates
            .iter()
            .any(|c| c.value.starts_with(last) && c.value.ends_with(['/', '=', '.', ':'])) =>
        {
            text.push_str(":nospace\n");
        }
        _ => {}
    }
    session.print(&text)?;
    Ok(Exit::Success)
}

/// Names are those of the cluster that the line is about.
fn follow_flags(words: &[String], session: &mut Session) {
    let line = std::iter::once("nexusctl".to_owned())
        .chain(words.iter().take(words.len().saturating_sub(1)).cloned());
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(line);
    if let Ok(options) = matches.and_then(|matches| crate::cli::GlobalOptions::from_arg_matches(&matches)) {
        session.options = options;
    }
    session.options.request_timeout = Some(PATIENCE);
}
