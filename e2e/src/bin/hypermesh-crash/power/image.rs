//! What is on the disk, and what of it would survive a loss of power.
//!
//! What was synced is there. Of what was not, the seed decides how much is, since a program that is right only while
//! nothing of it is, or all of it, is wrong:
//! - A file is as at its last `fsync` or `fdatasync`, or as it was when power went, or in between: each sector written
//!   since is the old one, the new one or torn at a byte, and of what was appended a part may be there, holes reading
//!   as zeros.
//! - Names last by the sync of their folder; syncing a file does not make its name last. Of what was made, renamed and
//!   removed since, all that happened up to some moment lasts, whether the contents do or not: a journalling file
//!   system commits names in order, and a file that was renamed into place before it was synced may stand there empty.

use crate::random::Random;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What a disk writes as one, in bytes.
const SECTOR: usize = 512;

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
    /// What has changed since the last sync: when, and what a name stands for since.
    changes: Vec<(u64, OsString, Option<u64>)>,
    /// Its permissions.
    pub mode: u16,
}

/// The whole disk.
pub struct Image {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    /// Counts the changes of names.
    moment: u64,
    cut: bool,
}

impl Image {
    /// A disk with nothing on it.
    pub fn empty() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Folder(Folder::new(0o755)))]);
        Self { nodes, next: ROOT + 1, moment: 0, cut: false }
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
        let (number, moment) = (self.next, self.moment + 1);
        let folder = self.folder(parent)?;
        if folder.now.contains_key(name) {
            return Err(libc::EEXIST);
        }
        folder.change(moment, name, Some(number));
        (self.next, self.moment) = (number + 1, moment);
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
        let moment = self.moment + 1;
        self.folder(parent)?.change(moment, name, None);
        self.moment = moment;
        Ok(())
    }

    /// Renames, over whatever file has the name.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Outcome<()> {
        let number = self.lookup(from.0, from.1)?;
        self.folder(to.0)?;
        // One moment: a name is moved or is not.
        let moment = self.moment + 1;
        self.folder(from.0)?.change(moment, from.1, None);
        self.folder(to.0)?.change(moment, to.1, Some(number));
        self.moment = moment;
        Ok(())
    }

    /// The disk as it is found when power is back.
    pub fn survivor(&mut self, random: &mut Random) -> Self {
        let last = self.last_moment(random);
        let mut survivor = Self { nodes: BTreeMap::new(), next: self.next, moment: self.moment, cut: false };
        let mut waiting = vec![ROOT];
        while let Some(number) = waiting.pop() {
            let node = match self.nodes.remove(&number) {
                Some(Node::File(file)) => Node::File(file.survivor(random)),
                Some(Node::Folder(folder)) => {
                    let folder = folder.survivor(last);
                    waiting.extend(folder.now.values());
                    Node::Folder(folder)
                }
                // Seen before: two synced folders may hold one file while it moves between them.
                None => continue,
            };
            survivor.nodes.insert(number, node);
        }
        survivor
    }

    /// Up to when names last that were not synced: none of them, all of them, or some.
    fn last_moment(&self, random: &mut Random) -> u64 {
        let folders = self.nodes.values().filter_map(|node| match node {
            Node::Folder(folder) => folder.changes.first().map(|(moment, ..)| *moment),
            Node::File(_) => None,
        });
        let first = folders.min().unwrap_or(self.moment);
        match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            _ => first + random.below(self.moment - first + 1),
        }
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
        self.changes.clear();
    }

    fn change(&mut self, moment: u64, name: &OsStr, number: Option<u64>) {
        apply(&mut self.now, name, number);
        self.changes.push((moment, name.to_owned(), number));
    }

    fn survivor(self, last: u64) -> Self {
        let mut names = self.durable;
        for (_, name, number) in self.changes.iter().filter(|(moment, ..)| *moment <= last) {
            apply(&mut names, name, *number);
        }
        Self { now: names.clone(), durable: names, changes: Vec::new(), mode: self.mode }
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
        let mode = self.mode;
        let now = match random.below(4) {
            0 => self.durable,
            1 => self.now,
            _ => self.torn(random),
        };
        let shortest = now.len();
        Self { durable: now.clone(), now, dirty: None, shortest, mode }
    }

    /// Something between what was synced and what was written.
    fn torn(self, random: &mut Random) -> Vec<u8> {
        let Self { now, durable: mut found, dirty, shortest, .. } = self;
        if shortest < found.len() && random.below(2) == 0 {
            found.truncate(shortest);
        }
        let appended = now.len().saturating_sub(found.len());
        let length = found.len() + random.below(appended as u64 + 1) as usize;
        found.resize(length, 0);
        let (mut at, to) = dirty.unwrap_or_default();
        let to = to.min(length).min(now.len());
        while at < to {
            let end = ((at / SECTOR + 1) * SECTOR).min(to);
            let kept = match random.below(8) {
                0..=3 => end - at,
                4 => random.below((end - at) as u64) as usize,
                _ => 0,
            };
            found[at..at + kept].copy_from_slice(&now[at..at + kept]);
            at = end;
        }
        found
    }
}

fn apply(names: &mut BTreeMap<OsString, u64>, name: &OsStr, number: Option<u64>) {
    match number {
        Some(number) => drop(names.insert(name.to_owned(), number)),
        None => drop(names.remove(name)),
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

    /// What a test's disk may look like when power is back, over many seeds.
    fn outcomes<T: Ord>(make: impl Fn() -> Image, look: impl Fn(&mut Image) -> T) -> Vec<T> {
        let mut found: Vec<T> =
            (0..400).map(|seed| look(&mut make().survivor(&mut Random::new(seed)))).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_name_lasts_once_its_folder_is_synced() {
        let unsynced = || {
            let mut image = Image::empty();
            let number = file(&mut image, "a", b"content");
            image.file(number).unwrap().sync();
            image
        };
        assert_eq!(outcomes(unsynced, names), [vec![], vec!["a".to_owned()]]);
        let synced = || {
            let mut image = unsynced();
            image.folder(ROOT).unwrap().sync();
            image
        };
        assert_eq!(outcomes(synced, names), [["a"]]);
        // A rename happens or does not; never are both names gone.
        let renamed = || {
            let mut image = synced();
            image.rename((ROOT, "a".as_ref()), (ROOT, "b".as_ref())).unwrap();
            image
        };
        assert_eq!(outcomes(renamed, names), [["a"], ["b"]]);
    }

    #[test]
    fn names_last_in_the_order_in_which_they_were_made() {
        let image = || {
            let mut image = Image::empty();
            for name in ["a", "b", "c"] {
                file(&mut image, name, b"");
            }
            image.remove(ROOT, "a".as_ref(), false).unwrap();
            image
        };
        let found: Vec<String> = outcomes(image, names).iter().map(|names| names.concat()).collect();
        assert_eq!(found, ["", "a", "ab", "abc", "bc"]);
    }

    /// Replacing a file without syncing the new one first: the old content, the new, or none of either.
    #[test]
    fn a_file_renamed_into_place_before_it_is_synced_may_be_empty() {
        let image = || {
            let mut image = Image::empty();
            let old = file(&mut image, "a", b"old");
            image.file(old).unwrap().sync();
            image.folder(ROOT).unwrap().sync();
            file(&mut image, "new", b"new");
            image.rename((ROOT, "new".as_ref()), (ROOT, "a".as_ref())).unwrap();
            image
        };
        let content = |image: &mut Image| {
            let number = image.lookup(ROOT, "a".as_ref()).unwrap();
            image.file(number).unwrap().now.clone()
        };
        let found = outcomes(image, content);
        assert!(
            [b"old".to_vec(), b"new".to_vec(), b"".to_vec()].iter().all(|content| found.contains(content)),
            "{found:?}"
        );
    }

    #[test]
    fn what_was_not_synced_is_there_in_part() {
        let old = [b'o'; 3 * SECTOR];
        let image = || {
            let mut image = Image::empty();
            let number = file(&mut image, "a", &old);
            image.folder(ROOT).unwrap().sync();
            let open = image.file(number).unwrap();
            open.sync();
            open.write(SECTOR, &[b'n'; SECTOR]);
            open.write(old.len(), b"appended");
            image
        };
        let content = |image: &mut Image| image.file(2).unwrap().now.clone();
        let found = outcomes(image, content);
        for content in &found {
            assert!(content.len() >= old.len() && content.len() <= old.len() + 8);
            assert_eq!(content[..SECTOR], old[..SECTOR], "what was not written does not change");
        }
        let overwritten =
            |wanted: &dyn Fn(&[u8]) -> bool| found.iter().any(|c| wanted(&c[SECTOR..2 * SECTOR]));
        assert!(overwritten(&|sector| sector.iter().all(|byte| *byte == b'o')), "not at all");
        assert!(overwritten(&|sector| sector.iter().all(|byte| *byte == b'n')), "as a whole");
        assert!(overwritten(&|sector| sector.contains(&b'o') && sector.contains(&b'n')), "torn");
        assert!(found.iter().any(|content| content.ends_with(b"appended")), "appended");
        assert!(found.iter().any(|content| content.len() > old.len() && content.ends_with(&[0])), "a hole");
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
