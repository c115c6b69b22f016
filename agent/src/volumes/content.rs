//! Exchanging all files of a folder at once, under the eyes of who reads them.

use hypermesh_planner::volume::FileTree;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const DATA: &str = "..data";
const NEW: &str = "..data_tmp";

/// Makes `folder` show exactly `tree`; what reads it sees all of the old or all of the new. Files belong to `group`, if
/// one is given.
///
/// # Errors
/// What the disk says. The old contents stay then.
pub(super) fn exchange(folder: &Path, tree: &FileTree, group: Option<u32>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    if shows(&folder, tree) {
        return Ok(());
    }
    let old = rustix::fs::readlinkat(&folder, DATA, Vec::new()).ok();
    let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let new = format!("..{:x}", moment.as_nanos());
    fill(&folder, &new, tree, group)?;
    // A link of a try that was interrupted.
    gone(rustix::fs::unlinkat(&folder, NEW, AtFlags::empty()))?;
    rustix::fs::symlinkat(new.as_str(), &folder, NEW)?;
    rustix::fs::renameat(&folder, NEW, &folder, DATA)?;
    // Not synced: after a crash of the machine nobody reads it, and what it holds is made anew.
    link(&folder, tree)?;
    sweep(&folder, &new, old.as_ref().and_then(|old| old.to_str().ok()))
}

/// Whether the folder shows these files already, with these contents and modes.
fn shows(folder: &OwnedFd, tree: &FileTree) -> bool {
    let Ok(data) = open_folder(folder, DATA, ResolveFlags::BENEATH) else { return false };
    let mut seen = 0;
    for (path, file) in &tree.0 {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let Ok(found) = rustix::fs::openat2(&data, path.as_str(), flags, Mode::empty(), resolve) else {
            return false;
        };
        let Ok(meta) = rustix::fs::fstat(&found) else { return false };
        let mut bytes = Vec::with_capacity(file.bytes.len());
        let most = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX).saturating_add(1);
        let same = meta.st_mode & 0o777 == file.mode
            && File::from(found).take(most).read_to_end(&mut bytes).is_ok()
            && bytes == file.bytes;
        if !same {
            return false;
        }
        seen += 1;
    }
    count(&data) == Some(seen)
}

/// Files below a folder.
fn count(folder: &OwnedFd) -> Option<usize> {
    let mut files = 0;
    for (name, is_folder) in entries(folder).ok()? {
        files += if is_folder {
            count(&open_folder(folder, &name, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).ok()?)?
        } else {
            1
        };
    }
    Some(files)
}

fn open_folder(parent: &OwnedFd, name: &str, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
}

fn entries(folder: &OwnedFd) -> io::Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            found.push((name, entry.file_type() == rustix::fs::FileType::Directory));
        }
    }
    Ok(found)
}

fn fill(folder: &OwnedFd, name: &str, tree: &FileTree, group: Option<u32>) -> io::Result<()> {
    rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let data = open_folder(folder, name, resolve)?;
    permit(data.as_fd(), 0o755, group)?;
    for (path, file) in &tree.0 {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default();
            match rustix::fs::mkdirat(&data, above, Mode::from_raw_mode(0o755)) {
                Ok(()) => permit(open_folder(&data, above, resolve)?.as_fd(), 0o755, group)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let made = rustix::fs::openat2(&data, path.as_str(), flags, Mode::from_raw_mode(0o600), resolve)?;
        let mut made = File::from(made);
        made.write_all(&file.bytes)?;
        permit(made.as_fd(), file.mode, group)?;
    }
    Ok(())
}

/// The group may read what it owns, as kubelet has it.
fn permit(file: std::os::fd::BorrowedFd<'_>, mode: u32, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        rustix::fs::fchown(file, None, Some(rustix::fs::Gid::from_raw(group)))?;
    }
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// What is visible: a link through `..data` for each first step of a path, and no other.
fn link(folder: &OwnedFd, tree: &FileTree) -> io::Result<()> {
    let first = |path: &String| path.split('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = tree.0.keys().map(first).collect();
    for name in &wanted {
        match rustix::fs::symlinkat(format!("{DATA}/{name}"), folder, name.as_str()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (name, is_folder) in entries(folder)? {
        if !name.starts_with("..") && !wanted.contains(&name) && !is_folder {
            gone(rustix::fs::unlinkat(folder, name.as_str(), AtFlags::empty()))?;
        }
    }
    Ok(())
}

/// Removes what was shown before, and what tries before this one left.
fn sweep(folder: &OwnedFd, new: &str, old: Option<&str>) -> io::Result<()> {
    for (name, is_folder) in entries(folder)? {
        let ours = name.starts_with("..") && name != new && name != DATA;
        if is_folder && (ours || Some(name.as_str()) == old) {
            remove(folder, &name)?;
        }
    }
    Ok(())
}

fn remove(parent: &OwnedFd, name: &str) -> io::Result<()> {
    let folder = open_folder(parent, name, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?;
    for (entry, is_folder) in entries(&folder)? {
        if is_folder {
            remove(&folder, &entry)?;
        } else {
            gone(rustix::fs::unlinkat(&folder, entry.as_str(), AtFlags::empty()))?;
        }
    }
    gone(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
}

fn gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_planner::volume;

    fn tree(files: &[(&str, &str, u32)]) -> FileTree {
        let file = |text: &str, mode| volume::File { bytes: text.into(), mode };
        FileTree(files.iter().map(|(path, text, mode)| ((*path).to_owned(), file(text, *mode))).collect())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn contents_are_exchanged_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        exchange(path, &tree(&[("a", "1", 0o400), ("b/c", "2", 0o644)]), None).unwrap();
        assert_eq!(names(path), ["a", "b"]);
        assert_eq!(std::fs::read_to_string(path.join("b/c")).unwrap(), "2");
        let before = std::fs::read_link(path.join(DATA)).unwrap();
        exchange(path, &tree(&[("a", "1", 0o400), ("b/c", "2", 0o644)]), None).unwrap();
        assert_eq!(std::fs::read_link(path.join(DATA)).unwrap(), before, "the same is not written again");
        exchange(path, &tree(&[("a", "1", 0o440), ("d", "3", 0o644)]), None).unwrap();
        assert_eq!(names(path), ["a", "d"]);
        let all = std::fs::read_dir(path).unwrap().count();
        assert_eq!(all, 4, "nothing is left of what was before");
    }

    #[test]
    fn what_was_interrupted_does_not_stand_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("..1/x")).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join(NEW)).unwrap();
        exchange(path, &tree(&[("a", "1", 0o644)]), None).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "1");
        assert!(!path.join("..1").exists());
    }

    #[test]
    fn no_link_leads_out() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), folder.path().join(DATA)).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("a")).unwrap();
        exchange(folder.path(), &tree(&[("b", "1", 0o644)]), None).unwrap();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert_eq!(names(folder.path()), ["b"]);
    }
}
