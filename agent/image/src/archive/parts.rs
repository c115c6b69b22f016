//! The files of an archive by their names, wherever they lie.

use super::ArchiveError;
use crate::digest::Algorithm;
use crate::limits::{ARCHIVE_ENTRIES, ARCHIVE_LINKS, Limits};
use crate::store::Store;
use crate::tarball::{Archive, Kind};
use crate::unpack::{Compression, Plain};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What an archive has.
pub(super) enum Parts {
    /// A folder.
    Folder(PathBuf),
    /// A tar.
    Tar(Tar),
}

/// A plain tar, and where its files lie in it.
pub(super) struct Tar {
    file: File,
    path: PathBuf,
    entries: BTreeMap<String, Located>,
}

enum Located {
    At { offset: u64, size: u64 },
    Link(String),
}

/// One file.
pub(super) struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Part {
    /// Its bytes, as the archive says.
    pub(super) const fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Parts {
    pub(super) fn open(store: &Store, path: &Path) -> Result<Self, ArchiveError> {
        let io = |doing| move |source| ArchiveError::Io { doing, path: path.to_owned(), source };
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut file = open_file(path).map_err(io("opening"))?;
        let mut first = [0; 8];
        let read = file.read_at(&mut first, 0).map_err(io("reading"))?;
        let plain = |source| ArchiveError::Plain { path: path.to_owned(), source };
        if Compression::of(&first[..read]).map_err(plain)? != Compression::None {
            file = decompress(store, file, path)?;
        }
        Tar::index(file, path, store.limits()).map(Self::Tar)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(name).is_file(),
            Self::Tar(tar) => tar.entries.contains_key(name),
        }
    }

    /// Opens a file by its name. Callers give names of digests, or names that a tar's index is asked for.
    pub(super) fn get(&self, name: &str) -> Result<Part, ArchiveError> {
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                let io = |source| ArchiveError::Io { doing: "opening", path: path.clone(), source };
                match open_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Err(ArchiveError::Missing(name.to_owned()))
                    }
                    other => {
                        let file = other.map_err(io)?;
                        let left = file.metadata().map_err(io)?.len();
                        Ok(Part { file, at: 0, left })
                    }
                }
            }
            Self::Tar(tar) => tar.get(name),
        }
    }

    /// Reads a small file whole.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let part = self.get(name)?;
        if part.size() > limit {
            return Err(ArchiveError::TooLarge { name: name.to_owned(), found: part.size(), limit });
        }
        let mut bytes = Vec::new();
        let path = PathBuf::from(name);
        part.take(limit).read_to_end(&mut bytes).map_err(|source| ArchiveError::Io {
            doing: "reading",
            path,
            source,
        })?;
        Ok(bytes)
    }
}

impl Tar {
    fn index(file: File, path: &Path, limits: &Limits) -> Result<Self, ArchiveError> {
        let tar = |source| ArchiveError::Tar { path: path.to_owned(), source };
        let io = |source| ArchiveError::Io { doing: "reading", path: path.to_owned(), source };
        let reader = io::BufReader::new(file.try_clone().map_err(io)?);
        let bounds = Limits { entries: ARCHIVE_ENTRIES, ..limits.clone() };
        let mut archive = Archive::new(reader, &bounds);
        let mut entries = BTreeMap::new();
        while let Some(entry) = archive.next_entry().map_err(tar)? {
            let Some(name) = clean("", &String::from_utf8_lossy(&entry.path)) else { continue };
            let located = match entry.kind {
                Kind::File if entry.pieces.is_none() => {
                    Located::At { offset: archive.position(), size: archive.left() }
                }
                // Older `docker save` links layers that images share.
                Kind::Symlink | Kind::Hardlink => {
                    let parent = if entry.kind == Kind::Symlink { parent(&name) } else { "" };
                    let target = String::from_utf8_lossy(&entry.link);
                    let Some(target) = clean(parent, &target) else { continue };
                    Located::Link(target)
                }
                _ => continue,
            };
            entries.insert(name, located);
        }
        Ok(Self { file, path: path.to_owned(), entries })
    }

    fn get(&self, name: &str) -> Result<Part, ArchiveError> {
        let mut at = name;
        for _ in 0..=ARCHIVE_LINKS {
            match self.entries.get(at) {
                None => return Err(ArchiveError::Missing(shown(name))),
                Some(Located::Link(target)) => at = target,
                Some(Located::At { offset, size }) => {
                    let io = |source| ArchiveError::Io { doing: "reading", path: self.path.clone(), source };
                    return Ok(Part { file: self.file.try_clone().map_err(io)?, at: *offset, left: *size });
                }
            }
        }
        Err(ArchiveError::Link(shown(name)))
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A name from the archive's root, none if it leads out of it.
pub(super) fn clean(base: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = if name.starts_with('/') { Vec::new() } else { base.split('/').collect() };
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                while parts.last() == Some(&"") {
                    parts.pop();
                }
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(parts.join("/"))
}

pub(super) fn shown(name: &str) -> String {
    name.chars().take(200).collect()
}

/// A file that is one: a pipe or a device would be waited for without an end.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Unpacks a compressed archive into the store's `tmp`, under no name.
fn decompress(store: &Store, file: File, path: &Path) -> Result<File, ArchiveError> {
    let aside = store.temporary("archive");
    let io = |source| ArchiveError::Io { doing: "unpacking to", path: aside.clone(), source };
    let mut plain_file = File::options().read(true).write(true).create_new(true).open(&aside).map_err(io)?;
    std::fs::remove_file(&aside).map_err(io)?;
    let limits = Limits { layer_bytes: store.limits().archive_bytes, ..store.limits().clone() };
    let told = |source| ArchiveError::Plain { path: path.to_owned(), source };
    let mut plain = Plain::new(file, Algorithm::Sha256, Algorithm::Sha256, &limits).map_err(told)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => {
                // Its index is read from the beginning.
                io::Seek::rewind(&mut plain_file).map_err(io)?;
                return Ok(plain_file);
            }
            Ok(read) => io::Write::write_all(&mut plain_file, &buffer[..read]).map_err(io)?,
            Err(error) => return Err(told(plain.told(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_root_and_lead_nowhere_else() {
        assert_eq!(clean("", "./a//b").as_deref(), Some("a/b"));
        assert_eq!(clean("a/b", "../c/layer.tar").as_deref(), Some("a/c/layer.tar"));
        assert_eq!(clean("a", "/c").as_deref(), Some("c"));
        assert_eq!(clean("a", "../../c"), None);
        assert_eq!(clean("", ".."), None);
    }
}
