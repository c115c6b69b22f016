//! The file that is edited, until the server has taken the edit.
//!
//! It goes only if this program made it. What somebody else made is copied and never written to: its owner may have no
//! other copy, and a partial success would leave half of it.

use crate::{
    bounded,
    environment::Environment,
    error::Error,
    manifest::{node::Node, yaml},
    scratch::Kept,
    shell,
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How the names of these files begin.
const PREFIX: &str = "nexusctl-edit";
/// How many letters follow.
const LETTERS: usize = 8;
/// The largest file that is looked into, in bytes.
const LARGEST: u64 = 4 << 20;
/// How many files are looked into.
const MOST_FILES: usize = 64;

/// The file.
#[derive(Debug)]
pub(super) struct Lasting {
    kept: Kept,
    /// The file of somebody else that it is a copy of.
    original: Option<String>,
}

impl Lasting {
    /// Makes a file.
    pub(super) fn new(environment: &Environment, extension: &str, text: &str) -> Result<Self, Error> {
        let kept = Kept::new(&environment.temporary_dir(), PREFIX, extension, text)?;
        Ok(Self { kept, original: None })
    }

    /// Takes up a file whose text is `text`: itself if this program made it, else a copy.
    pub(super) fn resume(environment: &Environment, path: &Path, text: &str) -> Result<Self, Error> {
        if is_ours(path, &environment.temporary_dir()) {
            return Ok(Self { kept: Kept::at(path.to_owned()), original: None });
        }
        let json = path.extension().is_some_and(|extension| extension == "json");
        let copy = Self::new(environment, if json { "json" } else { "yaml" }, text)?;
        Ok(Self { original: Some(path.display().to_string()), ..copy })
    }

    pub(super) fn path(&self) -> &Path {
        self.kept.path()
    }

    pub(super) fn read(&self) -> Result<String, Error> {
        self.kept.read()
    }

    pub(super) fn write(&self, text: &str) -> Result<(), Error> {
        self.kept.write(text)
    }

    /// Takes it away. Gives what is to be said of the file that it was a copy of.
    pub(super) fn done(self) -> Option<String> {
        self.kept.remove();
        self.original.map(|path| format!("{path} is kept as it was"))
    }

    /// An end before the server has taken the edit: where the file is, and the way back.
    pub(super) fn lost(&self, why: &str, edited: bool) -> Error {
        let path = self.path().display().to_string();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        // Nothing of anybody's was in it before the first round, unless the editor has written; it stays to be sure.
        let stays = if edited { "your edit is kept at" } else { "the file stays at" };
        Error::Message(format!(
            "{why}\n{stays} {path}; to go on: nexusctl edit --resume={}",
            shell::quote(&path)
        ))
    }
}

/// Files of earlier edits of an object with this uid, which came to no end: this program was killed, or still runs
/// elsewhere. Each with how long ago it was last written.
pub(super) fn earlier(environment: &Environment, uid: &str) -> Vec<(PathBuf, Duration)> {
    let folder = environment.temporary_dir();
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = entries.filter(|path| is_ours(path, &folder)).take(MOST_FILES);
    let mut found: Vec<(PathBuf, Duration)> = ours
        .filter_map(|path| {
            // What somebody else has put there is none of ours, whatever its name.
            let metadata = fs::symlink_metadata(&path).ok().filter(|file| file.is_file())?;
            if metadata.uid() != nix::unistd::Uid::effective().as_raw() {
                return None;
            }
            let text = bounded::text(&path, LARGEST).ok()?;
            let age = SystemTime::now().duration_since(metadata.modified().ok()?).unwrap_or_default();
            is_about(&text, uid).then_some((path, age))
        })
        .collect();
    found.sort_by_key(|(_, age)| *age);
    found
}

/// Whether a text is an edit of the object with this uid. An edit need not be sound to be somebody's.
fn is_about(text: &str, uid: &str) -> bool {
    let of = |object: &Value| object.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid);
    match yaml::parse(text) {
        Ok(documents) => documents.iter().map(Node::to_value).any(|object| {
            of(&object)
                || object.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(of))
        }),
        Err(_) => text.lines().any(|line| {
            let said = line.trim().trim_end_matches(',').replace('"', "");
            said.strip_prefix("uid:").is_some_and(|found| found.trim() == uid)
        }),
    }
}

/// Whether a file is one that [`Lasting::new`] made: by its name, in the folder of such files.
fn is_ours(path: &Path, folder: &Path) -> bool {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return false,
    };
    let same = parent.canonicalize().is_ok_and(|parent| folder.canonicalize().is_ok_and(|f| f == parent));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let letters = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".yaml").or_else(|| rest.strip_suffix(".json")));
    same && letters.is_some_and(|l| l.len() == LETTERS && l.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_program_go() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = Environment { tmpdir: Some(folder.path().to_owned()), ..Environment::default() };
        let made = Lasting::new(&environment, "yaml", "a: 1\n").unwrap();
        let path = made.path().to_owned();
        let resumed = Lasting::resume(&environment, &path, "a: 1\n").unwrap();
        assert_eq!(resumed.path(), path);
        assert_eq!(resumed.done(), None);
        assert!(!path.exists());
        for name in ["web.yaml", "nexusctl-edit-mine.yaml", "nexusctl-edit-abcdefgh.txt"] {
            assert!(!is_ours(&folder.path().join(name), folder.path()), "{name}");
        }
        assert!(!is_ours(&other.path().join("nexusctl-edit-abcdefgh.yaml"), folder.path()));
        let theirs = other.path().join("web.yaml");
        fs::write(&theirs, "a: 1\n").unwrap();
        let copy = Lasting::resume(&environment, &theirs, "a: 1\n").unwrap();
        copy.write("half").unwrap();
        let left = copy.path().to_owned();
        assert_eq!(copy.done(), Some(format!("{} is kept as it was", theirs.display())));
        assert!(!left.exists());
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "a: 1\n");
    }
}
