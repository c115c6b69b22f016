//! What a server served when it was last asked, on disk: an invocation then needs no request to understand its words.
//!
//! What is kept is taken as it is for [`FRESH`]; after that the server is asked whether it still holds. An invocation
//! that meets a word it does not know asks in any case. A file that is damaged, too large or of another version counts
//! as none, and one that cannot be written is not missed.

use crate::{discovery::Discovery, environment::Environment};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long what is kept is believed.
pub const FRESH: Duration = Duration::from_secs(600);
/// The largest file that is read, in bytes.
const LARGEST: u64 = 8 << 20;
/// The form of the file.
const FORM: u32 = 2;

/// What is kept of one server.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    form: u32,
    /// Seconds since the epoch.
    checked: u64,
    /// The tags of `/api` and `/apis`.
    pub tags: [String; 2],
    /// What it served.
    pub discovery: Discovery,
}

impl Kept {
    /// What a server has just served.
    pub fn now(discovery: Discovery, tags: [String; 2]) -> Self {
        Self { form: FORM, checked: seconds(), tags, discovery }
    }

    /// Whether it is believed without asking.
    pub fn is_fresh(&self) -> bool {
        // A clock that was set back makes nothing fresh.
        seconds().checked_sub(self.checked).is_some_and(|age| age < FRESH.as_secs())
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Where the file of a server lies. A server is its URL and whom it has to be vouched for by (PEM): clusters come and go
/// behind one address.
pub fn place(environment: &Environment, server: &str, authorities: Option<&[u8]>) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (server, authorities).hash(&mut hasher);
    let spelt = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    let host: String = host.chars().take(64).map(spelt).collect();
    let name = format!("{host}-{:016x}.json", hasher.finish());
    Some(environment.cache_dir()?.join("discovery").join(name))
}

/// Reads a file; `None` if there is none of use.
pub fn read(path: &Path) -> Option<Kept> {
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= LARGEST)?;
    let bytes = fs::read(path).ok().filter(|bytes| bytes.len() as u64 <= file.len())?;
    serde_json::from_slice(&bytes).ok().filter(|kept: &Kept| kept.form == FORM)
}

/// Writes a file, whole or not at all.
pub fn write(path: &Path, kept: &Kept) {
    let written = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        drop(file);
        fs::rename(&draft, path).inspect_err(|_| drop(fs::remove_file(&draft)))
    };
    if let Err(error) = written() {
        tracing::debug!(%error, path = %path.display(), "discovery is not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_file_of_its_own() {
        let environment = Environment { home: Some("/h".into()), ..Environment::default() };
        let of = |server: &str, authorities: Option<&[u8]>| place(&environment, server, authorities).unwrap();
        let one = of("https://[::1]:6443", Some(b"a"));
        assert!(one.starts_with("/h/.cache/hypermesh/discovery"));
        assert!(one.file_name().unwrap().to_str().unwrap().starts_with("___1__6443-"));
        assert_ne!(one, of("https://[::1]:6443", Some(b"b")));
        assert_ne!(one, of("https://[::1]:6444", Some(b"a")));
        assert_eq!(place(&Environment::default(), "https://x", None), None);
    }

    #[test]
    fn only_what_is_whole_and_of_use_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        assert!(read(&path).is_none());
        let mut kept = Kept::now(Discovery::default(), ["1".into(), "2".into()]);
        write(&path, &kept);
        let found = read(&path).unwrap();
        assert!(found.is_fresh() && found.tags == kept.tags);
        kept.checked -= FRESH.as_secs();
        assert!(!kept.is_fresh());
        kept.checked += 10 * FRESH.as_secs();
        assert!(!kept.is_fresh());
        kept.form += 1;
        write(&path, &kept);
        assert!(read(&path).is_none());
        fs::write(&path, b"{").unwrap();
        assert!(read(&path).is_none());
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
