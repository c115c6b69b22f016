//! Paths of the node that instances may see: those that the node's own policy allows, whatever the API server says.

use crate::settings::Policy;
use hypermesh_schemas::workload::volume::{HostPath, HostPathType};
use rustix::fs::{FileType, Mode, OFlags};
use std::path::{Component, Path};

/// Whether a path may be mounted, and is what it is said to be; makes it where it is to be made.
///
/// # Errors
/// What is not allowed, or not there.
pub(super) fn check(volume: &HostPath, policy: &Policy) -> Result<(), String> {
    let path = Path::new(volume.path.as_str());
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("the path {} has .. steps", path.display()));
    }
    allowed(path, policy)?;
    make(path, volume.kind)?;
    // What is there may be a link to elsewhere.
    if let Ok(real) = std::fs::canonicalize(path) {
        allowed(&real, policy)?;
    }
    let Some(kind) = volume.kind else { return Ok(()) };
    let found = rustix::fs::stat(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = FileType::from_raw_mode(found.st_mode);
    let wanted = match kind {
        HostPathType::DirectoryOrCreate | HostPathType::Directory => FileType::Directory,
        HostPathType::FileOrCreate | HostPathType::File => FileType::RegularFile,
        HostPathType::Socket => FileType::Socket,
        HostPathType::CharDevice => FileType::CharacterDevice,
        HostPathType::BlockDevice => FileType::BlockDevice,
    };
    if found == wanted { Ok(()) } else { Err(format!("{} is no {kind:?}, but a {found:?}", path.display())) }
}

fn allowed(path: &Path, policy: &Policy) -> Result<(), String> {
    if policy.host_paths.iter().any(|allowed| path.starts_with(allowed)) {
        return Ok(());
    }
    let which = match policy.host_paths.as_slice() {
        [] => "its agent allows none (--allow-host-path)".to_owned(),
        some => {
            let some: Vec<_> = some.iter().map(|path| path.display().to_string()).collect();
            format!("its agent allows those below {}", some.join(", "))
        }
    };
    Err(format!("instances may not see the path {} of this node: {which}", path.display()))
}

fn make(path: &Path, kind: Option<HostPathType>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
    match kind {
        Some(HostPathType::DirectoryOrCreate) => std::fs::create_dir_all(path).map_err(failed),
        Some(HostPathType::FileOrCreate) if !path.exists() => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let made = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644));
            made.map(|_| ()).map_err(|error| failed(error.into()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(path: &str, kind: Option<&str>) -> HostPath {
        serde_json::from_value(serde_json::json!({"path": path, "type": kind})).unwrap()
    }

    #[test]
    fn only_what_is_allowed_is_seen_links_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name).display().to_string();
        let policy = Policy { host_paths: vec![folder.path().join("open")], ..Policy::default() };
        assert!(check(&volume("/etc", None), &Policy::default()).unwrap_err().contains("allows none"));
        assert!(check(&volume(&below("open/new"), Some("DirectoryOrCreate")), &policy).is_ok());
        assert!(check(&volume(&below("opened"), None), &policy).is_err());
        assert!(check(&volume(&below("open/../x"), None), &policy).unwrap_err().contains(".."));
        std::os::unix::fs::symlink("/etc", folder.path().join("open/link")).unwrap();
        assert!(check(&volume(&below("open/link"), None), &policy).unwrap_err().contains("/etc"));
        assert!(check(&volume(&below("open/new"), Some("File")), &policy).unwrap_err().contains("no File"));
        assert!(check(&volume(&below("open/none"), Some("Socket")), &policy).is_err());
        assert!(check(&volume(&below("open/file"), Some("FileOrCreate")), &policy).is_ok());
    }
}
