//! What agents left on this machine whose data folders are no more: networks below `/run`, and empty cgroups.
//!
//! Each agent says where its data folder is, in a file that it holds locked for as long as it lives. Whoever begins later
//! clears away what is certainly nobody's: the file is not locked, the folder is gone, and no process is in the cgroup.
//! Nobody is ever killed: shims end by themselves once their folder is gone.

use crate::failure::chain;
use crate::settings::Settings;
use hypermesh_runtime::oci;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Where agents keep what a boot empties.
const RUN: &str = "/run";
/// What their folders there, and their cgroups, begin with; what follows tells agents apart.
const NAME: &str = "hypermesh-";
/// The file that says where an agent's data folder is.
const OF: &str = "of";

/// This agent's word that it is there, which holds until it is dropped.
#[derive(Debug)]
pub struct Presence {
    folder: PathBuf,
    _lock: File,
}

impl Presence {
    /// Says it. None where this user may not, who leaves nothing there either.
    #[must_use]
    pub fn tell(settings: &Settings) -> Option<Self> {
        let folder = settings.network.state.parent()?.to_owned();
        let root = fs::canonicalize(settings.layout.root()).ok()?;
        let told = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let mut file = File::options().write(true).create(true).truncate(false).open(folder.join(OF))?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.set_len(0)?;
            file.write_all(root.as_os_str().as_bytes())?;
            Ok(file)
        };
        let lock = told()
            .inspect_err(|error| tracing::debug!(%error, "it is not said whose folder this is"))
            .ok()?;
        Some(Self { folder, _lock: lock })
    }
}

impl Drop for Presence {
    /// Where its network went with it, or never was, so does this.
    fn drop(&mut self) {
        if !self.folder.join("network").exists() {
            let _ = fs::remove_file(self.folder.join(OF));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Clears away what is nobody's, as far as it can be.
pub async fn sweep(settings: &Settings) {
    let own = settings.network.state.parent().map(Path::to_owned);
    for folder in left(Path::new(RUN)) {
        if Some(&folder) == own.as_ref() {
            continue;
        }
        let Some(apart) = folder.file_name().and_then(|name| name.to_str()?.strip_prefix(NAME)) else {
            continue;
        };
        // Shims that have not ended yet keep what they need; the next agent looks again.
        match oci::clear_cgroup(&Path::new("/").join(format!("{NAME}{apart}")), true) {
            Ok(true) => {}
            Ok(false) | Err(_) => continue,
        }
        let (state, bridge) = (folder.join("network"), format!("hm-{apart}"));
        match hypermesh_network::clear(&state, &bridge).await {
            Ok(()) => {
                let _ = fs::remove_file(folder.join(OF));
                let _ = fs::remove_dir(&folder);
                tracing::info!(folder = %folder.display(), "what an agent left whose data folder is gone was cleared away");
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), error = chain(&error), "what an agent left stays for now");
            }
        }
    }
    // Cgroups alone, in which and below which nobody is.
    for name in oci::cgroups(NAME).unwrap_or_default() {
        let named = name.strip_prefix(NAME).is_some_and(is_hash);
        if named && !Path::new(RUN).join(&name).exists() && Path::new("/").join(&name) != settings.cgroup {
            let _ = oci::clear_cgroup(&Path::new("/").join(&name), false);
        }
    }
}

/// Folders of agents that are not there, and whose data folder is not either.
fn left(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().and_then(|name| name.strip_prefix(NAME)).is_some_and(is_hash)
    });
    named.map(|entry| entry.path()).filter(|folder| is_nobodys(folder).unwrap_or(false)).collect()
}

/// What tells agents apart: eight hexadecimal digits.
fn is_hash(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_nobodys(folder: &Path) -> io::Result<bool> {
    let file = File::open(folder.join(OF))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    let data = PathBuf::from(std::ffi::OsString::from_vec(fs::read(folder.join(OF))?));
    // Who cannot be looked at may be there.
    Ok(data.is_absolute() && fs::metadata(&data).is_err_and(|error| error.kind() == io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certainly_nobodys_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let agent = |name: &str, data: &Path| {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(OF), data.as_os_str().as_bytes()).unwrap();
            folder
        };
        let gone = agent("hypermesh-00000001", Path::new("/nowhere/at/all"));
        agent("hypermesh-00000002", dir.path());
        agent("hypermesh-00000003", Path::new("relative"));
        agent("hypermesh-stage", Path::new("/nowhere/at/all"));
        fs::create_dir(dir.path().join("hypermesh-00000004")).unwrap();
        let held = agent("hypermesh-00000005", Path::new("/nowhere/at/all"));
        let lock = File::open(held.join(OF)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(left(dir.path()), std::slice::from_ref(&gone));
        drop(lock);
        let mut found = left(dir.path());
        found.sort();
        assert_eq!(found, [gone, held]);
    }

    #[test]
    fn who_is_there_says_so_until_the_end() {
        let (run, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut settings = Settings::new("n", data.path());
        settings.network.state = run.path().join("hypermesh-0000000a/network");
        let there = Presence::tell(&settings).unwrap();
        assert!(Presence::tell(&settings).is_none(), "two are not one");
        drop(data);
        assert!(left(run.path()).is_empty(), "as long as it lives it is somebody's");
        drop(there);
        assert!(!run.path().join("hypermesh-0000000a").exists());
    }
}
