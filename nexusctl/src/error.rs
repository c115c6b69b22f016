//! What a verb may end with.

use crate::{client, discovery, known_clusters, kubeconfig, manifest::Diagnostic};
use std::{error::Error as StdError, io};

/// How a verb ended: the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Success,
    /// 1: something failed and has been told, or, of `diff`, something differs.
    Failure,
    /// 2: `diff` could not tell.
    Trouble,
    /// That of a command which ran elsewhere.
    Command(u8),
    /// 130: somebody stopped it, as a shell reports of a program that SIGINT ended.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Trouble => 2,
            Self::Command(code) => code,
            Self::Interrupted => 130,
        }
    }
}

/// Why a verb could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server or identity.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    /// Which cluster was met where cannot be read or changed.
    #[error(transparent)]
    KnownClusters(#[from] known_clusters::Error),
    /// A call did not succeed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// A word that names no kind.
    #[error(transparent)]
    Unknown(#[from] discovery::Unknown),
    /// A kind has no such part.
    #[error(transparent)]
    NoPart(#[from] discovery::NoPart),
    /// Manifests are wrong.
    #[error("the manifests are wrong")]
    Manifests(Vec<Diagnostic>),
    /// A template or path on the command line is wrong.
    #[error("{}", .0.title)]
    Template(Box<Diagnostic>),
    /// Manifests are wrong, and nothing was to be sent anyway.
    #[error("the manifests are wrong")]
    Faults(Vec<Diagnostic>),
    /// There is no object in what was named.
    #[error("{0}")]
    NoObjects(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Message(String),
    /// Standard output is closed or full.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl From<Box<Diagnostic>> for Error {
    fn from(fault: Box<Diagnostic>) -> Self {
        Self::Template(fault)
    }
}

impl Error {
    /// Whether nobody reads standard output any more, which is no failure of ours.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The text for standard error, without a line break at its end.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Faults(faults) => faults.iter().map(|f| f.render(color)).collect::<Vec<_>>().join("\n\n"),
            Self::Manifests(faults) => {
                let mut parts: Vec<String> = faults.iter().map(|f| f.render(color)).collect();
                parts.push("nothing was sent".to_owned());
                parts.join("\n\n")
            }
            Self::Template(fault) => fault.render(color),
            // The words of the server, as kubectl's users know them.
            Self::Client(client::Error::Refused { .. }) => self.to_string(),
            other => format!("error: {}", chain(other)),
        }
    }
}

/// An error and all its causes, fit for a terminal: some of the words are a server's or a file's.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    crate::output::escape(&text)
}
