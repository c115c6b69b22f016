//! What is on the disk, and what of it would survive a loss of power.
//!
//! The rules are the least that POSIX promises:
//! - the content and length of a file are as at its last `fsync` or `fdatasync`; of what was appended since, any
//!   beginning may be there too (a torn write), which the seed decides;
//! - a name, made, renamed or removed, is as at the last sync of its folder. Syncing a file does not make its name last.

use crate::random::Random;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Number of the topmost folder.
pub const ROOT: u64 = 1;

/// An operation that fails, by its error number.
pub type Outcome<T> = Result<T, i32>;

/// A file or folder.
pub enum Node {
    /// A file.
    File(File),
    /// A folder.
    Folder(Folder),
}

/// A file.
#[derive(Default)]
pub struct File {
    /// As programs see it.
    pub now: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync, from and to.
    dirty: Option<(usize, usize)>,
    /// The shortest it has been since then.
    shortest: usize,
    /// Its permissions.
    pub mode: u16,
}

/// A folder.
#[derive(Default)]
pub struct Folder {
    /// As programs see it.
    pub now: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    /// Its permissions.
    pub mode: u16,
}

/// The whole disk.
pub struct Image {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    cut: bool,
}

impl Image {
    /// A disk with nothing on it.
    pub fn empty() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::Folder(Folder::new(0o755)))]), next: ROOT + 1, cut: false }
    }

    /// Ends all use of it.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// A file or folder.
    pub fn node(&mut self, number: u64) -> Outcome<&mut Node> {
        if self.cut {
            return Err(libc::EIO);
        }
        self.nodes.get_mut(&number).ok_or(libc::ENOENT)
    }

    /// A file.
    pub fn file(&mut self, number: u64) -> Outcome<&mut File> {
        match self.node(number)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(libc::EISDIR),
        }
    }

    /// A folder.
    pub fn folder(&mut self, number: u64) -> Outcome<&mut Folder> {
        match self.node(number)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(libc::ENOTDIR),
        }
    }

    /// What a name in a folder stands for.
    pub fn lookup(&mut self, parent: u64, name: &OsStr) -> Outcome<u64> {
        self.folder(parent)?.now.get(name).copied().ok_or(libc::ENOENT)
    }

    /// Makes a file or folder.
    pub fn make(&mut self, parent: u64, name: &OsStr, node: Node) -> Outcome<u64> {
        let number = self.next;
        let folder = self.folder(parent)?;
        if folder.now.contains_key(name) {
            return Err(libc::EEXIST);
        }
        folder.now.insert(name.to_owned(), number);
        self.next += 1;
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Removes the name of a file, or of a folder that is empty.
    pub fn remove(&mut self, parent: u64, name: &OsStr, folder: bool) -> Outcome<()> {
        let number = self.lookup(parent, name)?;
        match (self.node(number)?, folder) {
            (Node::Folder(_), false) => return Err(libc::EISDIR),
            (Node::File(_), true) => return Err(libc::ENOTDIR),
            (Node::Folder(found), true) if !found.now.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        // The node stays: whoever has it open may go on, and its name may come back when power is lost.
        self.folder(parent)?.now.remove(name);
        Ok(())
    }

    /// Renames, over whatever file has the name.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Outcome<()> {
        let number = self.lookup(from.0, from.1)?;
        self.folder(to.0)?;
        self.folder(from.0)?.now.remove(from.1);
        self.folder(to.0)?.now.insert(to.1.to_owned(), number);
        Ok(())
    }

    /// The disk as it is found when power is back.
    pub fn survivor(&mut self, random: &mut Random) -> Self {
        let mut survivor = Self { nodes: BTreeMap::new(), next: self.next, cut: false };
        let mut waiting = vec![ROOT];
        while let Some(number) = waiting.pop() {
            let node = match self.nodes.remove(&number) {
                Some(Node::File(file)) => Node::File(file.survivor(random)),
                Some(Node::Folder(folder)) => {
                    waiting.extend(folder.durable.values());
                    Node::Folder(Folder { now: folder.durable.clone(), ..folder })
                }
                // Seen before: two synced folders may hold one file while it moves between them.
                None => continue,
            };
            survivor.nodes.insert(number, node);
        }
        survivor
    }
}

impl Folder {
    /// An empty one.
    pub fn new(mode: u16) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Makes its names last.
    pub fn sync(&mut self) {
        self.durable.clone_from(&self.now);
    }
}

impl File {
    /// An empty one.
    pub fn new(mode: u16) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Writes at a place; what lies between the end and it is zero.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.now.len() {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(data);
        self.touch(offset, end);
    }

    /// Cuts or extends it.
    pub fn set_length(&mut self, length: usize) {
        let before = self.now.len();
        self.now.resize(length, 0);
        self.shortest = self.shortest.min(length);
        if length > before {
            self.touch(before, length);
        }
    }

    /// Makes its content last.
    pub fn sync(&mut self) {
        self.durable.truncate(self.shortest);
        self.durable.resize(self.now.len(), 0);
        if let Some((from, to)) = self.dirty.take() {
            let to = to.min(self.now.len());
            if from < to {
                self.durable[from..to].copy_from_slice(&self.now[from..to]);
            }
        }
        self.shortest = self.now.len();
    }

    fn touch(&mut self, from: usize, to: usize) {
        let (first, last) = self.dirty.unwrap_or((from, to));
        self.dirty = Some((first.min(from), last.max(to)));
    }

    fn survivor(self, random: &mut Random) -> Self {
        let Self { now, mut durable, mode, .. } = self;
        if random.below(2) == 0
            && let Some(appended) = now.get(durable.len()..)
        {
            let kept = random.below(appended.len() as u64 + 1) as usize;
            durable.extend_from_slice(&appended[..kept]);
        }
        let shortest = durable.len();
        Self { now: durable.clone(), durable, dirty: None, shortest, mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(image: &mut Image) -> Vec<String> {
        let folder = image.folder(ROOT).unwrap();
        folder.now.keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    fn file(image: &mut Image, name: &str, content: &[u8]) -> u64 {
        let number = image.make(ROOT, name.as_ref(), Node::File(File::default())).unwrap();
        image.file(number).unwrap().write(0, content);
        number
    }

    #[test]
    fn a_name_lasts_once_its_folder_is_synced() {
        let mut image = Image::empty();
        let number = file(&mut image, "a", b"content");
        image.file(number).unwrap().sync();
        assert_eq!(names(&mut image.survivor(&mut Random::new(1))), Vec::<String>::new());

        let mut image = Image::empty();
        let number = file(&mut image, "a", b"content");
        image.file(number).unwrap().sync();
        image.folder(ROOT).unwrap().sync();
        image.rename((ROOT, "a".as_ref()), (ROOT, "b".as_ref())).unwrap();
        let mut survivor = image.survivor(&mut Random::new(1));
        assert_eq!(names(&mut survivor), ["a"]);
        assert_eq!(survivor.file(number).unwrap().now, b"content");
    }

    #[test]
    fn what_was_not_synced_is_lost_but_for_a_torn_tail() {
        let mut whole = 0;
        for seed in 0..64 {
            let mut image = Image::empty();
            let number = file(&mut image, "a", b"0123456789");
            image.folder(ROOT).unwrap().sync();
            let open = image.file(number).unwrap();
            open.sync();
            open.write(2, b"xx");
            open.write(10, b"abcdef");
            let mut survivor = image.survivor(&mut Random::new(seed));
            let found = &survivor.file(number).unwrap().now;
            assert!(b"0123456789abcdef".starts_with(found) && found.len() >= 10, "{found:?}");
            whole += usize::from(found.len() > 10);
        }
        assert!(whole > 0, "no seed tears");
    }

    #[test]
    fn a_sync_keeps_truncations_and_overwrites() {
        let mut file = File::default();
        file.write(0, b"0123456789");
        file.sync();
        file.set_length(4);
        file.write(6, b"zz");
        file.write(1, b"y");
        file.sync();
        assert_eq!(file.durable, b"0y23\0\0zz");
        assert_eq!(file.durable, file.now);
    }

    #[test]
    fn a_disk_without_power_answers_nothing() {
        let mut image = Image::empty();
        let number = file(&mut image, "a", b"content");
        image.cut();
        assert_eq!(image.file(number).err(), Some(libc::EIO));
        assert_eq!(image.lookup(ROOT, "a".as_ref()), Err(libc::EIO));
    }
}
