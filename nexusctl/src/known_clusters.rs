//! Which cluster was met at which server: what pins the cluster where a kubeconfig does not.
//!
//! A signature names the cluster that it is for, and a server that says another name than its own could have one made
//! for a cluster in which the same key is known. So the first word of a server is kept, and held to: a file of lines
//! `SERVER ID`, as `known_hosts` is one. It lies with the state (`$XDG_STATE_HOME/hypermesh/known-clusters`) and not in
//! a cache, which people empty. Only writes that are signed need it, so nothing here costs a read anything.

use crate::{
    bounded,
    environment::Environment,
    replace::{Hold, replace},
};
use hypermesh_client::{ClusterId, Server};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 4 << 20;
const HEAD: &str = "# Which cluster answers where: kept by nexusctl, which signs for no other. A line goes with\n\
                    # `nexusctl config forget-cluster SERVER`.\n";

/// Why what is known cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}; it is as it was", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {message}; take the line out, and the server is met anew", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From one.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Another cluster answers than before.
    #[error("{}: {}", path.display(), changed(server, found, expected))]
    Changed {
        /// The server.
        server: String,
        /// The cluster it says it is of.
        found: ClusterId,
        /// The cluster that was met there before.
        expected: ClusterId,
        /// The file that says so.
        path: PathBuf,
    },
}

fn changed(server: &str, found: &ClusterId, expected: &ClusterId) -> String {
    format!(
        "{server} is of cluster {found}, and was of {expected} when it was met: nothing was done. Either the cluster was \
         made anew, or another answers in its place; if you know that it was made anew: \
         nexusctl config forget-cluster {server}"
    )
}

impl From<Error> for hypermesh_client::Error {
    fn from(error: Error) -> Self {
        let origin = match &error {
            Error::Changed { path, .. } => path.display().to_string(),
            _ => "the cluster of this server".to_owned(),
        };
        let message = match &error {
            Error::Changed { server, found, expected, .. } => changed(server, found, expected),
            other => crate::error::chain(other),
        };
        Self::Setup { origin, message }
    }
}

/// Whether a server's word was news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was known to be of this cluster.
    Again,
    /// It was not known; now it is.
    First,
}

/// The file.
#[derive(Clone, Debug)]
pub struct KnownClusters {
    path: PathBuf,
}

impl KnownClusters {
    /// That of the caller; `None` without a home.
    pub fn of(environment: &Environment) -> Option<Self> {
        Some(Self { path: environment.state_dir()?.join("known-clusters") })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster that was met at a server.
    pub fn find(&self, server: &Server) -> Result<Option<ClusterId>, Error> {
        let name = name(server);
        Ok(self.all()?.into_iter().find(|(known, _)| *known == name).map(|(_, id)| id))
    }

    /// All that is known, in the order in which it was learnt.
    pub fn all(&self) -> Result<Vec<(String, ClusterId)>, Error> {
        let unreadable = |source| Error::Unreadable { path: self.path.clone(), source };
        let text = match bounded::text_of_file(&self.path, LARGEST) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(unreadable(error)),
        };
        let mut found = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |message: String| Error::Line { path: self.path.clone(), line: index + 1, message };
            let mut words = line.split_whitespace();
            let (Some(server), Some(id), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong("a line is a server and the id of a cluster".to_owned()));
            };
            let id = id.parse().map_err(|why| wrong(format!("{why}")))?;
            found.push((server.to_owned(), id));
        }
        Ok(found)
    }

    /// Takes a server's word, if it is the first; holds the server to it, if it is not.
    pub fn meet(&self, server: &Server, id: &ClusterId) -> Result<Met, Error> {
        let unwritable = |source| Error::Unwritable { path: self.path.clone(), source };
        let known = match self.find(server)? {
            Some(known) => Some(known),
            None => {
                // Somebody else may have met it since.
                let _hold = Hold::take(&self.path).map_err(unwritable)?;
                let mut all = self.all()?;
                let name = name(server);
                let known = all.iter().find(|(known, _)| *known == name).map(|(_, id)| *id);
                if known.is_none() {
                    all.push((name, *id));
                    replace(&self.path, text(&all).as_bytes()).map_err(unwritable)?;
                }
                known
            }
        };
        match known {
            None => Ok(Met::First),
            Some(known) if known == *id => Ok(Met::Again),
            Some(expected) => {
                let (server, path) = (server.url().to_owned(), self.path.clone());
                Err(Error::Changed { server, found: *id, expected, path })
            }
        }
    }

    /// Forgets a server; the cluster that it was of, if it was known.
    pub fn forget(&self, server: &Server) -> Result<Option<ClusterId>, Error> {
        let unwritable = |source| Error::Unwritable { path: self.path.clone(), source };
        if !self.path.exists() {
            return Ok(None);
        }
        let _hold = Hold::take(&self.path).map_err(unwritable)?;
        let name = name(server);
        let (gone, kept): (Vec<_>, Vec<_>) = self.all()?.into_iter().partition(|(known, _)| *known == name);
        let Some((_, id)) = gone.into_iter().next() else { return Ok(None) };
        replace(&self.path, text(&kept).as_bytes()).map_err(unwritable)?;
        Ok(Some(id))
    }
}

fn text(all: &[(String, ClusterId)]) -> String {
    all.iter().fold(HEAD.to_owned(), |text, (server, id)| format!("{text}{server} {id}\n"))
}

/// A server in one spelling: `https://host:port/prefix`.
fn name(server: &Server) -> String {
    let host = server.host().to_lowercase();
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let scheme = if server.tls() { "https" } else { "http" };
    format!("{scheme}://{host}:{}{}", server.port(), server.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn id(letter: &str) -> ClusterId {
        letter.repeat(64).parse().unwrap()
    }

    fn server(text: &str) -> Server {
        Server::parse(text).unwrap()
    }

    fn known(folder: &Path) -> KnownClusters {
        let environment = Environment { xdg_state_home: Some(folder.to_owned()), ..Environment::default() };
        KnownClusters::of(&environment).unwrap()
    }

    #[test]
    fn the_first_word_is_held_to() {
        let folder = tempfile::tempdir().unwrap();
        let known = known(folder.path());
        let a = server("https://A.example");
        assert_eq!(known.find(&a).unwrap(), None);
        assert_eq!(known.forget(&a).unwrap(), None);
        assert_eq!(known.meet(&a, &id("a")).unwrap(), Met::First);
        assert_eq!(known.meet(&server("https://a.example:443/"), &id("a")).unwrap(), Met::Again);
        assert_eq!(known.meet(&server("https://a.example:6443"), &id("b")).unwrap(), Met::First);
        let error = known.meet(&a, &id("c")).unwrap_err().to_string();
        let shown = error.replace(&folder.path().display().to_string(), "STATE");
        insta::assert_snapshot!(shown, @"STATE/hypermesh/known-clusters: https://A.example is of cluster cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, and was of aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa when it was met: nothing was done. Either the cluster was made anew, or another answers in its place; if you know that it was made anew: nexusctl config forget-cluster https://A.example");
        assert_eq!(known.forget(&a).unwrap(), Some(id("a")));
        assert_eq!(known.meet(&a, &id("c")).unwrap(), Met::First);
        assert_eq!(known.all().unwrap().len(), 2);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(known.path()), mode(known.path().parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_broken_line_is_told_and_nothing_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let known = known(folder.path());
        let a = server("https://a");
        known.meet(&a, &id("a")).unwrap();
        let text = fs::read_to_string(known.path()).unwrap();
        for wrong in ["https://b", "https://b x", "https://b aa bb"] {
            fs::write(known.path(), format!("{text}{wrong}\n")).unwrap();
            let error = known.find(&a).unwrap_err().to_string();
            assert!(error.contains("known-clusters:4: ") && error.contains("take the line out"), "{error}");
            assert!(known.meet(&server("https://c"), &id("c")).is_err());
        }
        fs::write(known.path(), b"\xff\n").unwrap();
        assert!(known.find(&a).is_err());
        // A device has no size and no end.
        fs::remove_file(known.path()).unwrap();
        std::os::unix::fs::symlink("/dev/zero", known.path()).unwrap();
        assert!(known.find(&a).is_err());
    }

    #[test]
    fn many_processes_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let known = known(folder.path());
        std::thread::scope(|scope| {
            for port in 1..=16 {
                let known = &known;
                scope.spawn(move || {
                    known.meet(&server(&format!("https://a:{port}")), &id("a")).unwrap();
                });
            }
        });
        assert_eq!(known.all().unwrap().len(), 16);
        // Of two that hear different words of one server, one is refused.
        let words: Vec<_> = std::thread::scope(|scope| {
            let meet = |letter: &'static str| {
                let known = &known;
                scope.spawn(move || known.meet(&server("https://b"), &id(letter)).is_ok())
            };
            [meet("a"), meet("b")].map(|thread| thread.join().unwrap()).to_vec()
        });
        assert_eq!(words.iter().filter(|well| **well).count(), 1);
    }
}
