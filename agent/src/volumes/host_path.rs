//! Paths of the node that instances may see: those that the node's own policy allows, whatever the API server says.
//!
//! Who may write below an allowed path may put links there, at any moment. So no path is looked up twice to be believed
//! the second time: every step is taken below the open folder that is allowed, and a link that leads out of it is none. Who
//! mounts it does the same again ([`Place`] is how: the allowed folder, and what is below it).

use crate::settings::Policy;
use hypermesh_schemas::workload::volume::{HostPath, HostPathType};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// Where an instance may look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A folder or file that the node's policy names.
    pub allowed: PathBuf,
    /// What of it; empty: all. By links that do not leave it.
    pub below: PathBuf,
}

/// Where a path is that may be mounted and is what it is said to be; makes it where it is to be made.
///
/// # Errors
/// What is not allowed, or not there.
pub(super) fn check(volume: &HostPath, policy: &Policy) -> Result<Place, String> {
    let path = Path::new(volume.path.as_str());
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("the path {} has .. steps", path.display()));
    }
    let place = allowed(path, policy)?;
    let told = |errno: Errno| place.told(path, errno);
    let top =
        rustix::fs::open(&place.allowed, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(told)?;
    let made = match volume.kind {
        Some(HostPathType::DirectoryOrCreate) => make_folders(&top, &place.below),
        Some(HostPathType::FileOrCreate) => make_file(&top, &place.below),
        _ => Ok(()),
    };
    made.map_err(told)?;
    let found = match (enter(&top, &place.below, OFlags::PATH), volume.kind) {
        // Whether it has to be there is for who mounts it.
        (Err(Errno::NOENT), None) => return Ok(place),
        (found, _) => rustix::fs::fstat(found.map_err(told)?).map_err(told)?,
    };
    let Some(kind) = volume.kind else { return Ok(place) };
    let found = FileType::from_raw_mode(found.st_mode);
    let wanted = match kind {
        HostPathType::DirectoryOrCreate | HostPathType::Directory => FileType::Directory,
        HostPathType::FileOrCreate | HostPathType::File => FileType::RegularFile,
        HostPathType::Socket => FileType::Socket,
        HostPathType::CharDevice => FileType::CharacterDevice,
        HostPathType::BlockDevice => FileType::BlockDevice,
    };
    if found == wanted {
        Ok(place)
    } else {
        Err(format!("{} is no {kind:?}, but a {found:?}", path.display()))
    }
}

impl Place {
    fn told(&self, path: &Path, errno: Errno) -> String {
        match errno {
            Errno::XDEV | Errno::LOOP => format!(
                "{} leads out of {}, which its agent allows, or by an absolute link: links are followed that are relative \
                 and stay below",
                path.display(),
                self.allowed.display()
            ),
            errno => format!("{}: {errno}", path.display()),
        }
    }
}

/// The longest path of the policy that a path is below.
fn allowed(path: &Path, policy: &Policy) -> Result<Place, String> {
    let found = policy.host_paths.iter().filter_map(|allowed| {
        let below = path.strip_prefix(allowed).ok()?;
        Some(Place { allowed: allowed.clone(), below: below.to_owned() })
    });
    if let Some(place) = found.min_by_key(|place| place.below.components().count()) {
        return Ok(place);
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

/// Opens what is below an open folder, by links that stay there.
fn enter(top: &OwnedFd, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    if below.as_os_str().is_empty() {
        return rustix::io::fcntl_dupfd_cloexec(top, 3);
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 8;
    loop {
        match rustix::fs::openat2(top, below, flags | OFlags::CLOEXEC, Mode::empty(), within) {
            // Something was renamed meanwhile, and the kernel cannot say where it is.
            Err(Errno::AGAIN) if tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

fn make_folders(top: &OwnedFd, below: &Path) -> Result<(), Errno> {
    let folder = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = PathBuf::new();
    for step in below.components() {
        let parent = enter(top, &at, folder)?;
        at.push(step);
        match enter(top, &at, folder) {
            Err(Errno::NOENT) => {}
            other => {
                other?;
                continue;
            }
        }
        match rustix::fs::mkdirat(&parent, step.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn make_file(top: &OwnedFd, below: &Path) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else { return Ok(()) };
    match enter(top, below, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        other => return other.map(drop),
    }
    let parent = enter(top, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn volume(path: &str, kind: Option<&str>) -> HostPath {
        serde_json::from_value(serde_json::json!({"path": path, "type": kind})).unwrap()
    }

    #[test]
    fn only_what_is_allowed_is_seen_links_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join("open")).unwrap();
        let policy = Policy { host_paths: vec![folder.path().join("open")], ..Policy::default() };
        assert!(check(&volume("/etc", None), &Policy::default()).unwrap_err().contains("allows none"));
        let place = check(&volume(&below("open/new/er"), Some("DirectoryOrCreate")), &policy).unwrap();
        assert_eq!((place.allowed, place.below), (folder.path().join("open"), "new/er".into()));
        assert_eq!(check(&volume(&below("open"), Some("Directory")), &policy).unwrap().below, Path::new(""));
        assert!(check(&volume(&below("opened"), None), &policy).is_err());
        assert!(check(&volume(&below("open/../x"), None), &policy).unwrap_err().contains(".."));
        symlink("/etc", folder.path().join("open/link")).unwrap();
        assert!(check(&volume(&below("open/link"), None), &policy).unwrap_err().contains("leads out of"));
        symlink("new", folder.path().join("open/within")).unwrap();
        check(&volume(&below("open/within/er"), Some("Directory")), &policy).unwrap();
        assert!(check(&volume(&below("open/new"), Some("File")), &policy).unwrap_err().contains("no File"));
        assert!(check(&volume(&below("open/none"), Some("Socket")), &policy).is_err());
        check(&volume(&below("open/none"), None), &policy).unwrap();
        for _ in 0..2 {
            check(&volume(&below("open/file"), Some("FileOrCreate")), &policy).unwrap();
        }
    }

    /// A tenant who may write there puts links in the way of what is to be made.
    #[test]
    fn nothing_is_made_outside() {
        let folder = tempfile::tempdir().unwrap();
        let (open, outside) = (folder.path().join("open"), folder.path().join("outside"));
        std::fs::create_dir(&open).unwrap();
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, open.join("absolute")).unwrap();
        symlink("../outside", open.join("relative")).unwrap();
        symlink("../outside/file", open.join("file")).unwrap();
        let policy = Policy { host_paths: vec![open.clone()], ..Policy::default() };
        for link in ["absolute", "relative"] {
            for kind in ["DirectoryOrCreate", "FileOrCreate"] {
                let path = open.join(link).join("made").display().to_string();
                let error = check(&volume(&path, Some(kind)), &policy).unwrap_err();
                assert!(error.contains("leads out of"), "{error}");
            }
        }
        let path = open.join("file").display().to_string();
        assert!(check(&volume(&path, Some("FileOrCreate")), &policy).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}
