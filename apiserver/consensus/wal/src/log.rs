//! The log itself: appended to, flushed, begun anew.

use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{self, Header, HeaderError, MOST_BODY, Tail};
use std::io;

/// The most bytes of one file: what a height that does not end may grow it by is bounded by who logs.
const MOST_FILE: u64 = 4 << 30;
/// A file is named after its first frame: `log-` and sixteen hexadecimal digits.
const PREFIX: &str = "log-";

/// An open log.
#[derive(Debug)]
pub struct Log<D> {
    disk: D,
    /// The file that is written to.
    file: String,
    header: Header,
    /// Bytes that were flushed.
    length: u64,
    /// The number of the next frame.
    next: u64,
    /// Entries that wait for the next flush, as the body of a frame.
    body: Vec<u8>,
    failed: bool,
}

/// What an opened log held.
#[derive(Debug, PartialEq, Eq)]
pub struct Recovered {
    /// All entries that were flushed since the log was begun, in order.
    pub entries: Vec<Vec<u8>>,
    /// A frame at the end that was not flushed, and was cut off.
    pub torn: Option<Torn>,
    /// There was no log: this one was made.
    pub new: bool,
}

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file's name.
    pub file: String,
    /// Where the cut is, from the file's beginning.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log of a disk, or makes one where there is none.
    ///
    /// # Errors
    /// [`WalError::Damaged`] and [`WalError::Newer`] leave all files as they are.
    pub fn open(mut disk: D) -> Result<(Self, Recovered), WalError> {
        let names = disk.list().map_err(WalError::disk("list the files beside", PREFIX))?;
        let mut files: Vec<String> = names.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
        files.sort_unstable();
        // A file is begun whole before the one before it goes: the last is the log, what is before it is superseded.
        let Some(file) = files.pop() else {
            let (file, header) = begin(&mut disk, 0)?;
            return Ok((
                Self::at(disk, file, header),
                Recovered { entries: Vec::new(), torn: None, new: true },
            ));
        };
        let bytes = disk.read(&file, MOST_FILE).map_err(WalError::disk("read", &file))?;
        let header = Header::decode(&bytes).map_err(|error| match error {
            HeaderError::Newer(found) => {
                WalError::Newer { file: file.clone(), found, known: format::VERSION }
            }
            HeaderError::Bad(detail) => WalError::Damaged { file: file.clone(), offset: 0, detail },
        })?;
        if file != name(header.first) {
            let detail = "its name is not that of its first frame";
            return Err(WalError::Damaged { file, offset: 0, detail });
        }
        let scan = format::scan(&bytes, &header);
        let (good, cut) = (scan.good as u64, (bytes.len() - scan.good) as u64);
        let torn = match scan.tail {
            Tail::Clean => None,
            Tail::Torn => Some(Torn { file: file.clone(), offset: good, bytes: cut }),
            Tail::Damaged(detail) => return Err(WalError::Damaged { file, offset: good, detail }),
        };
        let entries = scan.entries.iter().map(|entry| entry.to_vec()).collect();
        let mut log = Self::at(disk, file, header);
        (log.length, log.next) = (good, scan.next);
        if torn.is_some() {
            log.disk.cut(&log.file, good).map_err(WalError::disk("cut", &log.file))?;
        }
        log.clear(&files)?;
        Ok((log, Recovered { entries, torn, new: false }))
    }

    fn at(disk: D, file: String, header: Header) -> Self {
        let length = format::HEADER_BYTES as u64;
        Self { disk, file, header, length, next: header.first, body: Vec::new(), failed: false }
    }

    /// Takes an entry for the next flush. Until then it is in memory alone.
    pub fn append(&mut self, entry: &[u8]) -> Result<(), WalError> {
        let length = self.body.len() + 4 + entry.len();
        if length > MOST_BODY {
            return Err(WalError::TooLong { length: entry.len(), limit: MOST_BODY });
        }
        format::push(&mut self.body, entry);
        Ok(())
    }

    /// Whether entries wait for a flush.
    pub fn is_dirty(&self) -> bool {
        !self.body.is_empty()
    }

    /// Bytes of the file, without what waits for a flush.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Writes and flushes what was appended. It survives a power failure once this returns.
    ///
    /// # Errors
    /// Where the write failed and could be taken back (a full disk), the entries wait on, and the call may be repeated.
    /// After a failed flush nothing is known: the log refuses everything from then on, since an operating system may
    /// report such a failure once and forget the pages.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.failed {
            return Err(WalError::Failed);
        }
        if self.body.is_empty() {
            return Ok(());
        }
        let frame = format::frame(&self.header.salt, self.next, &self.body);
        if let Err(source) = self.disk.append(&self.file, &frame) {
            self.failed = self.disk.cut(&self.file, self.length).is_err();
            return Err(WalError::disk("write", &self.file)(source));
        }
        self.failed = true;
        self.disk.sync(&self.file).map_err(WalError::disk("flush", &self.file))?;
        self.failed = false;
        self.length += frame.len() as u64;
        self.next = self.next.wrapping_add(1);
        self.body.clear();
        Ok(())
    }

    /// Begins anew: everything that is in the log, flushed or not, is forgotten.
    pub fn restart(&mut self) -> Result<(), WalError> {
        if self.failed {
            return Err(WalError::Failed);
        }
        self.body.clear();
        if self.length == format::HEADER_BYTES as u64 {
            return Ok(());
        }
        let (file, header) = begin(&mut self.disk, self.next)?;
        let old = std::mem::replace(&mut self.file, file);
        (self.header, self.length) = (header, format::HEADER_BYTES as u64);
        self.clear(&[old])
    }

    /// Removes files that are superseded. What cannot be removed is removed at the next opening.
    fn clear(&mut self, files: &[String]) -> Result<(), WalError> {
        for file in files {
            match self.disk.remove(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(WalError::disk("remove", file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives the disk back, as a crash would: what was not flushed is lost.
    pub fn into_disk(self) -> D {
        self.disk
    }
}

fn name(first: u64) -> String {
    format!("{PREFIX}{first:016x}")
}

fn begin<D: Disk>(disk: &mut D, first: u64) -> Result<(String, Header), WalError> {
    let file = name(first);
    let salt = disk.salt().map_err(WalError::disk("draw a salt for", &file))?;
    let header = Header { salt, first };
    disk.create(&file, &header.encode()).map_err(WalError::disk("make", &file))?;
    Ok((file, header))
}

#[cfg(test)]
mod tests;
