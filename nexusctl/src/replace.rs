//! Files that are replaced whole: a reader sees the old one or the new one, and a crash leaves one of the two.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long somebody else's lock is waited for.
const LOCKED: Duration = Duration::from_secs(3);
/// How often the lock is tried.
const AGAIN: Duration = Duration::from_millis(20);

/// Replaces a file, and keeps its permissions; a new one is its owner's alone. A link stays one: what it leads to is
/// replaced.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o777);
    let draft = beside(&path, &format!("{}.new", std::process::id()));
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(folder)?.sync_all()
    };
    written().inspect_err(|_| drop(fs::remove_file(&draft)))
}

/// Holds a file that several processes change, until it is dropped. Those that only read need not hold it.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "closing it lets go of the lock")] fs::File);

impl Hold {
    /// Waits for whoever holds it, but not for long. The lock is a file of its own (`x.lock` for `x`), which stays: the
    /// file itself is replaced, and a lock of it with it.
    pub fn take(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder_of(path))?;
        let lock = beside(path, "lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if begun.elapsed() >= LOCKED => {
                    let words = format!("another program holds {}", lock.display());
                    return Err(io::Error::new(ErrorKind::TimedOut, words));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(AGAIN),
            }
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("deep/file"), folder.path().join("link"));
        replace(&file, b"one").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
        // What cannot be written leaves what there is, and nothing beside it.
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(replace(&folder.path().join("taken"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn one_holds_a_file_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let held = Hold::take(&file).unwrap();
        let waits = std::thread::spawn({
            let file = file.clone();
            move || Hold::take(&file).is_ok()
        });
        drop(held);
        assert!(waits.join().unwrap());
    }
}
