//! Files that nobody else may read, for a moment or to come back to.
//!
//! Made so that nobody can have put something else in their place: never over what is there, and for the owner alone.

use crate::error::Error;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// How often another name is tried.
const MOST_TRIES: usize = 16;

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::Message(format!("cannot write {}: {error}", path.display()))
}

/// Eight letters that nobody can guess.
fn random() -> Result<String, Error> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Message(format!("the operating system gave no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect())
}

/// Makes something under a name that is free.
fn unique<T>(
    name: impl Fn(&str) -> PathBuf,
    make: impl Fn(&Path) -> io::Result<T>,
) -> Result<(PathBuf, T), Error> {
    let mut path = name(&random()?);
    for _ in 0..MOST_TRIES {
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => path = name(&random()?),
            Err(error) => return Err(unwritable(&path, &error)),
        }
    }
    Err(Error::Message(format!("cannot find a free name such as {}", path.display())))
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a folder in `parent` whose name begins with `prefix`.
    pub fn new(parent: &Path, prefix: &str) -> Result<Self, Error> {
        let name = |random: &str| parent.join(format!("{prefix}-{random}"));
        let (path, ()) = unique(name, |path| DirBuilder::new().mode(0o700).create(path))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|error| unwritable(&path, &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is for the system to clean up.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A file that stays unless it is removed: what people have written is never lost.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
}

impl Kept {
    /// Makes a file in `parent`: `prefix-abcdefgh.extension`.
    pub fn new(parent: &Path, prefix: &str, extension: &str, text: &str) -> Result<Self, Error> {
        let name = |random: &str| parent.join(format!("{prefix}-{random}.{extension}"));
        let open = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let (path, mut file) = unique(name, open)?;
        if let Err(error) = file.write_all(text.as_bytes()) {
            // A file with half a text would be taken for somebody's edit.
            let _ = fs::remove_file(&path);
            return Err(unwritable(&path, &error));
        }
        Ok(Self { path })
    }

    /// A file that is there already.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts another text in it. If that fails, for want of room on the disk say, what was in it is still there.
    pub fn write(&self, text: &str) -> Result<(), Error> {
        let extension = self.path.extension().unwrap_or_default().to_string_lossy();
        let draft = self.path.with_extension(format!("{}.{extension}", random()?));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            drop(file);
            fs::rename(&draft, &self.path)
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&draft);
            unwritable(&self.path, &error)
        })
    }

    /// Its text.
    pub fn read(&self) -> Result<String, Error> {
        let shown = self.path.display();
        fs::read_to_string(&self.path)
            .map_err(|error| Error::Message(format!("cannot read {shown}: {error}")))
    }

    /// Takes it away.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_outlasts_a_write_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "edit", "yaml", "one").unwrap();
        kept.write("two").unwrap();
        assert_eq!(kept.read().unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A name so long that there is no room for one beside it stands for a disk without room.
        let path = folder.path().join(format!("{}.yaml", "x".repeat(250)));
        fs::write(&path, "typed for an hour").unwrap();
        let full = Kept::at(path);
        assert!(full.write("three").is_err());
        assert_eq!(full.read().unwrap(), "typed for an hour");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
