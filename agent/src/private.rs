//! Folders that are nobody else's.
//!
//! What lies there has owners that are the containers' own, set-user-ID programs of root among them, and what Secrets gave
//! to containers' environments. So nobody but the agent may come near, whoever started it and however.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// What an agent's folder holds at least one of, unless it is empty.
const SIGNS: [&str; 3] = ["node.key", "agent.kubeconfig", "instances"];

/// Makes a folder that nobody else may enter, or sees to it that one that is there is such. One that holds other things
/// than an agent's is left as it is, and refused if others may enter it.
///
/// # Errors
/// If it cannot be made, or is not the agent's own.
pub fn root(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let found = std::fs::metadata(path)?;
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(io::Error::other(format!(
            "it belongs to user {}, and the agent is user {me}: whose a folder is may look at all that containers have",
            found.uid()
        )));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    if !is_an_agents(path)? {
        return Err(io::Error::other(format!(
            "other users may enter it (its mode is {mode:o}), and it holds other things than an agent's: give the agent a \
             folder of its own, or close it (chmod 700)"
        )));
    }
    tracing::warn!(path = %path.display(), "other users could enter the data folder, mode {mode:o}: now they cannot");
    close(path)
}

/// Makes a folder below an agent's own that nobody else may enter.
///
/// # Errors
/// If it cannot be made or closed.
pub fn folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    close(path)
}

fn close(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

fn is_an_agents(path: &Path) -> io::Result<bool> {
    let names: Vec<_> = std::fs::read_dir(path)?.flatten().map(|entry| entry.file_name()).collect();
    Ok(names.is_empty() || names.iter().any(|name| SIGNS.iter().any(|sign| name == sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn nobody_else_enters_an_agents_folder() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("a/b");
        root(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        // One that an earlier agent, or who packed it, left open.
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o755)).unwrap();
        root(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        std::fs::create_dir(made.join("instances")).unwrap();
        std::fs::write(made.join("other"), "").unwrap();
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o711)).unwrap();
        root(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        let below = made.join("instances");
        std::fs::set_permissions(&below, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder(&below).unwrap();
        assert_eq!(mode(&below), 0o700);
    }

    #[test]
    fn a_folder_of_other_things_is_not_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("letter"), "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = root(dir.path()).unwrap_err().to_string();
        assert!(error.contains("755") && error.contains("chmod 700"), "{error}");
        assert_eq!(mode(dir.path()), 0o755);
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        root(dir.path()).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
            assert!(root(dir.path()).unwrap_err().to_string().contains("65534"));
        }
    }
}
