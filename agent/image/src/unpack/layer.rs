//! One layer, entry by entry.

use super::entry_path::{EntryPath, shown};
use super::meta::{self, Devices, Owners};
use super::plain::Plain;
use super::refusal::{Refusal, UnpackError};
use super::tree::{Tree, TreeError, file_type, is_whiteout, stat_in};
use super::whiteout::{Meaning, Whiteouts};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::remove::remove_in;
use crate::tarball::{Archive, Entry, Kind, TarError};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// What a layer is unpacked as.
#[derive(Clone, Copy, Debug)]
pub struct UnpackOptions {
    /// Whether its devices are made.
    pub devices: Devices,
    /// How its deletions are kept.
    pub whiteouts: Whiteouts,
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of its files, holes included.
    pub bytes: u64,
    /// What was left out, and why it does no harm: at most 32 lines.
    pub left_out: Vec<String>,
}

const LEFT_OUT: usize = 32;

/// Unpacks a layer into an empty folder, checking it against its name and against what it has to unpack to. If it
/// fails, what was made stays for its caller to remove.
///
/// # Errors
/// The first entry that is refused, a damaged blob, a wrong digest, or what the file system said.
pub fn unpack(
    stored: impl Read,
    name: &Digest,
    diff_id: &Digest,
    into: OwnedFd,
    options: UnpackOptions,
    limits: &Limits,
) -> Result<Report, UnpackError> {
    let plain =
        Plain::new(stored, name.algorithm(), diff_id.algorithm(), limits).map_err(UnpackError::Plain)?;
    let mut archive = Archive::new(plain, limits);
    let mut layer = Layer::new(Tree::new(into), options, limits);
    let result = layer.take_all(&mut archive);
    // A damaged blob makes a strange archive: what it is called is looked at first.
    let entries = match result {
        Ok(()) => archive.finish(),
        Err(error) => {
            let damaged = archive.into_inner().finish().ok().filter(|sums| sums.stored != *name);
            return Err(damaged
                .map_or(error, |sums| UnpackError::Damaged { expected: name.clone(), found: sums.stored }));
        }
    };
    let sums = entries.map_err(UnpackError::Tar)?.finish().map_err(UnpackError::Plain)?;
    if sums.stored != *name {
        return Err(UnpackError::Damaged { expected: name.clone(), found: sums.stored });
    }
    if sums.plain != *diff_id {
        return Err(UnpackError::DiffId { expected: diff_id.clone(), found: sums.plain });
    }
    layer.finish()
}

/// A layer in the making.
pub(super) struct Layer<'a> {
    tree: Tree,
    owners: Owners,
    options: UnpackOptions,
    limits: &'a Limits,
    /// Folders get mode and time when nothing more is made in them.
    folders: BTreeMap<EntryPath, Folder>,
    /// What their names take.
    folder_bytes: usize,
    report: Report,
    buffer: Vec<u8>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(tree: Tree, options: UnpackOptions, limits: &'a Limits) -> Self {
        let owners = if rustix::process::geteuid().is_root() { Owners::Kept } else { Owners::Mine };
        let (folders, report) = (BTreeMap::new(), Report::default());
        Self { tree, owners, options, limits, folders, folder_bytes: 0, report, buffer: vec![0; 128 * 1024] }
    }

    pub(super) fn take_all<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<(), UnpackError> {
        while let Some(entry) = archive.next_entry().map_err(UnpackError::Tar)? {
            self.report.entries += 1;
            self.take(archive, entry)?;
        }
        Ok(())
    }

    /// Gives folders what they get last.
    pub(super) fn finish(mut self) -> Result<Report, UnpackError> {
        // From the deepest up, since a folder's mode may shut it.
        for (path, folder) in std::mem::take(&mut self.folders).into_iter().rev() {
            let dir = match self.tree.open_dir(&path) {
                Ok(dir) => dir,
                // It was replaced later in the archive.
                Err(TreeError::Os(Errno::NOTDIR | Errno::LOOP | Errno::NOENT)) => continue,
                Err(error) => return Err(told("opening", &path, error)),
            };
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(folder.mode))
                .and_then(|()| rustix::fs::futimens(&dir, &meta::times(folder.mtime)))
                .map_err(|errno| told("setting mode and time of", &path, errno.into()))?;
        }
        Ok(self.report)
    }

    fn take<R: Read>(&mut self, archive: &mut Archive<R>, entry: Entry) -> Result<(), UnpackError> {
        let refused = |refusal| UnpackError::Refused { path: shown(&entry.path), refusal };
        let path = EntryPath::parse(&entry.path, self.limits).map_err(refused)?;
        if let Some(name) = meta::steering(&entry) {
            return Err(refused(Refusal::OverlayAttribute(name)));
        }
        if self.owners == Owners::Kept && meta::owner(&entry).is_none() {
            return Err(refused(Refusal::Owner { uid: entry.uid, gid: entry.gid }));
        }
        let result = match Meaning::of(&path).map_err(refused)? {
            Meaning::Nothing => Ok(()),
            Meaning::Opaque => self.opaque(&path),
            Meaning::Deleted(name) => self.deleted(&path.sibling(&name)),
            Meaning::Entry => return self.make(archive, &path, entry),
        };
        result.map_err(|error| told("deleting what lies below", &path, error))
    }

    fn opaque(&mut self, path: &EntryPath) -> Result<(), TreeError> {
        let Some((parent, _)) = path.split() else { return Ok(()) };
        // Only so that it exists; it is opened anew below, since an O_PATH descriptor takes no attributes.
        drop(self.tree.parent(parent, true)?);
        let dir = EntryPath::parse(parent, self.limits).map_err(TreeError::Refused)?;
        let dir = self.tree.open_dir(&dir)?;
        Ok(self.options.whiteouts.make_opaque(&dir)?)
    }

    /// A deletion hides what lower layers have, and nothing of this one.
    fn deleted(&mut self, target: &EntryPath) -> Result<(), TreeError> {
        let Some((parent, name)) = target.split() else { return Ok(()) };
        let dir = self.tree.parent(parent, true)?;
        match stat_in(&dir, name)? {
            None => Ok(self.options.whiteouts.delete(&dir, name)?),
            Some(stat) if file_type(&stat) == FileType::Directory => {
                let dir = self.tree.open_dir(target)?;
                Ok(self.options.whiteouts.make_opaque(&dir)?)
            }
            Some(_) => Ok(()),
        }
    }

    fn make<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        path: &EntryPath,
        entry: Entry,
    ) -> Result<(), UnpackError> {
        let refused = |refusal| UnpackError::Refused { path: path.shown(), refusal };
        let Some((parent, name)) = path.split() else {
            if entry.kind != Kind::Dir {
                return Err(refused(Refusal::Root));
            }
            return self.folder_meta(path, &entry);
        };
        check(&entry, self.options.devices, self.limits).map_err(refused)?;
        let dir = self.tree.parent(parent, true).map_err(|error| told("making the way to", path, error))?;
        if entry.kind == Kind::File {
            return self.file(archive, &dir, name, path, &entry);
        }
        let was =
            self.clear(&dir, name, entry.kind).map_err(|errno| told("replacing", path, errno.into()))?;
        match entry.kind {
            Kind::Dir => {
                self.folder(&dir, name, was).map_err(|errno| told("making", path, errno.into()))?;
                self.folder_meta(path, &entry)
            }
            Kind::Hardlink => self.hardlink(&dir, name, path, &entry),
            _ => {
                let made = self.node(&dir, name, &entry);
                let left_out = made.map_err(|errno| told("making", path, errno.into()))?;
                self.leave_out(path, left_out);
                Ok(())
            }
        }
    }

    /// Makes room for an entry. Tells what was there, if it stays or was a deletion.
    fn clear(&mut self, dir: &OwnedFd, name: &[u8], kind: Kind) -> Result<Was, Errno> {
        let Some(stat) = stat_in(dir, name)? else { return Ok(Was::Nothing) };
        match (file_type(&stat), kind) {
            (FileType::Directory, Kind::Dir) => return Ok(Was::Folder),
            (FileType::Directory, _) => {
                self.tree.forget();
                remove_in(dir, name)?;
            }
            _ => {
                self.tree.forget();
                rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            }
        }
        Ok(if is_whiteout(&stat) { Was::Whiteout } else { Was::Nothing })
    }

    fn folder(&mut self, dir: &OwnedFd, name: &[u8], was: Was) -> Result<(), Errno> {
        if was == Was::Folder {
            return Ok(());
        }
        rustix::fs::mkdirat(dir, name, Mode::RWXU)?;
        if was == Was::Whiteout {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(dir, name, flags, Mode::empty())?;
            self.options.whiteouts.make_opaque(&made)?;
        }
        Ok(())
    }

    /// Gives a folder its owner and attributes, and remembers what it gets last.
    fn folder_meta(&mut self, path: &EntryPath, entry: &Entry) -> Result<(), UnpackError> {
        self.folder_bytes += path.length() + size_of::<Folder>();
        if self.folder_bytes > self.limits.folder_bytes {
            let refusal = Refusal::Folders(self.limits.folder_bytes);
            return Err(UnpackError::Refused { path: path.shown(), refusal });
        }
        let dir = self.tree.open_dir(path).map_err(|error| told("opening", path, error))?;
        let open = Entry { mode: 0o700, ..entry.clone() };
        let left_out = meta::set_open(&dir, &open, self.owners)
            .map_err(|errno| told("setting owner or attributes of", path, errno.into()))?;
        self.folders.insert(path.clone(), Folder { mode: entry.mode, mtime: entry.mtime });
        self.leave_out(path, left_out);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        dir: &OwnedFd,
        name: &[u8],
        path: &EntryPath,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        self.report.bytes = self.report.bytes.saturating_add(entry.size);
        if self.report.bytes > self.limits.layer_bytes {
            let refusal = Refusal::TooLarge(self.limits.layer_bytes);
            return Err(UnpackError::Refused { path: path.shown(), refusal });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = || rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600));
        let file = match make() {
            // Seldom, so that it is not looked for before.
            Err(Errno::EXIST) => self.clear(dir, name, Kind::File).and_then(|_| make()),
            made => made,
        };
        let file = file.map_err(|errno| told("making", path, errno.into()))?;
        let writing = |errno: Errno| told("writing", path, errno.into());
        match &entry.pieces {
            None => {
                let mut at = 0;
                loop {
                    let read = archive.data(&mut self.buffer).map_err(UnpackError::Tar)?;
                    if read == 0 {
                        break;
                    }
                    write_at(&file, &self.buffer[..read], at).map_err(writing)?;
                    at += read as u64;
                }
            }
            Some(pieces) => {
                rustix::fs::ftruncate(&file, entry.size).map_err(writing)?;
                for piece in pieces {
                    let (mut at, end) = (piece.offset, piece.offset + piece.length);
                    while at < end {
                        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
                        let read = archive.data(&mut self.buffer[..most]).map_err(UnpackError::Tar)?;
                        if read == 0 {
                            let within = "a sparse file's data";
                            return Err(UnpackError::Tar(TarError::Truncated {
                                at: archive.position(),
                                within,
                            }));
                        }
                        write_at(&file, &self.buffer[..read], at).map_err(writing)?;
                        at += read as u64;
                    }
                }
            }
        }
        let left_out = meta::set_open(&file, entry, self.owners)
            .and_then(|left_out| rustix::fs::futimens(&file, &meta::times(entry.mtime)).map(|()| left_out))
            .map_err(|errno| told("setting owner, mode, time or attributes of", path, errno.into()))?;
        self.leave_out(path, left_out);
        Ok(())
    }

    fn hardlink(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        path: &EntryPath,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let refused = |refusal| UnpackError::Refused { path: path.shown(), refusal };
        let missing = || refused(Refusal::LinkTarget(shown(&entry.link)));
        let target = EntryPath::parse(&entry.link, self.limits).map_err(refused)?;
        let Some((parent, target_name)) = target.split() else { return Err(missing()) };
        let from = match self.tree.parent(parent, false) {
            Err(TreeError::Os(Errno::NOENT)) => return Err(missing()),
            other => other.map_err(|error| told("finding what is linked as", path, error))?,
        };
        match stat_in(&from, target_name)
            .map_err(|errno| told("finding what is linked as", path, errno.into()))?
        {
            Some(stat) if file_type(&stat) != FileType::Directory && !is_whiteout(&stat) => {}
            _ => return Err(missing()),
        }
        // Without AT_SYMLINK_FOLLOW: a link is linked, and not what it points to.
        rustix::fs::linkat(&from, target_name, dir, name, AtFlags::empty())
            .map_err(|errno| told("linking", path, errno.into()))
    }

    fn node(&mut self, dir: &OwnedFd, name: &[u8], entry: &Entry) -> Result<Vec<String>, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let link = entry.kind == Kind::Symlink;
        match entry.kind {
            Kind::Symlink => {
                self.tree.forget();
                rustix::fs::symlinkat(entry.link.as_slice(), dir, name)?;
            }
            Kind::Fifo => rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0)?,
            kind => {
                let of =
                    if kind == Kind::CharDevice { FileType::CharacterDevice } else { FileType::BlockDevice };
                let number = rustix::fs::makedev(entry.device.0, entry.device.1);
                rustix::fs::mknodat(dir, name, of, mode, number)?;
            }
        }
        meta::set_named(dir, name, entry, self.owners, link)
    }

    fn leave_out(&mut self, path: &EntryPath, names: Vec<String>) {
        for name in names {
            if self.report.left_out.len() < LEFT_OUT {
                let line = format!("{}: {name}", path.shown());
                self.report.left_out.push(line);
            }
        }
    }
}

/// What a folder gets when nothing more is made in it.
struct Folder {
    mode: u32,
    mtime: (i64, u32),
}

/// What was under a name before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    /// Nothing, or something that was removed.
    Nothing,
    /// A folder, which stays.
    Folder,
    /// A deletion, which the new entry replaces.
    Whiteout,
}

/// What can be said of an entry without looking at the tree.
fn check(entry: &Entry, devices: Devices, limits: &Limits) -> Result<(), Refusal> {
    let (major, minor) = entry.device;
    match entry.kind {
        Kind::CharDevice if (major, minor) == (0, 0) => Err(Refusal::DisguisedWhiteout),
        Kind::CharDevice | Kind::BlockDevice if devices == Devices::Refused => {
            Err(Refusal::Device { major, minor })
        }
        Kind::Other(letter) => Err(Refusal::Type(char::from(letter))),
        Kind::Symlink if entry.link.is_empty() => Err(Refusal::EmptyLink),
        Kind::Symlink if entry.link.contains(&0) => Err(Refusal::Nul),
        Kind::Symlink if entry.link.len() > limits.path_bytes => {
            Err(Refusal::TooLong { found: entry.link.len(), limit: limits.path_bytes })
        }
        _ => Ok(()),
    }
}

fn write_at(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn told(doing: &'static str, path: &EntryPath, error: TreeError) -> UnpackError {
    match error {
        TreeError::Refused(refusal) => UnpackError::Refused { path: path.shown(), refusal },
        TreeError::Os(errno) => UnpackError::Io { doing, path: path.shown(), source: io::Error::from(errno) },
    }
}
