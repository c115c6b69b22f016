//! What can be wrong with a kubeconfig.

use std::{fmt, io, path::PathBuf};

/// A place in a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from one.
    pub line: usize,
    /// Column, from one.
    pub column: usize,
    /// The field: `clusters[0].cluster.server`.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.field)
    }
}

/// Why no server and identity could be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file, and no server on the command line.
    #[error(
        "no cluster is known: start one with `nexusctl up`, or name one with --kubeconfig, KUBECONFIG or --server\n{}",
        looked_at.iter().map(|p| format!("  looked at {}", p.display())).collect::<Vec<_>>().join("\n")
    )]
    NoConfiguration {
        /// The files that do not exist.
        looked_at: Vec<PathBuf>,
    },
    /// A file cannot be read.
    #[error("cannot read the kubeconfig {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write the kubeconfig {}; it is as it was", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another program changes the file, or died while it did.
    #[error(
        "{} is being changed by another program: try again, or remove {} if none runs",
        path.display(),
        lock.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// Its lock.
        lock: PathBuf,
    },
    /// A name that is taken.
    #[error("there is a {what} {name:?} already: choose another name, or delete that one first")]
    Exists {
        /// `context`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file that a server writes anew.
    #[error(
        "{} belongs to `nexusctl up`, which writes it anew: the change would be lost. Copy it (nexusctl config view --raw > \
         my.kubeconfig), name the copy in KUBECONFIG, and change that",
        path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A file is not YAML.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from one.
        line: usize,
        /// Column, from one.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A field is wrong.
    #[error("{place}: {message}")]
    Field {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A flag is wrong.
    #[error("{flag}: {message}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A name that no file defines.
    #[error("{}", unknown(what, name, known, by.as_deref()))]
    Unknown {
        /// `context`, `cluster`, `user`.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that there are.
        known: Vec<String>,
        /// Who named it, where that was not a flag.
        by: Option<String>,
    },
    /// Files, but none chooses a context.
    #[error("{}", no_context(known, files))]
    NoContext {
        /// Contexts that there are.
        known: Vec<String>,
        /// The files.
        files: Vec<PathBuf>,
    },
}

fn no_context(known: &[String], files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let files = if files.is_empty() { "the kubeconfig".to_owned() } else { files.join(", ") };
    if known.is_empty() {
        return format!(
            "{files}: contexts: there is none, and no --server is given: is this a whole kubeconfig?"
        );
    }
    format!(
        "{files}: current-context: is missing: choose one with --context, or `nexusctl config use-context` ({})",
        known.join(", ")
    )
}

fn unknown(what: &str, name: &str, known: &[String], by: Option<&str>) -> String {
    let by = by.map(|by| format!("{by}: ")).unwrap_or_default();
    let mut text = format!("{by}there is no {what} {name:?}");
    if let Some(near) = crate::suggest::nearest(name, known.iter().map(String::as_str)) {
        text.push_str(&format!("; did you mean {near:?}?"));
    } else if known.is_empty() {
        text.push_str(&format!(": the kubeconfig defines no {what}"));
    } else {
        text.push_str(&format!("; there are {}", known.join(", ")));
    }
    text
}
