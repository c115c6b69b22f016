//! A disk that loses what was not flushed, may fail to flush, and may have no room.

use crate::random::Random;
use hypermesh_wal::Disk;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A replica's disk. It outlives the replica's process, which holds a clone.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk(Rc<RefCell<Files>>);

#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<String, File>,
    salts: u64,
    full: bool,
    broken: bool,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    flushed: usize,
}

impl VirtualDisk {
    /// What a power failure leaves: of each unflushed tail some beginning, with some sectors never written. Tells how
    /// many bytes were not flushed.
    pub fn crash(&self, random: &mut Random) -> usize {
        let mut unflushed = 0;
        let mut files = self.0.borrow_mut();
        files.broken = false;
        for file in files.files.values_mut() {
            let tail = file.bytes.len() - file.flushed;
            unflushed += tail;
            let kept = random.below(tail as u64 + 1) as usize;
            file.bytes.truncate(file.flushed + kept);
            let mut start = file.flushed.next_multiple_of(SECTOR);
            while start < file.bytes.len() {
                let end = file.bytes.len().min(start + SECTOR);
                if random.chance(200)
                    && let Some(sector) = file.bytes.get_mut(start..end)
                {
                    sector.fill(0);
                }
                start = end;
            }
            file.flushed = file.bytes.len();
        }
        unflushed
    }

    /// Takes the disk out and puts an empty one in.
    pub fn replace(&self) {
        self.0.borrow_mut().files.clear();
    }

    /// Whether there is no room for one byte more.
    pub fn is_full(&self) -> bool {
        self.0.borrow().full
    }

    /// Fills the disk, or makes room again.
    pub fn set_full(&self, full: bool) {
        self.0.borrow_mut().full = full;
    }

    /// Whether a flush would fail.
    pub fn is_broken(&self) -> bool {
        self.0.borrow().broken
    }

    /// From now on until the next crash, what is written is not flushed, and a flush fails.
    pub fn break_flush(&self) {
        self.0.borrow_mut().broken = true;
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for VirtualDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn read(&mut self, name: &str, _most: u64) -> io::Result<Vec<u8>> {
        self.0.borrow().files.get(name).map(|file| file.bytes.clone()).ok_or_else(missing)
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if self.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = File { bytes: bytes.to_vec(), flushed: bytes.len() };
        self.0.borrow_mut().files.insert(name.to_owned(), file);
        Ok(())
    }

    /// A full disk takes the first half.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let fits = if files.full { bytes.len() / 2 } else { bytes.len() };
        let file = files.files.get_mut(name).ok_or_else(missing)?;
        file.bytes.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        if files.broken {
            return Err(io::Error::other("I/O error"));
        }
        let file = files.files.get_mut(name).ok_or_else(missing)?;
        file.flushed = file.bytes.len();
        Ok(())
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let file = files.files.get_mut(name).ok_or_else(missing)?;
        file.bytes.truncate(length as usize);
        file.flushed = file.bytes.len();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().files.remove(name).map(drop).ok_or_else(missing)
    }

    fn salt(&mut self) -> io::Result<[u8; 16]> {
        let mut files = self.0.borrow_mut();
        files.salts += 1;
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&Random::new(files.salts).number().to_le_bytes());
        Ok(salt)
    }
}
