//! An archive from a container, taken apart with suspicion.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};
use tar::EntryType;

/// Things that are named as not copied, at most.
const NAMED: usize = 20;

/// What became of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files and folders that were made.
    pub copied: usize,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// Reads an archive of something that is called `name` there, and makes it `target` here.
pub fn read(from: impl Read, name: &str, target: &Path) -> io::Result<Unpacked> {
    let mut archive = tar::Archive::new(from);
    let mut unpacked = Unpacked::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).escape_debug().to_string();
        let mut skip = |why: &str| {
            if unpacked.skipped.len() < NAMED {
                unpacked.skipped.push(format!("{shown}: {why}"));
            }
        };
        let Some(below) = below(&entry.path()?, name) else {
            skip("it lies outside of what was asked for");
            continue;
        };
        let to = if below.as_os_str().is_empty() { target.to_owned() } else { target.join(&below) };
        if !is_plain(target, &below)? {
            skip("a link of this machine is in its way");
            continue;
        }
        if let Some(folder) = to.parent().filter(|_| !below.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        match entry.header().entry_type() {
            EntryType::Directory => match fs::create_dir(&to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && to.is_dir() => {}
                made => made.and_then(|()| fs::set_permissions(&to, Permissions::from_mode(mode | 0o700)))?,
            },
            EntryType::Regular | EntryType::Continuous => {
                match fs::remove_file(&to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to)?;
                io::copy(&mut entry, &mut file)?;
            }
            EntryType::Symlink | EntryType::Link => {
                skip("links are not copied: where it leads to here is not where it led to there");
                continue;
            }
            _ => {
                skip("it is neither a file nor a folder");
                continue;
            }
        }
        unpacked.copied += 1;
    }
    // What follows the archive's end is nothing; who sends it must not be stopped by nobody reading it.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(unpacked)
}

/// The path of an entry below the one that was asked for. None: it is not below it.
fn below(path: &Path, name: &str) -> Option<PathBuf> {
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    if parts.next() != Some(Component::Normal(name.as_ref())) {
        return None;
    }
    parts.map(|part| matches!(part, Component::Normal(_)).then_some(part)).collect()
}

/// Whether every folder on the way from `target` to the entry is a folder and no link to one.
fn is_plain(target: &Path, below: &Path) -> io::Result<bool> {
    let mut at = target.to_owned();
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_symlink() => return Ok(parts.peek().is_none()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut out = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // The builder would refuse what a hostile container does not.
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            if kind.is_symlink() {
                header.set_link_name(content).unwrap();
            }
            let content = if kind.is_file() { content.as_bytes() } else { b"" };
            header.set_size(content.len() as u64);
            header.set_cksum();
            out.append(&header, content).unwrap();
        }
        out.into_inner().unwrap()
    }

    #[test]
    fn nothing_leaves_the_place_that_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("to");
        let hostile = archive(&[
            ("a/", EntryType::Directory, ""),
            ("a/b", EntryType::Regular, "b"),
            ("a/../../up", EntryType::Regular, "x"),
            ("/etc/x", EntryType::Regular, "x"),
            ("other", EntryType::Regular, "x"),
            ("a/link", EntryType::Symlink, "/etc"),
            ("a/link/passwd", EntryType::Regular, "x"),
            ("a/fifo", EntryType::Fifo, ""),
        ]);
        let unpacked = read(&hostile[..], "a", &target).unwrap();
        assert_eq!((unpacked.copied, unpacked.skipped.len()), (3, 5));
        assert_eq!(fs::read_to_string(target.join("b")).unwrap(), "b");
        assert_eq!(fs::metadata(target.join("b")).unwrap().permissions().mode() & 0o7000, 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // The link was not made: what should have gone through it lies in a folder of its name.
        assert!(fs::symlink_metadata(target.join("link")).unwrap().is_dir());
    }

    #[test]
    fn no_link_of_this_machine_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, elsewhere) = (folder.path().join("to"), folder.path().join("elsewhere"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, target.join("d")).unwrap();
        fs::write(elsewhere.join("kept"), "kept").unwrap();
        symlink(elsewhere.join("kept"), target.join("f")).unwrap();
        let entries = archive(&[("a/d/x", EntryType::Regular, "x"), ("a/f", EntryType::Regular, "new")]);
        let unpacked = read(&entries[..], "a", &target).unwrap();
        assert_eq!(unpacked.skipped, ["a/d/x: a link of this machine is in its way"]);
        assert_eq!(fs::read_to_string(elsewhere.join("kept")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "new");
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("file"), "content").unwrap();
        let mut bytes = Vec::new();
        super::super::pack::write(&from, "name", &mut bytes).unwrap();
        let unpacked = read(&bytes[..], "name", &to).unwrap();
        assert_eq!((unpacked.copied, unpacked.skipped.len()), (2, 0));
        assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "content");
    }
}
