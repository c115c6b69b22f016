//! The data folder: made for its owner alone, and used by one process at a time.

use crate::server::ServerError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a folder is waited for that somebody only asks about.
const MOMENT: Duration = Duration::from_millis(200);

/// A data folder that is this process' own until the value is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and takes it. Nothing in it may be touched before: a second process that fails
    /// must not have changed what the first one serves.
    pub fn take(dir: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Folder { path: dir.to_owned(), source };
        make_durably(dir).map_err(failed)?;
        let path = dir.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < MOMENT => std::thread::sleep(MOMENT / 10),
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    lock.read_to_string(&mut holder).map_err(failed)?;
                    return Err(ServerError::InUse {
                        path: dir.to_owned(),
                        holder: holder.trim().to_owned(),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        lock.set_len(0).map_err(failed)?;
        lock.seek(SeekFrom::Start(0)).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _lock: lock })
    }

    /// The process that has taken the folder, as it names itself; `None` where none has. Who starts in the same moment
    /// waits for the answer.
    pub fn holder(dir: &Path) -> std::io::Result<Option<String>> {
        let mut lock = match File::open(dir.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder)?;
                Ok(Some(holder.trim().to_owned()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes a folder and those above it that are missing, so that they survive a loss of power: a name lasts once the
/// folder that holds it is synced.
fn make_durably(dir: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for made in missing {
        let Some(parent) = made.parent() else { continue };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_the_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Folder::holder(dir.path()).unwrap(), None, "there is nothing yet");
        let held = Folder::take(dir.path()).unwrap();
        assert_eq!(Folder::holder(dir.path()).unwrap(), Some(std::process::id().to_string()));
        let error = Folder::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert_eq!(Folder::holder(dir.path()).unwrap(), None);
        Folder::take(dir.path()).unwrap();
    }
}
